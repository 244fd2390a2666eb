/* SPDX-License-Identifier: MIT
 *
 * The vector vocabulary in AVX-512 (F, BW, DQ, VL): the words of vec_avx2.h in vectors of 16
 * floats, with mask registers for the lanes that are meant. Tiles of 14 rows by 2 vectors: 28
 * sums, 2 vectors of B and a broadcast of A are 31 of the 32 registers.
 */
#ifndef RM_VEC_AVX512_H
#define RM_VEC_AVX512_H

#include <immintrin.h>

#include "simd/kernels.h"

typedef __m512 vec;
enum { VEC_WIDTH = 16 };

/* --- memory ------------------------------------------------------------------------------- */
static inline vec vec_load(const rm_real *p)
{
    return _mm512_loadu_ps(p);
}

static inline void vec_store(rm_real *p, vec v)
{
    _mm512_storeu_ps(p, v);
}

static inline __mmask16 first_lanes(int64_t count)
{
    if (count >= VEC_WIDTH) return 0xFFFF;
    return count > 0 ? (__mmask16)((1u << count) - 1) : 0;
}

/* Lanes from `count` on are zero, and their memory is not touched. */
static inline vec vec_load_first(const rm_real *p, int64_t count)
{
    if (count >= VEC_WIDTH) return vec_load(p);
    return _mm512_maskz_loadu_ps(first_lanes(count), p);
}

static inline void vec_store_first(rm_real *p, int64_t count, vec v)
{
    if (count >= VEC_WIDTH) {
        vec_store(p, v);
        return;
    }
    _mm512_mask_storeu_ps(p, first_lanes(count), v);
}

/* --- arithmetic --------------------------------------------------------------------------- */
static inline vec vec_all(rm_real x)
{
    return _mm512_set1_ps(x);
}

static inline vec vec_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}

static inline vec vec_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}

static inline vec vec_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}

static inline vec vec_div(vec a, vec b)
{
    return _mm512_div_ps(a, b);
}

/* a b + c */
static inline vec vec_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* c - a b */
static inline vec vec_fma_negated(vec a, vec b, vec c)
{
    return _mm512_fnmadd_ps(a, b, c);
}

static inline vec vec_sqrt(vec v)
{
    return _mm512_sqrt_ps(v);
}

static inline vec vec_absolute(vec v)
{
    return _mm512_andnot_ps(vec_all(-0.0f), v);
}

static inline vec vec_nearest_integer(vec v)
{
    return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline __mmask16 nan_lanes(vec v)
{
    return _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
}

/* NaN if either is: the instruction gives its second operand when one is NaN. */
static inline vec vec_max(vec a, vec b)
{
    return _mm512_mask_mov_ps(_mm512_max_ps(a, b), nan_lanes(a), a);
}

/* v held between two numbers; NaN stays NaN. */
static inline vec vec_clamp(vec v, rm_real low, rm_real high)
{
    return _mm512_min_ps(vec_all(high), _mm512_max_ps(vec_all(low), v));
}

/* v 2^n for whole numbers -250 <= n <= 250, rounded once. */
static inline vec vec_scale_exponent(vec v, vec n)
{
    return _mm512_scalef_ps(v, n);
}

/* --- lanes -------------------------------------------------------------------------------- */
/* a where v < 0, else b. */
static inline vec vec_if_negative(vec v, vec a, vec b)
{
    __mmask16 negative = _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_LT_OQ);
    return _mm512_mask_mov_ps(b, negative, a);
}

/* The first `count` lanes of v, the others of `other`. */
static inline vec vec_first_or(vec v, int64_t count, vec other)
{
    return _mm512_mask_mov_ps(other, first_lanes(count), v);
}

static inline __m256 upper_half(vec v)
{
    return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1));
}

/* Lane i and lane i + 8, then these 8 as in vec_avx2.h. */
static inline rm_real vec_sum(vec v)
{
    __m256 eights = _mm256_add_ps(_mm512_castps512_ps256(v), upper_half(v));
    __m128 fours = _mm_add_ps(_mm256_castps256_ps128(eights), _mm256_extractf128_ps(eights, 1));
    __m128 twos = _mm_add_ps(fours, _mm_movehl_ps(fours, fours));
    return _mm_cvtss_f32(_mm_add_ss(twos, _mm_movehdup_ps(twos)));
}

static inline rm_real vec_max_lanes(vec v)
{
    vec eights = vec_max(v, _mm512_shuffle_f32x4(v, v, _MM_SHUFFLE(1, 0, 3, 2)));
    vec fours = vec_max(eights, _mm512_shuffle_f32x4(eights, eights, _MM_SHUFFLE(2, 3, 0, 1)));
    vec twos = vec_max(fours, _mm512_shuffle_ps(fours, fours, _MM_SHUFFLE(1, 0, 3, 2)));
    vec ones = vec_max(twos, _mm512_shuffle_ps(twos, twos, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm_cvtss_f32(_mm512_castps512_ps128(ones));
}

/* The 4 x 4 blocks within the quarters of four rows, transposed. */
static inline void transpose_quarters(const vec a[4], vec t[4])
{
    vec low01 = _mm512_unpacklo_ps(a[0], a[1]), high01 = _mm512_unpackhi_ps(a[0], a[1]);
    vec low23 = _mm512_unpacklo_ps(a[2], a[3]), high23 = _mm512_unpackhi_ps(a[2], a[3]);
    t[0] = _mm512_shuffle_ps(low01, low23, _MM_SHUFFLE(1, 0, 1, 0));
    t[1] = _mm512_shuffle_ps(low01, low23, _MM_SHUFFLE(3, 2, 3, 2));
    t[2] = _mm512_shuffle_ps(high01, high23, _MM_SHUFFLE(1, 0, 1, 0));
    t[3] = _mm512_shuffle_ps(high01, high23, _MM_SHUFFLE(3, 2, 3, 2));
}

/* a[i] becomes lane i of all: a transpose of 16 x 16, within quarters and then of quarters. */
static inline void vec_transpose(vec a[VEC_WIDTH])
{
    vec t[16];
    for (int i = 0; i < 16; i += 4) transpose_quarters(a + i, t + i);
    for (int i = 0; i < 4; i++) {
        vec even01 = _mm512_shuffle_f32x4(t[i], t[i + 4], _MM_SHUFFLE(2, 0, 2, 0));
        vec odd01 = _mm512_shuffle_f32x4(t[i], t[i + 4], _MM_SHUFFLE(3, 1, 3, 1));
        vec even23 = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], _MM_SHUFFLE(2, 0, 2, 0));
        vec odd23 = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], _MM_SHUFFLE(3, 1, 3, 1));
        a[i] = _mm512_shuffle_f32x4(even01, even23, _MM_SHUFFLE(2, 0, 2, 0));
        a[i + 4] = _mm512_shuffle_f32x4(odd01, odd23, _MM_SHUFFLE(2, 0, 2, 0));
        a[i + 8] = _mm512_shuffle_f32x4(even01, even23, _MM_SHUFFLE(3, 1, 3, 1));
        a[i + 12] = _mm512_shuffle_f32x4(odd01, odd23, _MM_SHUFFLE(3, 1, 3, 1));
    }
}

/* --- sums in double ----------------------------------------------------------------------- */
typedef struct vec_double {
    __m512d low, high;
} vec_double;

static inline vec_double vec_double_zero(void)
{
    return (vec_double){_mm512_setzero_pd(), _mm512_setzero_pd()};
}

static inline vec_double vec_double_add(vec_double a, vec_double b)
{
    return (vec_double){_mm512_add_pd(a.low, b.low), _mm512_add_pd(a.high, b.high)};
}

/* As vec_load_first, widened; halves from memory, since to take a register apart costs more. */
static inline vec_double vec_double_load_first(const rm_real *p, int64_t count)
{
    if (count >= VEC_WIDTH)
        return (vec_double){_mm512_cvtps_pd(_mm256_loadu_ps(p)),
                            _mm512_cvtps_pd(_mm256_loadu_ps(p + 8))};
    vec v = vec_load_first(p, count);
    return (vec_double){_mm512_cvtps_pd(_mm512_castps512_ps256(v)),
                        _mm512_cvtps_pd(upper_half(v))};
}

static inline vec_double vec_double_add_square(vec_double sum, vec_double v)
{
    return (vec_double){_mm512_fmadd_pd(v.low, v.low, sum.low),
                        _mm512_fmadd_pd(v.high, v.high, sum.high)};
}

static inline double vec_double_sum(vec_double v)
{
    __m512d eights = _mm512_add_pd(v.low, v.high);
    __m256d fours =
        _mm256_add_pd(_mm512_castpd512_pd256(eights), _mm512_extractf64x4_pd(eights, 1));
    __m128d twos = _mm_add_pd(_mm256_castpd256_pd128(fours), _mm256_extractf128_pd(fours, 1));
    return _mm_cvtsd_f64(_mm_add_sd(twos, _mm_unpackhi_pd(twos, twos)));
}

/* --- bf16 --------------------------------------------------------------------------------- */
/* The bits of v rounded to bf16, in the upper half of each lane. */
static inline __m512i bf16_bits(vec v)
{
    __m512i bits = _mm512_castps_si512(v);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i bias = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF));
    __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    return _mm512_mask_mov_epi32(_mm512_add_epi32(bits, bias), nan_lanes(v), quiet);
}

static inline vec vec_round_bf16(vec v)
{
    __m512i upper_bits = _mm512_set1_epi32((int)0xFFFF0000u);
    return _mm512_castsi512_ps(_mm512_and_si512(bf16_bits(v), upper_bits));
}

static inline void vec_store_bf16(rm_bf16 *p, vec v)
{
    __m256i packed = _mm512_cvtepi32_epi16(_mm512_srli_epi32(bf16_bits(v), 16));
    _mm256_storeu_si256((__m256i *)p, packed);
}

static inline vec join_halves(__m256 low, __m256 high)
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}

static inline __m256 widen_bf16(__m128i words)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16));
}

static inline vec vec_load_bf16(const void *p)
{
    const __m128i *eights = (const __m128i *)p;
    return join_halves(widen_bf16(_mm_loadu_si128(eights)),
                       widen_bf16(_mm_loadu_si128(eights + 1)));
}

static inline vec vec_load_half(const void *p)
{
    const __m128i *eights = (const __m128i *)p;
    return join_halves(_mm256_cvtph_ps(_mm_loadu_si128(eights)),
                       _mm256_cvtph_ps(_mm_loadu_si128(eights + 1)));
}

/* VEC_WIDTH whole numbers within -128..127 (rounded to nearest even) as bytes. */
static inline void vec_store_bytes(int8_t *p, vec v)
{
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
}

/* --- tiles -------------------------------------------------------------------------------- */
#include "simd/vector/broadcast.h"

enum { TILE_ROWS = 14, TILE_VECTORS = 2 };
/* A slice of a panel of B takes 32 KiB, which a first-level cache of 48 KiB keeps; a block of A
 * takes less than half of a second-level cache of 1 MiB. */
enum { TILE_DEPTH_BLOCK = 256, TILE_BLOCK_ROWS = 448 };

typedef struct tile_row {
    vec v[TILE_VECTORS];
} tile_row;

/* Widened with one instruction a vector, which leaves the even columns in the first and the odd
 * ones in the second; tile_row_restore puts a row of sums in order again. */
static inline tile_row tile_row_load_bf16(const rm_bf16 *p)
{
    __m512i both = _mm512_loadu_si512(p);
    __m512i odd = _mm512_and_si512(both, _mm512_set1_epi32((int)0xFFFF0000u));
    return (tile_row){
        {_mm512_castsi512_ps(_mm512_slli_epi32(both, 16)), _mm512_castsi512_ps(odd)}};
}

static inline tile_row tile_row_restore(tile_row row)
{
    const __m512i first =
        _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
    return (tile_row){{_mm512_permutex2var_ps(row.v[0], first, row.v[1]),
                       _mm512_permutex2var_ps(row.v[0], second, row.v[1])}};
}

#endif

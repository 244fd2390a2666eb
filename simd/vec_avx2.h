/* SPDX-License-Identifier: MIT
 *
 * The vector vocabulary in AVX2 and FMA: vectors of 8 floats, tiles of 6 rows by 2 vectors.
 * vec_neon.h has the same words; simd/vector/ is written in them. `count` in a name's arguments
 * is how many lanes from the first are meant; it may exceed the width or be negative.
 */
#ifndef RM_VEC_AVX2_H
#define RM_VEC_AVX2_H

#include <immintrin.h>

#include "simd/kernels.h"

typedef __m256 vec;
enum { VEC_WIDTH = 8 };

/* --- memory ------------------------------------------------------------------------------- */
static inline vec vec_load(const rm_real *p)
{
    return _mm256_loadu_ps(p);
}

static inline void vec_store(rm_real *p, vec v)
{
    _mm256_storeu_ps(p, v);
}

static inline __m256i first_lanes(int64_t count)
{
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    int clamped = count < VEC_WIDTH ? (int)count : VEC_WIDTH;
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(clamped), lanes);
}

/* Lanes from `count` on are zero, and their memory is not touched. */
static inline vec vec_load_first(const rm_real *p, int64_t count)
{
    if (count >= VEC_WIDTH) return vec_load(p);
    return _mm256_maskload_ps(p, first_lanes(count));
}

static inline void vec_store_first(rm_real *p, int64_t count, vec v)
{
    if (count >= VEC_WIDTH) {
        vec_store(p, v);
        return;
    }
    _mm256_maskstore_ps(p, first_lanes(count), v);
}

/* --- arithmetic --------------------------------------------------------------------------- */
static inline vec vec_all(rm_real x)
{
    return _mm256_set1_ps(x);
}

static inline vec vec_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}

static inline vec vec_sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}

static inline vec vec_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}

static inline vec vec_div(vec a, vec b)
{
    return _mm256_div_ps(a, b);
}

/* a b + c */
static inline vec vec_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}

/* c - a b */
static inline vec vec_fma_negated(vec a, vec b, vec c)
{
    return _mm256_fnmadd_ps(a, b, c);
}

static inline vec vec_sqrt(vec v)
{
    return _mm256_sqrt_ps(v);
}

static inline vec vec_absolute(vec v)
{
    return _mm256_andnot_ps(vec_all(-0.0f), v);
}

static inline vec vec_nearest_integer(vec v)
{
    return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* NaN if either is: the instruction gives its second operand when one is NaN. */
static inline vec vec_max(vec a, vec b)
{
    return _mm256_blendv_ps(_mm256_max_ps(a, b), a, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
}

/* v held between two numbers; NaN stays NaN. */
static inline vec vec_clamp(vec v, rm_real low, rm_real high)
{
    return _mm256_min_ps(vec_all(high), _mm256_max_ps(vec_all(low), v));
}

/* v 2^n for whole numbers -250 <= n <= 250, rounded once: in two steps, since 2^n alone may be
 * beyond the range of the exponent. */
static inline vec vec_scale_exponent(vec v, vec n)
{
    __m256i whole = _mm256_cvtps_epi32(n), bias = _mm256_set1_epi32(127);
    __m256i half = _mm256_srai_epi32(whole, 1), rest = _mm256_sub_epi32(whole, half);
    __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    __m256i second = _mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23);
    v = _mm256_mul_ps(v, _mm256_castsi256_ps(first));
    return _mm256_mul_ps(v, _mm256_castsi256_ps(second));
}

/* --- lanes -------------------------------------------------------------------------------- */
/* a where v < 0, else b. */
static inline vec vec_if_negative(vec v, vec a, vec b)
{
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_LT_OQ));
}

/* The first `count` lanes of v, the others of `other`. */
static inline vec vec_first_or(vec v, int64_t count, vec other)
{
    return _mm256_blendv_ps(other, v, _mm256_castsi256_ps(first_lanes(count)));
}

/* ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)) */
static inline rm_real vec_sum(vec v)
{
    __m128 fours = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 twos = _mm_add_ps(fours, _mm_movehl_ps(fours, fours));
    return _mm_cvtss_f32(_mm_add_ss(twos, _mm_movehdup_ps(twos)));
}

static inline rm_real vec_max_lanes(vec v)
{
    vec fours = vec_max(v, _mm256_permute2f128_ps(v, v, 1));
    vec twos = vec_max(fours, _mm256_permute_ps(fours, _MM_SHUFFLE(1, 0, 3, 2)));
    return _mm256_cvtss_f32(vec_max(twos, _mm256_movehdup_ps(twos)));
}

/* a[i] becomes lane i of all: a transpose of 8 x 8 in three rounds of pairs. */
static inline void vec_transpose(vec a[VEC_WIDTH])
{
    vec pairs[8], fours[8];
    for (int i = 0; i < 8; i += 2) {
        pairs[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        fours[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], _MM_SHUFFLE(1, 0, 1, 0));
        fours[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], _MM_SHUFFLE(3, 2, 3, 2));
        fours[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], _MM_SHUFFLE(1, 0, 1, 0));
        fours[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], _MM_SHUFFLE(3, 2, 3, 2));
    }
    for (int i = 0; i < 4; i++) {
        a[i] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x20);
        a[i + 4] = _mm256_permute2f128_ps(fours[i], fours[i + 4], 0x31);
    }
}

/* --- sums in double ----------------------------------------------------------------------- */
typedef struct vec_double {
    __m256d low, high;
} vec_double;

static inline vec_double vec_double_zero(void)
{
    return (vec_double){_mm256_setzero_pd(), _mm256_setzero_pd()};
}

static inline vec_double vec_double_add(vec_double a, vec_double b)
{
    return (vec_double){_mm256_add_pd(a.low, b.low), _mm256_add_pd(a.high, b.high)};
}

/* As vec_load_first, widened; halves from memory, since to take a register apart costs more. */
static inline vec_double vec_double_load_first(const rm_real *p, int64_t count)
{
    if (count >= VEC_WIDTH)
        return (vec_double){_mm256_cvtps_pd(_mm_loadu_ps(p)),
                            _mm256_cvtps_pd(_mm_loadu_ps(p + 4))};
    vec v = vec_load_first(p, count);
    return (vec_double){_mm256_cvtps_pd(_mm256_castps256_ps128(v)),
                        _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1))};
}

static inline vec_double vec_double_add_square(vec_double sum, vec_double v)
{
    return (vec_double){_mm256_fmadd_pd(v.low, v.low, sum.low),
                        _mm256_fmadd_pd(v.high, v.high, sum.high)};
}

static inline double vec_double_sum(vec_double v)
{
    __m256d fours = _mm256_add_pd(v.low, v.high);
    __m128d twos = _mm_add_pd(_mm256_castpd256_pd128(fours), _mm256_extractf128_pd(fours, 1));
    return _mm_cvtsd_f64(_mm_add_sd(twos, _mm_unpackhi_pd(twos, twos)));
}

/* --- bf16 --------------------------------------------------------------------------------- */
/* The bits of v rounded to bf16, in the upper half of each lane. */
static inline __m256i bf16_bits(vec v)
{
    __m256i bits = _mm256_castps_si256(v);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i bias = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF));
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(_mm256_add_epi32(bits, bias), quiet, is_nan);
}

static inline vec vec_round_bf16(vec v)
{
    __m256i upper_half = _mm256_set1_epi32((int)0xFFFF0000u);
    return _mm256_castsi256_ps(_mm256_and_si256(bf16_bits(v), upper_half));
}

static inline void vec_store_bf16(rm_bf16 *p, vec v)
{
    __m256i halves = _mm256_srli_epi32(bf16_bits(v), 16);
    __m128i packed =
        _mm_packus_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1));
    _mm_storeu_si128((__m128i *)p, packed);
}

/* VEC_WIDTH stored numbers of two bytes at any address, widened. */
static inline vec vec_load_bf16(const void *p)
{
    __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(words, 16));
}

static inline vec vec_load_half(const void *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

/* VEC_WIDTH whole numbers within -128..127 (rounded to nearest even) as bytes. */
static inline void vec_store_bytes(int8_t *p, vec v)
{
    __m256i words = _mm256_cvtps_epi32(v);
    __m128i halves =
        _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storel_epi64((__m128i *)p, _mm_packs_epi16(halves, halves));
}

/* --- tiles -------------------------------------------------------------------------------- */
#include "simd/vector/broadcast.h"

enum { TILE_ROWS = 6, TILE_VECTORS = 2 };
/* A slice of a panel of B takes half of a first-level cache of 32 KiB, a block of A three
 * quarters of a second-level cache of 256 KiB. */
enum { TILE_DEPTH_BLOCK = 256, TILE_BLOCK_ROWS = 192 };

typedef struct tile_row {
    vec v[TILE_VECTORS];
} tile_row;

/* Widened with one instruction a vector, which leaves the even columns in the first and the odd
 * ones in the second; tile_row_restore puts a row of sums in order again. */
static inline tile_row tile_row_load_bf16(const rm_bf16 *p)
{
    __m256i both = _mm256_loadu_si256((const __m256i *)p);
    __m256i odd = _mm256_and_si256(both, _mm256_set1_epi32((int)0xFFFF0000u));
    return (tile_row){
        {_mm256_castsi256_ps(_mm256_slli_epi32(both, 16)), _mm256_castsi256_ps(odd)}};
}

static inline tile_row tile_row_restore(tile_row row)
{
    vec outer = _mm256_unpacklo_ps(row.v[0], row.v[1]); /* columns 0-3, 8-11 */
    vec inner = _mm256_unpackhi_ps(row.v[0], row.v[1]); /* columns 4-7, 12-15 */
    return (tile_row){{_mm256_permute2f128_ps(outer, inner, 0x20),
                       _mm256_permute2f128_ps(outer, inner, 0x31)}};
}

#endif

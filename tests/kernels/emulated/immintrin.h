/* SPDX-License-Identifier: MIT
 *
 * AVX-512 on processors that have AVX2: found before the compiler's header of this name, it
 * gives the 512-bit intrinsics their meaning in plain C. Most come from SIMDe; here are those
 * that it lacks, and the bf16 ones, after Intel's manual (volume 2, "VCVTNE2PS2BF16",
 * "VDPBF16PS"): denormals count as zero, operands and results.
 */
#ifndef EMULATED_IMMINTRIN_H
#define EMULATED_IMMINTRIN_H

#include_next <immintrin.h>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "flush.h"

enum { LANES = 16 };

/* --- what SIMDe lacks or gets wrong
 * --------------------------------------------------------------------- */
/* Lanes that are not meant are not touched; any address will do. */
static inline __m512 emulated_load(simde__mmask16 mask, const float *p)
{
    float lanes[LANES] = {0};
    for (int i = 0; i < LANES; i++)
        if (mask >> i & 1) memcpy(&lanes[i], p + i, sizeof *p);
    __m512 v;
    memcpy(&v, lanes, sizeof v);
    return v;
}

static inline void emulated_store(float *p, simde__mmask16 mask, __m512 v)
{
    float lanes[LANES];
    memcpy(lanes, &v, sizeof v);
    for (int i = 0; i < LANES; i++)
        if (mask >> i & 1) memcpy(p + i, &lanes[i], sizeof *p);
}

static inline __m512d emulated_widen(__m256 lanes)
{
    simde__m256_private narrow = simde__m256_to_private(lanes);
    simde__m512d_private wide;
    for (int i = 0; i < LANES / 2; i++) wide.f64[i] = (double)narrow.f32[i];
    return simde__m512d_from_private(wide);
}

static inline __m256i emulated_lower_halves(__m512i lanes)
{
    simde__m512i_private v = simde__m512i_to_private(lanes);
    simde__m256i_private halves;
    for (int i = 0; i < LANES; i++) halves.u16[i] = (uint16_t)v.u32[i];
    return simde__m256i_from_private(halves);
}

/* v 2^n, rounded once: SIMDe's goes by way of 2^n, which may overflow by itself. */
static inline __m512 emulated_scale(__m512 lanes, __m512 exponents)
{
    simde__m512_private v = simde__m512_to_private(lanes);
    simde__m512_private n = simde__m512_to_private(exponents);
    for (int i = 0; i < LANES; i++)
        v.f32[i] = isnan(n.f32[i]) ? n.f32[i] : scalbnf(v.f32[i], (int)floorf(n.f32[i]));
    return simde__m512_from_private(v);
}

/* Quarters of a, a, b and b, two bits of `order` each. */
static inline __m512 emulated_shuffle_quarters(__m512 a, __m512 b, int order)
{
    float from[2][4][4], to[4][4];
    memcpy(from[0], &a, sizeof a);
    memcpy(from[1], &b, sizeof b);
    for (int q = 0; q < 4; q++) memcpy(to[q], from[q / 2][order >> 2 * q & 3], sizeof to[q]);
    memcpy(&a, to, sizeof a);
    return a;
}

#undef _mm512_maskz_loadu_ps
#undef _mm512_mask_storeu_ps
#undef _mm512_cvtps_pd
#undef _mm512_cvtepi32_epi16
#undef _mm512_shuffle_f32x4
#undef _mm512_scalef_ps
#define _mm512_maskz_loadu_ps(mask, p) emulated_load(mask, p)
#define _mm512_mask_storeu_ps(p, mask, v) emulated_store(p, mask, v)
#define _mm512_cvtps_pd(v) emulated_widen(v)
#define _mm512_cvtepi32_epi16(v) emulated_lower_halves(v)
#define _mm512_scalef_ps(v, n) emulated_scale(v, n)
#define _mm512_shuffle_f32x4(a, b, order) emulated_shuffle_quarters(a, b, order)

static inline __m512i emulated_add_pairs_of_halves(__m512i lanes_a, __m512i lanes_b)
{
    simde__m512i_private a = simde__m512i_to_private(lanes_a);
    simde__m512i_private b = simde__m512i_to_private(lanes_b), sums;
    for (int i = 0; i < LANES; i++)
        sums.i32[i] = a.i16[2 * i] * b.i16[2 * i] + a.i16[2 * i + 1] * b.i16[2 * i + 1];
    return simde__m512i_from_private(sums);
}

static inline __m512i emulated_whole(__m512 lanes)
{
    simde__m512_private v = simde__m512_to_private(lanes);
    simde__m512i_private whole;
    for (int i = 0; i < LANES; i++) whole.i32[i] = (int32_t)rintf(v.f32[i]);
    return simde__m512i_from_private(whole);
}

static inline __m512 emulated_numbers(__m512i lanes)
{
    simde__m512i_private whole = simde__m512i_to_private(lanes);
    simde__m512_private v;
    for (int i = 0; i < LANES; i++) v.f32[i] = (float)whole.i32[i];
    return simde__m512_from_private(v);
}

static inline __m128i emulated_lowest_bytes(__m512i lanes)
{
    simde__m512i_private v = simde__m512i_to_private(lanes);
    simde__m128i_private bytes;
    for (int i = 0; i < LANES; i++) bytes.i8[i] = (int8_t)v.i32[i];
    return simde__m128i_from_private(bytes);
}

#undef _mm512_madd_epi16
#undef _mm512_cvtps_epi32
#undef _mm512_cvtepi32_epi8
#define _mm512_madd_epi16(a, b) emulated_add_pairs_of_halves(a, b)
#undef _mm512_cvtepi32_ps
#define _mm512_cvtepi32_ps(v) emulated_numbers(v)
#define _mm512_cvtps_epi32(v) emulated_whole(v)
#define _mm512_cvtepi32_epi8(v) emulated_lowest_bytes(v)

/* --- bf16 --------------------------------------------------------------------------------- */
static inline __m512bh emulated_round(__m512 upper, __m512 lower)
{
    float lanes[2 * LANES];
    uint16_t rounded[2 * LANES];
    memcpy(lanes, &lower, sizeof lower);
    memcpy(lanes + LANES, &upper, sizeof upper);
    for (int i = 0; i < 2 * LANES; i++) rounded[i] = bf16_flushed(lanes[i]);
    __m512bh result;
    memcpy(&result, rounded, sizeof result);
    return result;
}

static inline __m512 emulated_add_pairs(__m512 sums, __m512bh a, __m512bh b)
{
    float sum[LANES];
    uint16_t x[2 * LANES], y[2 * LANES];
    memcpy(sum, &sums, sizeof sum);
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    for (int i = 0; i < LANES; i++) {
        sum[i] = flushed_add_product(sum[i], x[2 * i + 1], y[2 * i + 1]);
        sum[i] = flushed_add_product(sum[i], x[2 * i], y[2 * i]);
    }
    memcpy(&sums, sum, sizeof sums);
    return sums;
}

#undef _mm512_cvtne2ps_pbh
#undef _mm512_dpbf16_ps
#define _mm512_cvtne2ps_pbh(upper, lower) emulated_round(upper, lower)
#define _mm512_dpbf16_ps(sums, a, b) emulated_add_pairs(sums, a, b)

#endif

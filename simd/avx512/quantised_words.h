/* SPDX-License-Identifier: MIT
 *
 * What the levels with vectors of 512 bits share of the products of quantised weights: a vector
 * has 4 terms of the 16 columns of a panel.
 */
#ifndef RM_AVX512_QUANTISED_WORDS_H
#define RM_AVX512_QUANTISED_WORDS_H

#include <immintrin.h>

#include <string.h>

#include "simd/quantised.h"
#include "simd/vec_avx512.h"
#include "simd/vector/loop.h"

enum { PANEL_VECTORS = 1, GROUP_BYTES = RM_QUANTISED_COLUMNS * RM_GROUP_TERMS };

typedef __m512i whole_vec;

static inline vec vec_of_whole(whole_vec v)
{
    return _mm512_cvtepi32_ps(v);
}

/* Four terms of row i in every lane. */
static inline __m512i terms_of_row(const int8_t *bytes, int i, int group)
{
    int32_t four;
    memcpy(&four, bytes + i * RM_BLOCK_TERMS + group * RM_GROUP_TERMS, sizeof four);
    return _mm512_set1_epi32(four);
}

/* 2^power times the sum of row i's bytes, in every lane. */
static inline __m512i times_sum(const char *a, int mr, int i, int power)
{
    return _mm512_slli_epi32(_mm512_set1_epi32(rm_step_sums(a, mr)[i]), (unsigned)power);
}

static inline __m512i load_group(const char *groups, int group)
{
    return _mm512_loadu_si512(groups + group * GROUP_BYTES);
}

/* Terms 4 g .. 4 g + 3, and those 16 further, as 0..15. */
static inline void load_group_q4(const char *groups, int group, __m512i *low, __m512i *high)
{
    const __m512i lower_half = _mm512_set1_epi8(15);
    __m512i both = load_group(groups, group);
    *low = _mm512_and_si512(both, lower_half);
    *high = _mm512_and_si512(_mm512_srli_epi16(both, 4), lower_half);
}

#endif

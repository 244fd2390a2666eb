/* SPDX-License-Identifier: MIT
 *
 * Products of quantised weights with VPMADDUBSW, as at the level below (avx2/quantised.h), in
 * vectors of 4 terms of 16 columns: a panel of B.
 */
#ifndef RM_AVX512_QUANTISED_H
#define RM_AVX512_QUANTISED_H

#include "simd/avx512/quantised_words.h"

enum { QUANTISED_ROWS = 8, QUANTISED_TILE = 8 };
typedef whole_vec whole_sums[QUANTISED_ROWS][PANEL_VECTORS];

/* Whole sums of m rows by a panel: |w| times a with w's sign. */
BODY multiply_q8(const int m, const char *a, const char *groups, whole_sums sums)
{
    const int8_t *bytes = rm_step_bytes(a, QUANTISED_ROWS);
    const __m512i ones = _mm512_set1_epi16(1), zero = _mm512_setzero_si512();
    FOR_UNROLLED (i, m) sums[i][0] = _mm512_setzero_si512();
    FOR_GROUPS(g, 8)
    {
        __m512i w = load_group(groups, g), size = _mm512_abs_epi8(w);
        __mmask64 is_negative = _mm512_movepi8_mask(w);
        FOR_UNROLLED (i, m) {
            __m512i terms = terms_of_row(bytes, i, g);
            __m512i turned = _mm512_mask_sub_epi8(terms, is_negative, zero, terms);
            __m512i fours = _mm512_madd_epi16(_mm512_maddubs_epi16(size, turned), ones);
            sums[i][0] = _mm512_add_epi32(sums[i][0], fours);
        }
    }
}

/* Pairs are added in 16 bits: at most 8 * 2 * 15 * 127. */
BODY multiply_q4(const int m, const char *a, const char *groups, whole_sums sums)
{
    const int8_t *bytes = rm_step_bytes(a, QUANTISED_ROWS);
    FOR_UNROLLED (i, m) sums[i][0] = _mm512_setzero_si512();
    FOR_GROUPS(g, 4)
    {
        __m512i low, high;
        load_group_q4(groups, g, &low, &high);
        FOR_UNROLLED (i, m) {
            __m512i first = _mm512_maddubs_epi16(low, terms_of_row(bytes, i, g));
            __m512i second = _mm512_maddubs_epi16(high, terms_of_row(bytes, i, g + 4));
            __m512i pairs = _mm512_add_epi16(first, second);
            sums[i][0] = _mm512_add_epi16(sums[i][0], pairs);
        }
    }
    FOR_UNROLLED (i, m) {
        __m512i fours = _mm512_madd_epi16(sums[i][0], _mm512_set1_epi16(1));
        sums[i][0] = _mm512_sub_epi32(fours, times_sum(a, QUANTISED_ROWS, i, 3));
    }
}

/* Multiplies and adds as the tiles do; the weights change, or their products would be the same.
 */
static double peak_q8(int64_t rounds)
{
    enum { OPERATIONS = 2 * QUANTISED_ROWS * RM_QUANTISED_COLUMNS * RM_GROUP_TERMS };
    const __m512i ones = _mm512_set1_epi16(1);
    __m512i sums[QUANTISED_ROWS], a[QUANTISED_ROWS], w = ones;
    FOR_UNROLLED (i, QUANTISED_ROWS) sums[i] = a[i] = _mm512_set1_epi32(i);
    int64_t steps = rounds * 1000 / OPERATIONS;
    for (int64_t p = 0; p < steps; p++, w = _mm512_add_epi16(w, ones))
        FOR_UNROLLED (i, QUANTISED_ROWS) {
            __m512i turned = _mm512_mask_sub_epi8(a[i], 0x5555, w, a[i]);
            __m512i pairs = _mm512_maddubs_epi16(w, turned);
            sums[i] = _mm512_add_epi32(sums[i], _mm512_madd_epi16(pairs, ones));
        }
    volatile int kept; /* or the compiler would compute nothing */
    FOR_UNROLLED (i, QUANTISED_ROWS) kept = _mm_cvtsi128_si32(_mm512_castsi512_si128(sums[i]));
    (void)kept;
    return (double)steps * OPERATIONS;
}

static double peak_q4(int64_t rounds)
{
    enum { OPERATIONS = 2 * QUANTISED_ROWS * RM_QUANTISED_COLUMNS * RM_GROUP_TERMS };
    const __m512i ones = _mm512_set1_epi16(1);
    __m512i sums[QUANTISED_ROWS], a[QUANTISED_ROWS], w = ones;
    FOR_UNROLLED (i, QUANTISED_ROWS) sums[i] = a[i] = _mm512_set1_epi32(i);
    int64_t steps = rounds * 1000 / OPERATIONS;
    for (int64_t p = 0; p < steps; p++, w = _mm512_add_epi16(w, ones))
        FOR_UNROLLED (i, QUANTISED_ROWS)
            sums[i] = _mm512_add_epi16(sums[i], _mm512_maddubs_epi16(w, a[i]));
    volatile int kept;
    FOR_UNROLLED (i, QUANTISED_ROWS) kept = _mm_cvtsi128_si32(_mm512_castsi512_si128(sums[i]));
    (void)kept;
    return (double)steps * OPERATIONS;
}

#include "simd/vector/quantised.h"

#endif

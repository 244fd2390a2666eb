/* SPDX-License-Identifier: MIT
 *
 * Products of quantised weights with VPDPBUSD (VNNI), which adds to each of 16 sums four
 * products of a byte without a sign and one with. The weights are made the former by adding
 * 128 (Q8_0), or are it already (Q4_0, w + 8); as many times the sum of a is taken off.
 */
#ifndef RM_AVX512BF16_QUANTISED_H
#define RM_AVX512BF16_QUANTISED_H

#include "simd/avx512/quantised_words.h"

/* Of a level with more rows in a panel, for some of them alone. */
#ifndef RM_VNNI_ROWS
#define RM_VNNI_ROWS 12
#define RM_VNNI_TILE 12
#endif
enum { QUANTISED_ROWS = RM_VNNI_ROWS, QUANTISED_TILE = RM_VNNI_TILE };
typedef whole_vec whole_sums[QUANTISED_ROWS][PANEL_VECTORS];

BODY multiply_q8(const int m, const char *a, const char *groups, whole_sums sums)
{
    const int8_t *bytes = rm_step_bytes(a, QUANTISED_ROWS);
    FOR_UNROLLED (i, m) sums[i][0] = _mm512_setzero_si512();
    FOR_UNROLLED (g, 8) {
        __m512i w = _mm512_xor_si512(load_group(groups, g), _mm512_set1_epi8(-128));
        FOR_UNROLLED (i, m)
            sums[i][0] = _mm512_dpbusd_epi32(sums[i][0], w, terms_of_row(bytes, i, g));
    }
    FOR_UNROLLED (i, m)
        sums[i][0] = _mm512_sub_epi32(sums[i][0], times_sum(a, QUANTISED_ROWS, i, 7));
}

BODY multiply_q4(const int m, const char *a, const char *groups, whole_sums sums)
{
    const int8_t *bytes = rm_step_bytes(a, QUANTISED_ROWS);
    FOR_UNROLLED (i, m) sums[i][0] = _mm512_setzero_si512();
    FOR_UNROLLED (g, 4) {
        __m512i low, high;
        load_group_q4(groups, g, &low, &high);
        FOR_UNROLLED (i, m) {
            sums[i][0] = _mm512_dpbusd_epi32(sums[i][0], low, terms_of_row(bytes, i, g));
            sums[i][0] = _mm512_dpbusd_epi32(sums[i][0], high, terms_of_row(bytes, i, g + 4));
        }
    }
    FOR_UNROLLED (i, m)
        sums[i][0] = _mm512_sub_epi32(sums[i][0], times_sum(a, QUANTISED_ROWS, i, 3));
}

/* Multiplies and adds as the tiles do. */
OPTIONAL double peak_vnni(int64_t rounds)
{
    enum { OPERATIONS = 2 * QUANTISED_TILE * RM_QUANTISED_COLUMNS * RM_GROUP_TERMS };
    __m512i sums[QUANTISED_TILE], w = _mm512_set1_epi8(3);
    FOR_UNROLLED (i, QUANTISED_TILE) sums[i] = _mm512_set1_epi32(i);
    int64_t steps = rounds * 1000 / OPERATIONS;
    for (int64_t p = 0; p < steps; p++)
        FOR_UNROLLED (i, QUANTISED_TILE) sums[i] = _mm512_dpbusd_epi32(sums[i], w, w);
    volatile int kept; /* or the compiler would compute nothing */
    FOR_UNROLLED (i, QUANTISED_TILE) kept = _mm_cvtsi128_si32(_mm512_castsi512_si128(sums[i]));
    (void)kept;
    return (double)steps * OPERATIONS;
}

#include "simd/vector/quantised.h"

#endif

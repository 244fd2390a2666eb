/* SPDX-License-Identifier: MIT
 *
 * Products of quantised weights with VPMADDUBSW, which multiplies bytes with a sign by bytes
 * without one and adds pairs of products in 16 bits.
 *
 *   Q8_0   |w| times a with w's sign: a pair is at most 2 * 128 * 127, and is widened at once
 *   Q4_0   w + 8 in 0..15 times a: all of a block's pairs are added in 16 bits, from less 8
 *          times the sum of a on
 *
 * A vector has 4 terms of 8 columns, so that a panel of B is two halves of 8 columns.
 */
#ifndef RM_AVX2_QUANTISED_H
#define RM_AVX2_QUANTISED_H

#include <immintrin.h>

#include <string.h>

#include "simd/quantised.h"
#include "simd/vec_avx2.h"
#include "simd/vector/loop.h"

enum { QUANTISED_ROWS = 4, QUANTISED_TILE = 4, PANEL_VECTORS = 2, HALVES = PANEL_VECTORS };
enum { GROUP_BYTES = RM_QUANTISED_COLUMNS * RM_GROUP_TERMS };

typedef __m256i whole_vec;
typedef whole_vec whole_sums[QUANTISED_ROWS][PANEL_VECTORS];

static inline vec vec_of_whole(whole_vec v)
{
    return _mm256_cvtepi32_ps(v);
}

/* A sum that the compiler leaves alone: it would rather add several products first, and would
 * have no registers for the sums meanwhile. */
static inline __m256i in_register(__m256i sum)
{
    __asm__("" : "+x"(sum));
    return sum;
}

/* Four terms of row i in every lane. */
static inline __m256i terms_of_row(const int8_t *bytes, int i, int group)
{
    int32_t four;
    memcpy(&four, bytes + i * RM_BLOCK_TERMS + group * RM_GROUP_TERMS, sizeof four);
    return _mm256_set1_epi32(four);
}

static inline __m256i load_half(const char *groups, int group, int half)
{
    return _mm256_loadu_si256((const __m256i *)(groups + group * GROUP_BYTES) + half);
}

/* Whole sums of m rows by a panel. */
BODY multiply_q8(const int m, const char *a, const char *groups, whole_sums sums)
{
    const int8_t *bytes = rm_step_bytes(a, QUANTISED_ROWS);
    const __m256i ones = _mm256_set1_epi16(1);
    FOR_UNROLLED (i, m)
        FOR_UNROLLED (h, HALVES) sums[i][h] = _mm256_setzero_si256();
    FOR_GROUPS(g, 8)
    {
        __m256i w[HALVES], size[HALVES];
        FOR_UNROLLED (h, HALVES) {
            w[h] = load_half(groups, g, h);
            size[h] = _mm256_abs_epi8(w[h]);
        }
        FOR_UNROLLED (i, m) {
            __m256i terms = terms_of_row(bytes, i, g);
            FOR_UNROLLED (h, HALVES) {
                __m256i turned = _mm256_sign_epi8(terms, w[h]);
                __m256i pairs = _mm256_madd_epi16(_mm256_maddubs_epi16(size[h], turned), ones);
                sums[i][h] = in_register(_mm256_add_epi32(sums[i][h], pairs));
            }
        }
    }
}

/* Adds to 16-bit sums the products of a group, of all rows and both halves. */
BODY add_group_q4(const int m, const int8_t *bytes, int group, const __m256i w[HALVES],
                  whole_sums sums)
{
    FOR_UNROLLED (i, m) {
        __m256i terms = terms_of_row(bytes, i, group);
        FOR_UNROLLED (h, HALVES) {
            __m256i pairs = _mm256_maddubs_epi16(w[h], terms);
            sums[i][h] = in_register(_mm256_add_epi16(sums[i][h], pairs));
        }
    }
}

/* Less 8 times each row's sum of a, in the lower 16 bits of 32: where the sums of a column's
 * pairs begin. A sum of 16 bits may run over on its way, but not in the end, where it is at
 * most 16 * 8 * 127 for its own terms and as much for the others', which it alone is corrected
 * for. */
static inline void first_sums_q4(const char *a, int32_t first[QUANTISED_ROWS])
{
    __m128i sums =
        _mm_loadu_si128((const __m128i *)(const void *)rm_step_sums(a, QUANTISED_ROWS));
    __m128i less = _mm_sub_epi32(_mm_setzero_si128(), _mm_slli_epi32(sums, 3));
    _mm_store_si128((__m128i *)first, _mm_and_si128(less, _mm_set1_epi32(0xFFFF)));
}

BODY multiply_q4(const int m, const char *a, const char *groups, whole_sums sums)
{
    const int8_t *bytes = rm_step_bytes(a, QUANTISED_ROWS);
    const __m256i lower_half = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    _Alignas(16) int32_t first[QUANTISED_ROWS];
    first_sums_q4(a, first);
    FOR_UNROLLED (i, m)
        FOR_UNROLLED (h, HALVES) sums[i][h] = _mm256_set1_epi32(first[i]);
    FOR_GROUPS(g, 4)
    {
        __m256i w[HALVES];
        FOR_UNROLLED (h, HALVES) w[h] = _mm256_and_si256(load_half(groups, g, h), lower_half);
        add_group_q4(m, bytes, g, w, sums);
        FOR_UNROLLED (h, HALVES)
            w[h] = _mm256_and_si256(_mm256_srli_epi16(load_half(groups, g, h), 4), lower_half);
        add_group_q4(m, bytes, g + 4, w, sums);
    }
    FOR_UNROLLED (i, m)
        FOR_UNROLLED (h, HALVES) sums[i][h] = _mm256_madd_epi16(sums[i][h], ones);
}

/* The same value, of which the compiler knows nothing. */
static inline __m256i unknown(__m256i value)
{
    __asm__ volatile("" : "+x"(value));
    return value;
}

/* Multiplies, and adds to sums of 32 bits, as the tile of Q8_0 does. */
static double peak_q8(int64_t rounds)
{
    enum { OPERATIONS = 2 * QUANTISED_ROWS * RM_QUANTISED_COLUMNS * RM_GROUP_TERMS };
    __m256i sums[QUANTISED_ROWS * HALVES], w = _mm256_set1_epi8(3), kept = w;
    FOR_UNROLLED (i, QUANTISED_ROWS * HALVES) sums[i] = _mm256_set1_epi32(i);
    int64_t steps = rounds * 1000 / OPERATIONS;
    for (int64_t p = 0; p < steps; p++)
        FOR_UNROLLED (i, QUANTISED_ROWS * HALVES) {
            __m256i pairs = _mm256_maddubs_epi16(w, _mm256_sign_epi8(unknown(w), w));
            __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
            sums[i] = _mm256_add_epi32(sums[i], fours);
        }
    FOR_UNROLLED (i, QUANTISED_ROWS * HALVES) kept = _mm256_xor_si256(kept, sums[i]);
    unknown(kept);
    return (double)steps * OPERATIONS;
}

/* The same for Q4_0, whose sums are of 16 bits. */
static double peak_q4(int64_t rounds)
{
    enum { OPERATIONS = 2 * QUANTISED_ROWS * RM_QUANTISED_COLUMNS * RM_GROUP_TERMS };
    __m256i sums[QUANTISED_ROWS * HALVES], w = _mm256_set1_epi8(3), kept = w;
    FOR_UNROLLED (i, QUANTISED_ROWS * HALVES) sums[i] = _mm256_set1_epi16((int16_t)i);
    int64_t steps = rounds * 1000 / OPERATIONS;
    for (int64_t p = 0; p < steps; p++)
        FOR_UNROLLED (i, QUANTISED_ROWS * HALVES) {
            __m256i pairs = _mm256_maddubs_epi16(w, unknown(w));
            sums[i] = _mm256_add_epi16(sums[i], pairs);
        }
    FOR_UNROLLED (i, QUANTISED_ROWS * HALVES) kept = _mm256_xor_si256(kept, sums[i]);
    unknown(kept);
    return (double)steps * OPERATIONS;
}

#include "simd/vector/quantised.h"

#endif

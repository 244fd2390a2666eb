/* SPDX-License-Identifier: MIT
 *
 * Products of quantised weights in NEON: a vector has 4 terms of 4 columns, and a panel four of
 * them. With a dot product instruction (SDOT) a vector of it is added to 4 sums at once;
 * without one, bytes are multiplied to 16 bits, and pairs of products are added to sums of 32.
 */
#ifndef RM_NEON_QUANTISED_H
#define RM_NEON_QUANTISED_H

#include <arm_neon.h>

#include <string.h>

#include "simd/quantised.h"
#include "simd/vec_neon.h"
#include "simd/vector/loop.h"

enum { QUANTISED_ROWS = 4, QUANTISED_TILE = 4, PANEL_VECTORS = 4 };
enum { GROUP_BYTES = RM_QUANTISED_COLUMNS * RM_GROUP_TERMS, VECTOR_BYTES = 16 };

typedef int32x4_t whole_vec;
typedef whole_vec whole_sums[QUANTISED_ROWS][PANEL_VECTORS];

static inline vec vec_of_whole(whole_vec v)
{
    return vcvtq_f32_s32(v);
}

/* Four terms of row i, four times. */
static inline int8x16_t terms_of_row(const int8_t *bytes, int i, int group)
{
    int32_t four;
    memcpy(&four, bytes + i * RM_BLOCK_TERMS + group * RM_GROUP_TERMS, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

/* Sums of 4 columns on their way: pairs of terms apart, where there is no SDOT. */
typedef struct column_sums {
    int32x4_t low, high;
} column_sums;

static inline column_sums add_group(column_sums sums, int8x16_t w, int8x16_t terms)
{
#ifdef __ARM_FEATURE_DOTPROD
    sums.low = vdotq_s32(sums.low, w, terms);
#else
    sums.low = vpadalq_s16(sums.low, vmull_s8(vget_low_s8(w), vget_low_s8(terms)));
    sums.high = vpadalq_s16(sums.high, vmull_high_s8(w, terms));
#endif
    return sums;
}

static inline whole_vec whole_of_columns(column_sums sums)
{
#ifdef __ARM_FEATURE_DOTPROD
    return sums.low;
#else
    return vpaddq_s32(sums.low, sums.high);
#endif
}

static inline int8x16_t load_vector(const char *groups, int group, int v)
{
    return vld1q_s8((const int8_t *)groups + group * GROUP_BYTES + v * VECTOR_BYTES);
}

/* Whole sums of m rows by a panel, 4 columns after 4. */
BODY multiply_q8(const int m, const char *a, const char *groups, whole_sums sums)
{
    const int8_t *bytes = rm_step_bytes(a, QUANTISED_ROWS);
    FOR_UNROLLED (v, PANEL_VECTORS) {
        column_sums columns[QUANTISED_ROWS];
        FOR_UNROLLED (i, m) columns[i] = (column_sums){vdupq_n_s32(0), vdupq_n_s32(0)};
        FOR_UNROLLED (g, 8) {
            int8x16_t w = load_vector(groups, g, v);
            FOR_UNROLLED (i, m)
                columns[i] = add_group(columns[i], w, terms_of_row(bytes, i, g));
        }
        FOR_UNROLLED (i, m) sums[i][v] = whole_of_columns(columns[i]);
    }
}

BODY multiply_q4(const int m, const char *a, const char *groups, whole_sums sums)
{
    const int8_t *bytes = rm_step_bytes(a, QUANTISED_ROWS);
    const int8x16_t eight = vdupq_n_s8(8);
    FOR_UNROLLED (v, PANEL_VECTORS) {
        column_sums columns[QUANTISED_ROWS];
        FOR_UNROLLED (i, m) columns[i] = (column_sums){vdupq_n_s32(0), vdupq_n_s32(0)};
        FOR_UNROLLED (g, 4) {
            uint8x16_t both = vreinterpretq_u8_s8(load_vector(groups, g, v));
            uint8x16_t low = vandq_u8(both, vdupq_n_u8(15)), high = vshrq_n_u8(both, 4);
            int8x16_t first = vsubq_s8(vreinterpretq_s8_u8(low), eight);
            int8x16_t second = vsubq_s8(vreinterpretq_s8_u8(high), eight);
            FOR_UNROLLED (i, m) {
                columns[i] = add_group(columns[i], first, terms_of_row(bytes, i, g));
                columns[i] = add_group(columns[i], second, terms_of_row(bytes, i, g + 4));
            }
        }
        FOR_UNROLLED (i, m) sums[i][v] = whole_of_columns(columns[i]);
    }
}

/* Multiplies and adds as the tiles do; the weights change, or their products would be the same.
 */
static double peak_int8(int64_t rounds)
{
    enum { CHAINS = 8, OPERATIONS = 2 * CHAINS * VECTOR_BYTES };
    column_sums sums[CHAINS];
    int8x16_t a[CHAINS], w = vdupq_n_s8(1);
    FOR_UNROLLED (i, CHAINS) {
        sums[i] = (column_sums){vdupq_n_s32(i), vdupq_n_s32(i)};
        a[i] = vdupq_n_s8((int8_t)i);
    }
    int64_t steps = rounds * 1000 / OPERATIONS;
    for (int64_t p = 0; p < steps; p++, w = vaddq_s8(w, w))
        FOR_UNROLLED (i, CHAINS) sums[i] = add_group(sums[i], w, a[i]);
    volatile int32_t kept; /* or the compiler would compute nothing */
    FOR_UNROLLED (i, CHAINS) kept = vgetq_lane_s32(whole_of_columns(sums[i]), 0);
    (void)kept;
    return (double)steps * OPERATIONS;
}

#include "simd/vector/quantised.h"

#endif

/* SPDX-License-Identifier: MIT
 *
 * Columns of weights into panels of blocks (simd/quantised.h), for every level: with its own
 * way to make blocks of numbers.
 */
#ifndef RM_QUANTISED_PANEL_H
#define RM_QUANTISED_PANEL_H

#include <string.h>

#include "simd/quantised.h"
#include "simd/scalar_math.h"

static inline void rm_put_scale(float scale, char *block)
{
    uint16_t half = rm_half_narrow(scale);
    memcpy(block, &half, sizeof half);
}

/* 0 for scales so small that they become zero as halves. */
static inline float rm_inverse_of_scale(float scale)
{
    return fabsf(scale) < 0x1p-100f ? 0 : 1 / scale;
}

/* Column j of a step; `bytes` is a constant. */
static inline __attribute__((always_inline)) void
rm_place_block(const int bytes, const char *block, int j, char *step)
{
    memcpy(step + j * RM_SCALE_BYTES, block, RM_SCALE_BYTES);
    char *to = step + RM_QUANTISED_COLUMNS * RM_SCALE_BYTES + j * RM_GROUP_TERMS;
    for (int t = 0; t < bytes - RM_SCALE_BYTES; t += RM_GROUP_TERMS)
        memcpy(to + t * RM_QUANTISED_COLUMNS, block + RM_SCALE_BYTES + t, RM_GROUP_TERMS);
}

typedef void rm_quantise_row(int64_t n, const rm_real *x, void *blocks);

/* A block of each line at a time. */
static inline __attribute__((always_inline)) void
rm_pack_quantised_lines(const int bytes, rm_quantise_row *quantise, int64_t k, int n,
                        const rm_real *const *lines, char *panel)
{
    char block[RM_Q8_BYTES];
    for (int64_t first = 0; first < k;
         first += RM_BLOCK_TERMS, panel += RM_QUANTISED_COLUMNS * bytes) {
        if (n < RM_QUANTISED_COLUMNS) memset(panel, 0, (size_t)(RM_QUANTISED_COLUMNS * bytes));
        for (int j = 0; j < n; j++) {
            quantise(k - first < RM_BLOCK_TERMS ? k - first : RM_BLOCK_TERMS, lines[j] + first,
                     block);
            rm_place_block(bytes, block, j, panel);
        }
    }
}

#endif

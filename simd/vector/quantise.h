/* SPDX-License-Identifier: MIT
 *
 * Rows of A to bytes for products of quantised weights, over the vector vocabulary. A step of a
 * packed panel is drawn in simd/quantised.h.
 */
#ifndef RM_VECTOR_QUANTISE_H
#define RM_VECTOR_QUANTISE_H

#include <float.h>
#include <math.h>
#include <string.h>

#include "simd/quantised.h"
#include "simd/vector/loop.h"

enum { BLOCK_VECTORS = RM_BLOCK_TERMS / VEC_WIDTH };

/* Rounds a block's numbers times `inverse` to bytes, and adds those up, which is exact. */
static inline int32_t quantise_bytes(const vec x[BLOCK_VECTORS], rm_real inverse, int8_t *bytes)
{
    vec sum = vec_all(0);
    FOR_UNROLLED (v, BLOCK_VECTORS) {
        vec whole = vec_nearest_integer(vec_mul(x[v], vec_all(inverse)));
        vec_store_bytes(bytes + v * VEC_WIDTH, whole);
        sum = vec_add(sum, whole);
    }
    return (int32_t)vec_sum(sum);
}

/* Row i of a step of `mr` rows, a constant. */
BODY quantise_block(const int mr, int64_t terms, const rm_real *x, int i, char *step)
{
    int8_t *bytes = (int8_t *)step + 2 * sizeof(float) * (size_t)mr + i * RM_BLOCK_TERMS;
    float *scale = (float *)step + i;
    int32_t *sum = (int32_t *)step + mr + i;
    vec lanes[BLOCK_VECTORS], most = vec_all(0);
    FOR_UNROLLED (v, BLOCK_VECTORS) {
        lanes[v] = vec_load_first(x + v * VEC_WIDTH, terms - v * VEC_WIDTH);
        most = vec_max(most, vec_absolute(lanes[v]));
    }
    rm_real greatest = vec_max_lanes(most);
    if (greatest >= RM_LEAST_OF_BLOCK && greatest <= FLT_MAX) {
        *scale = greatest / 127;
        *sum = quantise_bytes(lanes, 127 / greatest, bytes);
        return;
    }
    *scale = greatest < RM_LEAST_OF_BLOCK ? 0 : NAN;
    *sum = 0;
    memset(bytes, 0, RM_BLOCK_TERMS);
}

/* Missing rows are zeros. */
BODY quantise_rows(const int mr, int64_t k, int m, const rm_real *const *lines, char *panel)
{
    char *step = panel;
    for (int64_t first = 0; first < k; first += RM_BLOCK_TERMS) {
        if (m < mr) memset(step, 0, (size_t)mr * RM_STEP_ROW_BYTES);
        for (int i = 0; i < m; i++) quantise_block(mr, k - first, lines[i] + first, i, step);
        step += mr * RM_STEP_ROW_BYTES;
    }
}

#endif

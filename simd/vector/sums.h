/* SPDX-License-Identifier: MIT
 *
 * Sums over a row, and its maximum, over the vector vocabulary. Vector number v of the row goes
 * to chain v mod SUM_CHAINS (several chains hide the latency of an addition), missing lanes
 * count as zero, and the chains are added in a fixed tree: the order depends on n alone.
 */
#ifndef RM_VECTOR_SUMS_H
#define RM_VECTOR_SUMS_H

#include "simd/kernels.h"
#include "simd/vector/exp.h"
#include "simd/vector/loop.h"

enum { SUM_CHAINS = 4, SUM_STEP = SUM_CHAINS * VEC_WIDTH };

static inline void chains_start(vec chains[SUM_CHAINS], rm_real value)
{
    FOR_UNROLLED (c, SUM_CHAINS) chains[c] = vec_all(value);
}

static inline rm_real chains_sum(const vec chains[SUM_CHAINS])
{
    return vec_sum(vec_add(vec_add(chains[0], chains[1]), vec_add(chains[2], chains[3])));
}

BODY dot_at(int64_t i, int64_t count, const rm_real *x, const rm_real *y,
            vec chains[SUM_CHAINS])
{
    FOR_UNROLLED (c, SUM_CHAINS) {
        int64_t skip = c * VEC_WIDTH;
        vec x_lanes = vec_load_first(x + i + skip, count - skip);
        vec y_lanes = vec_load_first(y + i + skip, count - skip);
        chains[c] = vec_fma(x_lanes, y_lanes, chains[c]);
    }
}

static rm_real row_dot(int64_t n, const rm_real *x, const rm_real *y)
{
    vec chains[SUM_CHAINS];
    chains_start(chains, 0);
    FOR_EACH_STEP(SUM_STEP, n, dot_at, x, y, chains);
    return chains_sum(chains);
}

BODY max_at(int64_t i, int64_t count, const rm_real *x, vec chains[SUM_CHAINS])
{
    FOR_UNROLLED (c, SUM_CHAINS) {
        int64_t skip = c * VEC_WIDTH;
        vec lanes = vec_load_first(x + i + skip, count - skip);
        chains[c] = vec_max(vec_first_or(lanes, count - skip, chains[c]), chains[c]);
    }
}

static rm_real row_max(int64_t n, const rm_real *x)
{
    vec chains[SUM_CHAINS];
    chains_start(chains, -INFINITY);
    FOR_EACH_STEP(SUM_STEP, n, max_at, x, chains);
    return vec_max_lanes(vec_max(vec_max(chains[0], chains[1]), vec_max(chains[2], chains[3])));
}

BODY exp_shift_at(int64_t i, int64_t count, vec shift, const rm_real *x, rm_real *y, vec *sum)
{
    vec value = vec_exp(vec_sub(vec_load_first(x + i, count), shift));
    vec_store_first(y + i, count, value);
    *sum = vec_add(*sum, vec_first_or(value, count, vec_all(0)));
}

static rm_real row_exp_shift(int64_t n, rm_real shift, const rm_real *x, rm_real *y)
{
    vec sum = vec_all(0);
    FOR_EACH_VECTOR(n, exp_shift_at, vec_all(shift), x, y, &sum);
    return vec_sum(sum);
}

BODY sum_squares_at(int64_t i, int64_t count, const rm_real *x, vec_double chains[SUM_CHAINS])
{
    FOR_UNROLLED (c, SUM_CHAINS) {
        int64_t skip = c * VEC_WIDTH;
        vec_double lanes = vec_double_load_first(x + i + skip, count - skip);
        chains[c] = vec_double_add_square(chains[c], lanes);
    }
}

static double row_sum_squares(int64_t n, const rm_real *x)
{
    vec_double chains[SUM_CHAINS];
    FOR_UNROLLED (c, SUM_CHAINS) chains[c] = vec_double_zero();
    FOR_EACH_STEP(SUM_STEP, n, sum_squares_at, x, chains);
    return vec_double_sum(vec_double_add(vec_double_add(chains[0], chains[1]),
                                         vec_double_add(chains[2], chains[3])));
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * Products and sums of many rows of a matrix that comes from memory, over the vector
 * vocabulary: the bits of row_dot and row_axpy, called row by row. Rows lie apart, where no
 * prefetcher of the processor's finds them, so that some are asked for ahead.
 */
#ifndef RM_VECTOR_MANY_ROWS_H
#define RM_VECTOR_MANY_ROWS_H

#include "simd/vector/sums.h"

enum { ROWS_AHEAD = 8, ROWS_VECTORS = VEC_WIDTH > 8 ? 4 : 8 };

BODY ask_for_row(const rm_real *row, int64_t n)
{
    for (int64_t i = 0; i < n; i += 64 / (int64_t)sizeof *row) __builtin_prefetch(row + i);
}

BODY dot_pair_at(int64_t i, int64_t count, const rm_real *x, const rm_real *first,
                 const rm_real *second, vec chains[2][SUM_CHAINS])
{
    FOR_UNROLLED (c, SUM_CHAINS) {
        int64_t skip = c * VEC_WIDTH;
        vec lanes = vec_load_first(x + i + skip, count - skip);
        vec left = vec_load_first(first + i + skip, count - skip);
        vec right = vec_load_first(second + i + skip, count - skip);
        chains[0][c] = vec_fma(lanes, left, chains[0][c]);
        chains[1][c] = vec_fma(lanes, right, chains[1][c]);
    }
}

static void row_dot_rows(int64_t n, int64_t n_rows, const rm_real *x, const rm_real *rows,
                         int64_t stride, rm_real *dots)
{
    int64_t j = 0;
    for (; j + 1 < n_rows; j += 2) {
        const rm_real *row = rows + j * stride;
        vec chains[2][SUM_CHAINS];
        chains_start(chains[0], 0);
        chains_start(chains[1], 0);
        ask_for_row(row + ROWS_AHEAD * stride, n);
        ask_for_row(row + (ROWS_AHEAD + 1) * stride, n);
        FOR_EACH_STEP(SUM_STEP, n, dot_pair_at, x, row, row + stride, chains);
        dots[j] = chains_sum(chains[0]);
        dots[j + 1] = chains_sum(chains[1]);
    }
    if (j < n_rows) dots[j] = row_dot(n, x, rows + j * stride);
}

BODY axpy_rows_at(int64_t i, int64_t count, int64_t n_rows, const rm_real *alphas,
                  const rm_real *rows, int64_t stride, rm_real *y)
{
    vec sums[ROWS_VECTORS];
    FOR_UNROLLED (v, ROWS_VECTORS)
        sums[v] = vec_load_first(y + i + v * VEC_WIDTH, count - v * VEC_WIDTH);
    for (int64_t j = 0; j < n_rows; j++) {
        const rm_real *row = rows + j * stride + i;
        vec alpha = vec_all(alphas[j]);
        ask_for_row(row + ROWS_AHEAD * stride, ROWS_VECTORS * VEC_WIDTH);
        FOR_UNROLLED (v, ROWS_VECTORS) {
            vec lanes = vec_load_first(row + v * VEC_WIDTH, count - v * VEC_WIDTH);
            sums[v] = vec_fma(alpha, lanes, sums[v]);
        }
    }
    FOR_UNROLLED (v, ROWS_VECTORS)
        vec_store_first(y + i + v * VEC_WIDTH, count - v * VEC_WIDTH, sums[v]);
}

static void row_axpy_rows(int64_t n, int64_t n_rows, const rm_real *alphas, const rm_real *rows,
                          int64_t stride, rm_real *y)
{
    FOR_EACH_STEP(ROWS_VECTORS * VEC_WIDTH, n, axpy_rows_at, n_rows, alphas, rows, stride, y);
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * Product tiles over the vector vocabulary: the sums of C stay in registers while k runs.
 *
 *                      B row p:  | vector 0 | vector 1 | ..     loaded once a step
 *   A[0][p] broadcast  x           sums 0,0   sums 0,1
 *   A[1][p] broadcast  x           sums 1,0   sums 1,1
 *   ..  TILE_ROWS
 *
 * All columns of the panel are computed, its zero ones too; only n of them are stored. One
 * function a number of rows, so that the sums are named registers in each.
 */
#ifndef RM_VECTOR_TILE_H
#define RM_VECTOR_TILE_H

#include "simd/kernels.h"
#include "simd/vector/loop.h"

enum { TILE_COLUMNS = TILE_VECTORS * VEC_WIDTH };

typedef struct tile_source {
    const rm_real *a;
    int64_t a_row, a_col;
    const rm_real *b;      /* the panel, in fp32 */
    const rm_bf16 *b_bf16; /* or in bf16 */
} tile_source;

typedef struct tile_target {
    rm_real *c;
    int64_t c_row;
    int n;
    bool add;
} tile_target;

BODY tile_row_store(tile_row row, rm_real *c, const tile_target *target)
{
    FOR_UNROLLED (v, TILE_VECTORS) {
        int first = v * VEC_WIDTH, count = target->n - first;
        vec sums = row.v[v];
        if (target->add) sums = vec_add(vec_load_first(c + first, count), sums);
        vec_store_first(c + first, count, sums);
    }
}

BODY tile_multiply_row(rm_real a, tile_row b, tile_row *sums)
{
    vec a_lanes = vec_all(a);
    FOR_UNROLLED (v, TILE_VECTORS) sums->v[v] = vec_fma(a_lanes, b.v[v], sums->v[v]);
}

BODY tile_of_rows(const int m, const bool bf16, int64_t k, tile_source source,
                  const tile_target *target)
{
    tile_row sums[TILE_ROWS];
    FOR_UNROLLED (i, m) sums[i] = tile_row_zero();
    for (int64_t p = 0; p < k; p++) {
        tile_row b = bf16 ? tile_row_load_bf16(source.b_bf16 + p * TILE_COLUMNS)
                          : tile_row_load(source.b + p * TILE_COLUMNS);
        const rm_real *a = source.a + p * source.a_col;
        FOR_UNROLLED (i, m) tile_multiply_row(a[i * source.a_row], b, &sums[i]);
    }
    FOR_UNROLLED (i, m)
        tile_row_store(bf16 ? tile_row_restore(sums[i]) : sums[i],
                       target->c + i * target->c_row, target);
}

BODY tile_of_type(const bool bf16, int64_t k, tile_source source, int m,
                  const tile_target *target)
{
    switch (m) {
    case 1:
        tile_of_rows(1, bf16, k, source, target);
        break;
    case 2:
        tile_of_rows(2, bf16, k, source, target);
        break;
    case 3:
        tile_of_rows(3, bf16, k, source, target);
        break;
    case 4:
        tile_of_rows(4, bf16, k, source, target);
        break;
    case 5:
        tile_of_rows(5, bf16, k, source, target);
        break;
    default:
        tile_of_rows(TILE_ROWS, bf16, k, source, target);
    }
}

static void tile(int64_t k, const rm_real *a, int64_t a_row, int64_t a_col, const rm_real *b,
                 rm_real *c, int64_t c_row, int m, int n, bool add)
{
    tile_source source = {.a = a, .a_row = a_row, .a_col = a_col, .b = b};
    tile_of_type(false, k, source, m, &(tile_target){c, c_row, n, add});
}

static void tile_bf16(int64_t k, const rm_real *a, int64_t a_row, int64_t a_col,
                      const rm_bf16 *b, rm_real *c, int64_t c_row, int m, int n, bool add)
{
    tile_source source = {.a = a, .a_row = a_row, .a_col = a_col, .b_bf16 = b};
    tile_of_type(true, k, source, m, &(tile_target){c, c_row, n, add});
}

#endif

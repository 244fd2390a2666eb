/* SPDX-License-Identifier: MIT
 *
 * Product tiles over the vector vocabulary: the sums of C stay in registers while p runs.
 *
 *                      B row p:  | vector 0 | vector 1 | ..     loaded once a step
 *   A[0][p] broadcast  x           sums 0,0   sums 0,1
 *   A[1][p] broadcast  x           sums 1,0   sums 1,1
 *   ..  TILE_ROWS
 *
 * All columns of the panel are computed, its zero ones too; only n of them are stored. One
 * function a number of rows, so that the sums are named registers in each. A packed panel of A
 * is [p][TILE_ROWS] numbers, of B [p][TILE_COLUMNS] numbers or bf16; bf16 is widened on load.
 */
#ifndef RM_VECTOR_TILE_H
#define RM_VECTOR_TILE_H

#include "simd/kernels.h"
#include "simd/vector/loop.h"

enum { TILE_COLUMNS = TILE_VECTORS * VEC_WIDTH };

/* A[i][p] = a[i * a_row + p * a_col] */
typedef struct tile_source {
    const rm_real *a;
    int64_t a_row, a_col;
    const void *b;
} tile_source;

typedef struct tile_target {
    rm_real *c;
    int64_t c_row;
    int n;
    bool add;
} tile_target;

static inline tile_row tile_row_load(const rm_real *p)
{
    tile_row row;
    FOR_UNROLLED (v, TILE_VECTORS) row.v[v] = vec_load(p + v * VEC_WIDTH);
    return row;
}

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
    FOR_UNROLLED (i, m)
        FOR_UNROLLED (v, TILE_VECTORS) sums[i].v[v] = vec_all(0);
    for (int64_t p = 0; p < k; p++) {
        tile_row b = bf16 ? tile_row_load_bf16((const rm_bf16 *)source.b + p * TILE_COLUMNS)
                          : tile_row_load((const rm_real *)source.b + p * TILE_COLUMNS);
        const rm_real *a = source.a + p * source.a_col;
        FOR_UNROLLED (i, m) tile_multiply_row(a[i * source.a_row], b, &sums[i]);
    }
    FOR_UNROLLED (i, m)
        tile_row_store(bf16 ? tile_row_restore(sums[i]) : sums[i],
                       target->c + i * target->c_row, target);
}

/* A case for each number of rows that any vocabulary has; those beyond TILE_ROWS are empty. */
#define TILE_CASE(rows)                                                                        \
    case rows:                                                                                 \
        if (rows <= TILE_ROWS) tile_of_rows(rows, bf16, k, source, target);                    \
        break
_Static_assert(TILE_ROWS <= 14, "tile_of_type has no more cases");

BODY tile_of_type(const bool bf16, int64_t k, tile_source source, int m,
                  const tile_target *target)
{
    switch (m) {
        TILE_CASE(1);
        TILE_CASE(2);
        TILE_CASE(3);
        TILE_CASE(4);
        TILE_CASE(5);
        TILE_CASE(6);
        TILE_CASE(7);
        TILE_CASE(8);
        TILE_CASE(9);
        TILE_CASE(10);
        TILE_CASE(11);
        TILE_CASE(12);
        TILE_CASE(13);
        TILE_CASE(14);
    default:
        break;
    }
}

static void tile_fp32(int64_t k, const void *a, const void *b, rm_real *c, int64_t c_row, int m,
                      int n, bool add)
{
    tile_of_type(false, k, (tile_source){a, 1, TILE_ROWS, b}, m,
                 &(tile_target){c, c_row, n, add});
}

static inline void tile_bf16(int64_t k, const void *a, const void *b, rm_real *c, int64_t c_row,
                             int m, int n, bool add)
{
    tile_of_type(true, k, (tile_source){a, 1, TILE_ROWS, b}, m,
                 &(tile_target){c, c_row, n, add});
}

static void tile_in_place(int64_t k, const rm_real *a, int64_t a_row, int64_t a_col,
                          const void *b, rm_real *c, int64_t c_row, int m, int n, bool add)
{
    tile_of_type(false, k, (tile_source){a, a_row, a_col, b}, m,
                 &(tile_target){c, c_row, n, add});
}

/* The tile's loop without its loads. */
static double tile_peak(int64_t rounds)
{
    enum { OPERATIONS = 2 * TILE_ROWS * TILE_COLUMNS };
    tile_row sums[TILE_ROWS], b;
    FOR_UNROLLED (v, TILE_VECTORS) b.v[v] = vec_all((rm_real)0.01 * (rm_real)(v + 1));
    FOR_UNROLLED (i, TILE_ROWS) /* all different, or the compiler would compute some only */
        FOR_UNROLLED (v, TILE_VECTORS) sums[i].v[v] = vec_all((rm_real)(i * TILE_VECTORS + v));
    int64_t steps = rounds * 1000 / OPERATIONS;
    for (int64_t p = 0; p < steps; p++)
        FOR_UNROLLED (i, TILE_ROWS)
            FOR_UNROLLED (v, TILE_VECTORS) sums[i].v[v] = vec_fma(b.v[0], b.v[v], sums[i].v[v]);
    volatile rm_real kept; /* or the compiler would compute nothing */
    FOR_UNROLLED (i, TILE_ROWS)
        FOR_UNROLLED (v, TILE_VECTORS) kept = vec_sum(sums[i].v[v]);
    (void)kept;
    return (double)steps * OPERATIONS;
}

#endif

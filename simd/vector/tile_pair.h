/* SPDX-License-Identifier: MIT
 *
 * Tiles of few rows on two panels of B at once. With few rows B comes from memory, and two
 * streams of it are read faster than one, by the processor's own prefetchers. The sums of both
 * panels are in registers; each is the same chain as in a tile of one panel (vector/tile.h).
 */
#ifndef RM_VECTOR_TILE_PAIR_H
#define RM_VECTOR_TILE_PAIR_H

#include "simd/vector/tile.h"

/* What the sums leave must hold both rows of B; bf16 also takes registers to be widened. */
enum { PAIR_ROWS_FP32 = TILE_ROWS / 2, PAIR_ROWS_BF16 = TILE_ROWS / 2 - 1 };

BODY pair_of_rows(const tile_kind kind, const int m, int64_t k, const rm_real *a,
                  const rm_tile_pair *pair, int64_t c_row, bool add)
{
    tile_row sums[2][TILE_ROWS];
    FOR_UNROLLED (s, 2)
        FOR_UNROLLED (i, m)
            FOR_UNROLLED (v, TILE_VECTORS) sums[s][i].v[v] = vec_all(0);
    FOR_TERMS (p, k)
        FOR_UNROLLED (s, 2)
            tile_multiply_packed(m, a + p * TILE_ROWS, tile_row_of_term(kind, pair->b[s], p),
                                 sums[s]);
    FOR_UNROLLED (s, 2) {
        if (kind == TILE_BF16)
            FOR_UNROLLED (i, m) sums[s][i] = tile_row_restore(sums[s][i]);
        tile_store(m, sums[s], &(tile_target){pair->c[s], c_row, pair->n[s], add});
    }
}

typedef void pair_function(int64_t k, const rm_real *a, const rm_tile_pair *pair, int64_t c_row,
                           bool add);
#define PAIR_OF_ROWS(name, kind, most, rows)                                                   \
    static void name##_##rows(int64_t k, const rm_real *a, const rm_tile_pair *pair,           \
                              int64_t c_row, bool add)                                         \
    {                                                                                          \
        if (rows <= most) pair_of_rows(kind, rows, k, a, pair, c_row, add);                    \
    }
#define PAIR_OF_ALL_ROWS(name, kind, most)                                                     \
    PAIR_OF_ROWS(name, kind, most, 1)                                                          \
    PAIR_OF_ROWS(name, kind, most, 2)                                                          \
    PAIR_OF_ROWS(name, kind, most, 3)                                                          \
    PAIR_OF_ROWS(name, kind, most, 4)                                                          \
    PAIR_OF_ROWS(name, kind, most, 5)                                                          \
    PAIR_OF_ROWS(name, kind, most, 6)                                                          \
    PAIR_OF_ROWS(name, kind, most, 7)                                                          \
    OPTIONAL pair_function *const name##_of_rows[] = {name##_1, name##_2, name##_3, name##_4,  \
                                                      name##_5, name##_6, name##_7}
_Static_assert(PAIR_ROWS_FP32 <= 7, "there are no more functions");

PAIR_OF_ALL_ROWS(pair_fp32, TILE_FP32, PAIR_ROWS_FP32);
PAIR_OF_ALL_ROWS(pair_bf16, TILE_BF16, PAIR_ROWS_BF16);

OPTIONAL void tile_pair_fp32(int64_t k, const void *a, const rm_tile_pair *pair, int64_t c_row,
                             int m, bool add)
{
    pair_fp32_of_rows[m - 1](k, a, pair, c_row, add);
}

OPTIONAL void tile_pair_bf16(int64_t k, const void *a, const rm_tile_pair *pair, int64_t c_row,
                             int m, bool add)
{
    pair_bf16_of_rows[m - 1](k, a, pair, c_row, add);
}

#endif

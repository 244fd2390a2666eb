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

typedef struct pair_source {
    const rm_real *a;
    const char *b, *b_second;
} pair_source;

BODY pair_of_rows(const tile_kind kind, const int m, int64_t k, const pair_source *source,
                  const tile_target *target)
{
    tile_row sums[TILE_ROWS], second[TILE_ROWS];
    FOR_UNROLLED (i, m)
        FOR_UNROLLED (v, TILE_VECTORS) sums[i].v[v] = second[i].v[v] = vec_all(0);
    FOR_TERMS (p, k) {
        const rm_real *a = source->a + p * TILE_ROWS;
        tile_multiply_packed(m, a, tile_row_of_term(kind, source->b, p), sums);
        tile_multiply_packed(m, a, tile_row_of_term(kind, source->b_second, p), second);
    }
    if (kind == TILE_BF16)
        FOR_UNROLLED (i, m)
            sums[i] = tile_row_restore(sums[i]), second[i] = tile_row_restore(second[i]);
    tile_target left = *target, right = *target;
    left.n = TILE_COLUMNS;
    right.c += TILE_COLUMNS, right.n -= TILE_COLUMNS;
    tile_store(m, sums, &left);
    tile_store(m, second, &right);
}

typedef void pair_function(int64_t k, const pair_source *source, const tile_target *target);
#define PAIR_OF_ROWS(name, kind, most, rows)                                                   \
    static void name##_##rows(int64_t k, const pair_source *source, const tile_target *target) \
    {                                                                                          \
        if (rows <= most) pair_of_rows(kind, rows, k, source, target);                         \
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

OPTIONAL void tile_pair_fp32(int64_t k, const void *a, const void *b, int64_t b_panel,
                             rm_real *c, int64_t c_row, int m, int n, bool add)
{
    pair_fp32_of_rows[m - 1](k, &(pair_source){a, b, (const char *)b + b_panel},
                             &(tile_target){c, c_row, n, add});
}

OPTIONAL void tile_pair_bf16(int64_t k, const void *a, const void *b, int64_t b_panel,
                             rm_real *c, int64_t c_row, int m, int n, bool add)
{
    pair_bf16_of_rows[m - 1](k, &(pair_source){a, b, (const char *)b + b_panel},
                             &(tile_target){c, c_row, n, add});
}

#endif

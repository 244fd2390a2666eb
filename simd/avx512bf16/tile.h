/* SPDX-License-Identifier: MIT
 *
 * Tiles of C from bf16 pairs: vector/tile.h's scheme with an instruction (VDPBF16PS) that adds
 * two terms to each of 16 sums, the odd one first. It takes numbers below 2^-126 as zero.
 *
 *   packed A   [p / 2][TILE_ROWS][2]      packed B   [p / 2][TILE_COLUMNS][2]
 */
#ifndef RM_AVX512BF16_TILE_H
#define RM_AVX512BF16_TILE_H

#include <string.h>

#include "simd/avx512bf16/pack.h"
#include "simd/vector/tile.h"

#define PAIRS_OF_A                                                                             \
    ((pair_layout){.of_pair = true,                                                            \
                   .lines = TILE_ROWS,                                                         \
                   .lanes = TILE_ROWS,                                                         \
                   .per_vector = TILE_ROWS,                                                    \
                   .per_step = BLOCK_PAIRS * TILE_ROWS})
#define PAIRS_OF_B                                                                             \
    ((pair_layout){.of_pair = true,                                                            \
                   .lines = TILE_COLUMNS,                                                      \
                   .lanes = VEC_WIDTH,                                                         \
                   .per_vector = TILE_COLUMNS,                                                 \
                   .per_lines = BLOCK_LINES,                                                   \
                   .per_step = BLOCK_PAIRS * TILE_COLUMNS})

PACK_PAIRS_FUNCTION(pack_a_lines_pairs, PAIRS_OF_A, true)
PACK_PAIRS_FUNCTION(pack_a_steps_pairs, PAIRS_OF_A, false)
PACK_PAIRS_FUNCTION(pack_b_lines_pairs, PAIRS_OF_B, true)
PACK_PAIRS_FUNCTION(pack_b_steps_pairs, PAIRS_OF_B, false)

/* A pair, as the bits of every lane. */
static inline vec pair_in_all(const rm_bf16 *pair)
{
    int32_t bits;
    memcpy(&bits, pair, sizeof bits);
    return _mm512_castsi512_ps(_mm512_set1_epi32(bits));
}

/* sum += the products of 16 pairs each of a and b. */
static inline vec add_pairs(vec sum, vec a, vec b)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

BODY tile_pairs_of_rows(const int m, int64_t k, const rm_bf16 *a, const rm_bf16 *b,
                        rm_ahead ahead, const tile_target *target)
{
    tile_row sums[TILE_ROWS];
    FOR_UNROLLED (i, m)
        FOR_UNROLLED (v, TILE_VECTORS) sums[i].v[v] = vec_all(0);
    for (int64_t p = 0; p < k; p += 2, a += 2 * TILE_ROWS, b += 2 * TILE_COLUMNS) {
        tile_prefetch(ahead, p, TILE_COLUMNS * sizeof *b);
        tile_row columns = tile_row_load((const rm_real *)b);
        FOR_UNROLLED (i, m) {
            vec row = pair_in_all(a + 2 * i);
            FOR_UNROLLED (v, TILE_VECTORS)
                sums[i].v[v] = add_pairs(sums[i].v[v], row, columns.v[v]);
        }
    }
    tile_store(m, sums, target);
}

#define TILE_PAIRS_CASE(rows)                                                                  \
    case rows:                                                                                 \
        tile_pairs_of_rows(rows, k, a, b, ahead, &target);                                     \
        break

static void tile_pairs(int64_t k, const void *a, const void *b, rm_real *c, int64_t c_row,
                       int m, int n, bool add, rm_ahead ahead)
{
    const tile_target target = {c, c_row, n, add};
    switch (m) {
        TILE_PAIRS_CASE(1);
        TILE_PAIRS_CASE(2);
        TILE_PAIRS_CASE(3);
        TILE_PAIRS_CASE(4);
        TILE_PAIRS_CASE(5);
        TILE_PAIRS_CASE(6);
        TILE_PAIRS_CASE(7);
        TILE_PAIRS_CASE(8);
        TILE_PAIRS_CASE(9);
        TILE_PAIRS_CASE(10);
        TILE_PAIRS_CASE(11);
        TILE_PAIRS_CASE(12);
        TILE_PAIRS_CASE(13);
        TILE_PAIRS_CASE(14);
    default:
        break;
    }
}

/* The tile's loop without its loads; the sums start apart, lest they be computed once. */
static double tile_pairs_peak(int64_t rounds)
{
    enum { OPERATIONS = 4 * TILE_ROWS * TILE_COLUMNS };
    volatile rm_real source = (rm_real)0.0125;
    tile_row sums[TILE_ROWS];
    FOR_UNROLLED (i, TILE_ROWS)
        FOR_UNROLLED (v, TILE_VECTORS) sums[i].v[v] = vec_all(source);
    vec row = vec_all(source), columns[TILE_VECTORS];
    FOR_UNROLLED (v, TILE_VECTORS) columns[v] = vec_all(source);
    int64_t steps = rounds * 1000 / OPERATIONS;
    for (int64_t p = 0; p < steps; p++)
        FOR_UNROLLED (i, TILE_ROWS)
            FOR_UNROLLED (v, TILE_VECTORS)
                sums[i].v[v] = add_pairs(sums[i].v[v], row, columns[v]);
    FOR_UNROLLED (i, TILE_ROWS)
        FOR_UNROLLED (v, TILE_VECTORS) source = vec_sum(sums[i].v[v]);
    return (double)steps * OPERATIONS;
}

#endif

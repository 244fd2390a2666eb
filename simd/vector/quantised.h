/* SPDX-License-Identifier: MIT
 *
 * Tiles of quantised weights over the vector vocabulary: one step, a block of 32 terms, after
 * the other. A level gives, before this,
 *
 *   QUANTISED_ROWS     rows of a panel of A, a multiple of 4
 *   QUANTISED_TILE     rows of these tiles, at most 12
 *   whole_vec          VEC_WIDTH whole numbers of 32 bits
 *   whole_sums         of them, [QUANTISED_ROWS][PANEL_VECTORS]
 *   vec_of_whole       as floats
 *   multiply_q8, _q4   whole sums of m rows by the groups of a step
 */
#ifndef RM_VECTOR_QUANTISED_H
#define RM_VECTOR_QUANTISED_H

#include "simd/vector/quantise.h"
#include "simd/vector/quantise_blocks.h"

typedef enum quantised_kind { KIND_Q8, KIND_Q4 } quantised_kind;

typedef struct quantised_target {
    rm_real *c;
    int64_t c_row;
    int n;
    bool add;
} quantised_target;

/* Rows of a tile of two panels, and how far ahead of its use each of them is asked for. */
enum { QUANTISED_PAIR = 4, PAIR_AHEAD = 1024 };

typedef vec quantised_sums[QUANTISED_ROWS][PANEL_VECTORS];

/* Scales the whole sums of a step and adds them. */
BODY add_scaled(const int m, const char *a, const char *b, whole_sums whole_numbers,
                quantised_sums sums)
{
    FOR_UNROLLED (v, PANEL_VECTORS) {
        vec scales = vec_load_half(b + v * VEC_WIDTH * RM_SCALE_BYTES);
        FOR_UNROLLED (i, m) {
            vec scale = vec_mul(vec_all(rm_step_scales(a)[i]), scales);
            sums[i][v] = vec_fma(vec_of_whole(whole_numbers[i][v]), scale, sums[i][v]);
        }
    }
}

BODY add_step(const quantised_kind kind, const int m, const char *a, const char *b,
              quantised_sums sums)
{
    const char *groups = b + RM_QUANTISED_COLUMNS * RM_SCALE_BYTES;
    whole_sums whole_numbers;
    if (kind == KIND_Q8)
        multiply_q8(m, a, groups, whole_numbers);
    else
        multiply_q4(m, a, groups, whole_numbers);
    add_scaled(m, a, b, whole_numbers, sums);
}

static inline int64_t step_bytes(const quantised_kind kind)
{
    return RM_QUANTISED_COLUMNS * (kind == KIND_Q8 ? RM_Q8_BYTES : RM_Q4_BYTES);
}

BODY store_quantised(const int m, const quantised_sums sums, const quantised_target *target)
{
    FOR_UNROLLED (i, m)
        FOR_UNROLLED (v, PANEL_VECTORS) {
            rm_real *at = target->c + i * target->c_row + v * VEC_WIDTH;
            int count = target->n - v * VEC_WIDTH;
            vec sum = sums[i][v];
            if (target->add) sum = vec_add(vec_load_first(at, count), sum);
            vec_store_first(at, count, sum);
        }
}

BODY ask_for_step(const char *from, int64_t bytes)
{
    for (int64_t line = 0; line < bytes; line += 64) __builtin_prefetch(from + line);
}

BODY tile_quantised(const quantised_kind kind, const int m, int64_t k, const char *a,
                    const char *b, const quantised_target *target, rm_ahead ahead)
{
    quantised_sums sums;
    const char *next = ahead.start;
    FOR_UNROLLED (i, m)
        FOR_UNROLLED (v, PANEL_VECTORS) sums[i][v] = vec_all(0);
    for (; k > 0; k -= RM_BLOCK_TERMS) {
        ask_for_step(next, RM_BLOCK_TERMS * ahead.step);
        add_step(kind, m, a, b, sums);
        a += QUANTISED_ROWS * RM_STEP_ROW_BYTES;
        b += step_bytes(kind);
        next += RM_BLOCK_TERMS * ahead.step;
    }
    store_quantised(m, sums, target);
}

/* One function a number of rows, so that the sums are named registers in each. */
typedef void quantised_function(int64_t k, const char *a, const char *b,
                                const quantised_target *target, rm_ahead ahead);
#define QUANTISED_OF_ROWS(name, kind, rows)                                                    \
    static void name##_##rows(int64_t k, const char *a, const char *b,                         \
                              const quantised_target *target, rm_ahead ahead)                  \
    {                                                                                          \
        if (rows <= QUANTISED_TILE) tile_quantised(kind, rows, k, a, b, target, ahead);        \
    }
#define QUANTISED_TILES(name, kind)                                                            \
    QUANTISED_OF_ROWS(name, kind, 1)                                                           \
    QUANTISED_OF_ROWS(name, kind, 2)                                                           \
    QUANTISED_OF_ROWS(name, kind, 3)                                                           \
    QUANTISED_OF_ROWS(name, kind, 4)                                                           \
    QUANTISED_OF_ROWS(name, kind, 5)                                                           \
    QUANTISED_OF_ROWS(name, kind, 6)                                                           \
    QUANTISED_OF_ROWS(name, kind, 7)                                                           \
    QUANTISED_OF_ROWS(name, kind, 8)                                                           \
    QUANTISED_OF_ROWS(name, kind, 9)                                                           \
    QUANTISED_OF_ROWS(name, kind, 10)                                                          \
    QUANTISED_OF_ROWS(name, kind, 11)                                                          \
    QUANTISED_OF_ROWS(name, kind, 12)                                                          \
    static quantised_function *const name##_of_rows[] = {                                      \
        name##_1, name##_2, name##_3, name##_4,  name##_5,  name##_6,                          \
        name##_7, name##_8, name##_9, name##_10, name##_11, name##_12};                        \
    static void name(int64_t k, const void *a, const void *b, rm_real *c, int64_t c_row,       \
                     int m, int n, bool add, rm_ahead ahead)                                   \
    {                                                                                          \
        name##_of_rows[m - 1](k, a, b, &(quantised_target){c, c_row, n, add}, ahead);          \
    }
_Static_assert(QUANTISED_ROWS % 4 == 0 && QUANTISED_TILE <= 12, "no more functions");

QUANTISED_TILES(tile_q8, KIND_Q8)
QUANTISED_TILES(tile_q4, KIND_Q4)

/* --- two panels at once ------------------------------------------------------------------- */
BODY pair_quantised(const quantised_kind kind, const int m, int64_t k, const char *a,
                    const rm_tile_pair *pair, int64_t c_row, bool add)
{
    quantised_sums sums[2];
    const char *b[2] = {pair->b[0], pair->b[1]};
    FOR_UNROLLED (s, 2)
        FOR_UNROLLED (i, m)
            FOR_UNROLLED (v, PANEL_VECTORS) sums[s][i][v] = vec_all(0);
    for (; k > 0; k -= RM_BLOCK_TERMS, a += QUANTISED_ROWS * RM_STEP_ROW_BYTES)
        FOR_UNROLLED (s, 2) {
            ask_for_step(b[s] + PAIR_AHEAD, step_bytes(kind));
            add_step(kind, m, a, b[s], sums[s]);
            b[s] += step_bytes(kind);
        }
    FOR_UNROLLED (s, 2)
        store_quantised(m, sums[s], &(quantised_target){pair->c[s], c_row, pair->n[s], add});
}

typedef void quantised_pair_function(int64_t k, const char *a, const rm_tile_pair *pair,
                                     int64_t c_row, bool add);
#define QUANTISED_PAIR_OF_ROWS(name, kind, rows)                                               \
    static void name##_##rows(int64_t k, const char *a, const rm_tile_pair *pair,              \
                              int64_t c_row, bool add)                                         \
    {                                                                                          \
        pair_quantised(kind, rows, k, a, pair, c_row, add);                                    \
    }
#define QUANTISED_PAIRS(name, kind)                                                            \
    QUANTISED_PAIR_OF_ROWS(name, kind, 1)                                                      \
    QUANTISED_PAIR_OF_ROWS(name, kind, 2)                                                      \
    QUANTISED_PAIR_OF_ROWS(name, kind, 3)                                                      \
    QUANTISED_PAIR_OF_ROWS(name, kind, 4)                                                      \
    static quantised_pair_function *const name##_of_rows[QUANTISED_PAIR] = {                   \
        name##_1, name##_2, name##_3, name##_4};                                               \
    static void name(int64_t k, const void *a, const rm_tile_pair *pair, int64_t c_row, int m, \
                     bool add)                                                                 \
    {                                                                                          \
        name##_of_rows[m - 1](k, a, pair, c_row, add);                                         \
    }

QUANTISED_PAIRS(tile_pair_q8, KIND_Q8)
QUANTISED_PAIRS(tile_pair_q4, KIND_Q4)

static void pack_a_lines_quantised(int64_t k, int m, const rm_real *const *lines, void *panel)
{
    quantise_rows(QUANTISED_ROWS, k, m, lines, panel);
}

/* Where these tiles are all there is. */
#define VECTOR_QUANTISED(kind, bytes, rows_of_block, peak_function)                            \
    RM_QUANTISED_TILES(QUANTISED_ROWS, 1, bytes, rows_of_block, pack_a_lines_quantised,        \
                       pack_b_lines_##kind, rm_pack_b_blocks_##kind, .tile = tile_##kind,      \
                       .pair_rows = QUANTISED_PAIR, .tile_pair = tile_pair_##kind,             \
                       .peak = peak_function)
#define VECTOR_Q8_TILES(rows_of_block, peak_function)                                          \
    VECTOR_QUANTISED(q8, RM_Q8_BYTES, rows_of_block, peak_function)
#define VECTOR_Q4_TILES(rows_of_block, peak_function)                                          \
    VECTOR_QUANTISED(q4, RM_Q4_BYTES, rows_of_block, peak_function)

#endif

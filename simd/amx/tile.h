/* SPDX-License-Identifier: MIT
 *
 * bf16 products in tile registers: 2 x 2 tiles of sums, 32 terms a step.
 *
 *                            | B 0 | B 1 |     16 pairs of terms x 16 columns each
 *    16 rows x 32 terms  A 0 | S00 | S01 |
 *                        A 1 | S10 | S11 |     16 x 16 sums each
 *
 *   packed A  [p / 32][2][16 rows][32 terms]        packed B  [p / 32][2][16 pairs][16][2]
 *
 * so that each tile is 1 KiB without a gap. Up to 16 rows (columns) take the first tile of A
 * (B) alone. Many rows: a slice of B stays in the first-level cache, and A streams past it. Few
 * rows: the other way round.
 *
 * A sum takes the even and the odd terms of a step apart, then adds both; numbers below 2^-126
 * count as zero. Missing terms and rows are zeros of A and B, so the order does not depend on
 * the shape.
 */
#ifndef RM_AMX_TILE_H
#define RM_AMX_TILE_H

#include "simd/amx/tile_words.h"
#include "simd/kernels.h"
#include "simd/vec_avx512.h"
#include "simd/vector/loop.h"

enum { AMX_LINES = 32, AMX_TERMS = 32, TILE_BYTES = 1024, TILE_ROW_BYTES = 64 };
enum { AMX_STEP_BYTES = 2 * TILE_BYTES }; /* of a panel */
/* A slice of a panel of B takes 32 KiB of the 48 of a first-level cache, a block of A 512 KiB
 * of the 2 MiB of a second-level cache. */
enum { AMX_DEPTH_BLOCK = 512, AMX_BLOCK_ROWS = 512 };

/* The tile registers. */
enum { S00, S01, S10, S11, A0, A1, B0, B1 };

static void amx_begin(void)
{
    static const amx_shapes all = {
        .palette = 1,
        .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
        .rows = {16, 16, 16, 16, 16, 16, 16, 16},
    };
    amx_configure(&all);
}

static void amx_end(void)
{
    amx_release();
}

static inline void zero_sums(void)
{
    amx_zero(S00);
    amx_zero(S01);
    amx_zero(S10);
    amx_zero(S11);
}

/* A step's share, into the second-level cache: the first is full of B. */
static inline void ask_ahead(rm_ahead ahead, int64_t step)
{
    const char *share = (const char *)ahead.start + step * AMX_TERMS * ahead.step;
    for (int64_t line = 0; line < AMX_TERMS * ahead.step; line += TILE_ROW_BYTES)
        __builtin_prefetch(share + line, 0, 2);
}

/* More than 16 rows; columns is 1 or 2 tiles. */
BODY sum_many_rows(const int columns, int64_t steps, const char *a, const char *b,
                   rm_ahead ahead)
{
    for (int64_t step = 0; step < steps; step++, a += AMX_STEP_BYTES, b += AMX_STEP_BYTES) {
        ask_ahead(ahead, step);
        amx_load(B0, b, TILE_ROW_BYTES);
        amx_load_streaming(A0, a, TILE_ROW_BYTES);
        amx_multiply(S00, A0, B0);
        amx_load_streaming(A1, a + TILE_BYTES, TILE_ROW_BYTES);
        amx_multiply(S10, A1, B0);
        if (columns == 1) continue;
        amx_load(B1, b + TILE_BYTES, TILE_ROW_BYTES);
        amx_multiply(S01, A0, B1);
        amx_multiply(S11, A1, B1);
    }
}

/* At most 16 rows. */
BODY sum_few_rows(const int columns, int64_t steps, const char *a, const char *b,
                  rm_ahead ahead)
{
    for (int64_t step = 0; step < steps; step++, a += AMX_STEP_BYTES, b += AMX_STEP_BYTES) {
        ask_ahead(ahead, step);
        amx_load(A0, a, TILE_ROW_BYTES);
        amx_load_streaming(B0, b, TILE_ROW_BYTES);
        amx_multiply(S00, A0, B0);
        if (columns == 1) continue;
        amx_load_streaming(B1, b + TILE_BYTES, TILE_ROW_BYTES);
        amx_multiply(S01, A0, B1);
    }
}

static void sum_tiles(int64_t k, const char *a, const char *b, int m, int n, rm_ahead ahead)
{
    int64_t steps = (k + AMX_TERMS - 1) / AMX_TERMS;
    bool many_rows = m > AMX_LINES / 2, many_columns = n > AMX_LINES / 2;
    zero_sums();
    if (many_rows && many_columns)
        sum_many_rows(2, steps, a, b, ahead);
    else if (many_rows)
        sum_many_rows(1, steps, a, b, ahead);
    else if (many_columns)
        sum_few_rows(2, steps, a, b, ahead);
    else
        sum_few_rows(1, steps, a, b, ahead);
}

/* The lower tiles only if there are rows in them. */
static inline void store_sums(rm_real *c, int64_t c_row, int m)
{
    int64_t row_bytes = c_row * (int64_t)sizeof *c;
    rm_real *lower = c + AMX_LINES / 2 * c_row;
    amx_store(S00, c, row_bytes);
    amx_store(S01, c + AMX_LINES / 2, row_bytes);
    if (m <= AMX_LINES / 2) return;
    amx_store(S10, lower, row_bytes);
    amx_store(S11, lower + AMX_LINES / 2, row_bytes);
}

/* Brings C into the first-level cache, as the processor's own. */
static inline void ask_to_write(const rm_real *c, int64_t c_row, int m, int n)
{
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j += VEC_WIDTH) __builtin_prefetch(c + i * c_row + j, 1, 3);
}

/* Parts of the sums, or sums to be added, by way of a buffer. */
static void store_part(rm_real *c, int64_t c_row, int m, int n, bool add)
{
    rm_real buffer[AMX_LINES * AMX_LINES] __attribute__((aligned(64)));
    store_sums(buffer, AMX_LINES, m);
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j += VEC_WIDTH) {
            rm_real *to = c + i * c_row + j;
            vec sums = vec_load(buffer + i * AMX_LINES + j);
            if (add) sums = vec_add(vec_load_first(to, n - j), sums);
            vec_store_first(to, n - j, sums);
        }
}

static void tile_amx(int64_t k, const void *a, const void *b, rm_real *c, int64_t c_row, int m,
                     int n, bool add, rm_ahead ahead)
{
    ask_to_write(c, c_row, m, n);
    sum_tiles(k, a, b, m, n, ahead);
    if (m == AMX_LINES && n == AMX_LINES && !add)
        store_sums(c, c_row, m);
    else
        store_part(c, c_row, m, n, add);
}

/* Fills tiles with numbers in [1/2, 1), of both signs, whose bits look random: the processor's
 * clock depends on what it multiplies. */
static inline void fill_with_numbers(int n, rm_bf16 *x)
{
    for (int i = 0; i < n; i++)
        x[i] = (rm_bf16)(0x3F00u | ((uint32_t)i * 2654435761u >> 16 & 0x807Fu));
}

/* Begins and ends by itself. */
static double tile_amx_peak(int64_t rounds)
{
    enum {
        OPERATIONS = 4 * 2 * 16 * 16 * AMX_TERMS,
        NUMBERS = 4 * TILE_BYTES / sizeof(rm_bf16)
    };
    rm_bf16 numbers[NUMBERS] __attribute__((aligned(64)));
    fill_with_numbers(NUMBERS, numbers);
    const char *tiles = (const char *)numbers;
    amx_begin();
    zero_sums();
    amx_load(A0, tiles, TILE_ROW_BYTES);
    amx_load(A1, tiles + TILE_BYTES, TILE_ROW_BYTES);
    amx_load(B0, tiles + 2 * TILE_BYTES, TILE_ROW_BYTES);
    amx_load(B1, tiles + 3 * TILE_BYTES, TILE_ROW_BYTES);
    int64_t steps = rounds * 1000 / OPERATIONS;
    for (int64_t step = 0; step < steps; step++) {
        amx_multiply(S00, A0, B0);
        amx_multiply(S10, A1, B0);
        amx_multiply(S01, A0, B1);
        amx_multiply(S11, A1, B1);
    }
    amx_end();
    return (double)steps * OPERATIONS;
}

#endif

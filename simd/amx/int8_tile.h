/* SPDX-License-Identifier: MIT
 *
 * Products of quantised weights in tile registers: a step is one product of whole numbers,
 *
 *    16 rows x 32 terms  A   x   B  8 groups of 4 terms x 16 columns   =  S  16 x 16 sums
 *
 * for which a step of a panel lies as it is needed (simd/quantised.h); of Q4_0 it is spread out
 * first. The sums are scaled and added in vectors. Few rows take VNNI (avx512bf16/quantised.h),
 * which waits for no tiles; the bits are the same.
 */
#ifndef RM_AMX_INT8_TILE_H
#define RM_AMX_INT8_TILE_H

#define RM_VNNI_ROWS 16
#define RM_VNNI_TILE 4
#include "simd/amx/tile_words.h"
#include "simd/avx512bf16/quantised.h"

enum { TILE_SUMS = 16 * 16 };

/* The tile registers: two steps at a time, since a product's result comes late. */
enum { INT8_SUMS, INT8_A = 2, INT8_B = 4, INT8_MORE_SUMS = 6 };

static void int8_begin(void)
{
    static const amx_shapes shapes = {
        .palette = 1,
        .row_bytes = {64, 64, RM_BLOCK_TERMS, RM_BLOCK_TERMS, 64, 64, 64, 64},
        .rows = {16, 16, 16, 16, 8, 8, 16, 16},
    };
    amx_configure(&shapes);
}

static void int8_end(void)
{
    amx_release();
}

/* The groups of a step of Q4_0 as those of Q8_0. */
static inline void spread_q4(const char *groups, int8_t *spread)
{
    const __m512i eight = _mm512_set1_epi8(8);
    FOR_UNROLLED (g, 4) {
        __m512i low, high;
        load_group_q4(groups, g, &low, &high);
        _mm512_storeu_si512(spread + g * GROUP_BYTES, _mm512_sub_epi8(low, eight));
        _mm512_storeu_si512(spread + (g + 4) * GROUP_BYTES, _mm512_sub_epi8(high, eight));
    }
}

/* Whole sums of 16 rows by a step, in the first or second set of tiles. */
BODY multiply_step(const quantised_kind kind, const int set, const char *a, const char *b,
                   int32_t whole_numbers[TILE_SUMS])
{
    int8_t spread[8 * GROUP_BYTES] __attribute__((aligned(64)));
    const void *groups = b + RM_QUANTISED_COLUMNS * RM_SCALE_BYTES;
    if (kind == KIND_Q4) spread_q4(groups, spread);
    amx_zero(INT8_SUMS + set);
    amx_load(INT8_A + set, rm_step_bytes(a, QUANTISED_ROWS), RM_BLOCK_TERMS);
    amx_load(INT8_B + set, kind == KIND_Q4 ? spread : groups, GROUP_BYTES);
    amx_multiply_bytes(INT8_SUMS + set, INT8_A + set, INT8_B + set);
    amx_store(INT8_SUMS + set, whole_numbers, GROUP_BYTES);
}

BODY add_whole_step(const char *a, const char *b, const int32_t whole_numbers[TILE_SUMS],
                    vec sums[QUANTISED_ROWS])
{
    vec scales = vec_load_half(b);
    FOR_UNROLLED (i, QUANTISED_ROWS) {
        __m512i row = _mm512_loadu_si512(whole_numbers + i * RM_QUANTISED_COLUMNS);
        vec scale = vec_mul(vec_all(rm_step_scales(a)[i]), scales);
        sums[i] = vec_fma(vec_of_whole(row), scale, sums[i]);
    }
}

BODY store_rows(int m, const vec sums[QUANTISED_ROWS], const quantised_target *target)
{
    FOR_UNROLLED (i, QUANTISED_ROWS) {
        rm_real *at = target->c + i * target->c_row;
        if (i < m && target->add)
            vec_store_first(at, target->n, vec_add(vec_load_first(at, target->n), sums[i]));
        else if (i < m)
            vec_store_first(at, target->n, sums[i]);
    }
}

BODY tile_int8(const quantised_kind kind, int64_t k, const char *a, const char *b, int m,
               const quantised_target *target, rm_ahead ahead)
{
    const int64_t a_step = QUANTISED_ROWS * RM_STEP_ROW_BYTES, b_step = step_bytes(kind);
    vec sums[QUANTISED_ROWS];
    const char *next = ahead.start;
    int32_t whole_numbers[2][TILE_SUMS] __attribute__((aligned(64)));
    FOR_UNROLLED (i, QUANTISED_ROWS) sums[i] = vec_all(0);
    for (; k > RM_BLOCK_TERMS; k -= 2 * RM_BLOCK_TERMS, a += 2 * a_step, b += 2 * b_step) {
        ask_for_step(next, 2 * RM_BLOCK_TERMS * ahead.step);
        multiply_step(kind, 0, a, b, whole_numbers[0]);
        multiply_step(kind, 1, a + a_step, b + b_step, whole_numbers[1]);
        add_whole_step(a, b, whole_numbers[0], sums);
        add_whole_step(a + a_step, b + b_step, whole_numbers[1], sums);
        next += 2 * RM_BLOCK_TERMS * ahead.step;
    }
    if (k > 0) {
        multiply_step(kind, 0, a, b, whole_numbers[0]);
        add_whole_step(a, b, whole_numbers[0], sums);
    }
    store_rows(m, sums, target);
}

#define INT8_TILE(name, kind, few_rows)                                                        \
    static void name(int64_t k, const void *a, const void *b, rm_real *c, int64_t c_row,       \
                     int m, int n, bool add, rm_ahead ahead)                                   \
    {                                                                                          \
        if (m <= QUANTISED_TILE)                                                               \
            few_rows(k, a, b, c, c_row, m, n, add, ahead);                                     \
        else                                                                                   \
            tile_int8(kind, k, a, b, m, &(quantised_target){c, c_row, n, add}, ahead);         \
    }
INT8_TILE(tile_int8_q8, KIND_Q8, tile_q8)
INT8_TILE(tile_int8_q4, KIND_Q4, tile_q4)

/* Begins and ends by itself. Tiles are as deep as a block, half of what they could be. */
static double peak_int8(int64_t rounds)
{
    enum { OPERATIONS = 4 * 2 * 16 * RM_QUANTISED_COLUMNS * RM_BLOCK_TERMS };
    int64_t steps = rounds * 1000 / OPERATIONS;
    int8_begin();
    amx_zero(INT8_SUMS);
    amx_zero(INT8_SUMS + 1);
    amx_zero(INT8_MORE_SUMS);
    amx_zero(INT8_MORE_SUMS + 1);
    amx_zero(INT8_A);
    amx_zero(INT8_B);
    for (int64_t step = 0; step < steps; step++) {
        amx_multiply_bytes(INT8_SUMS, INT8_A, INT8_B);
        amx_multiply_bytes(INT8_SUMS + 1, INT8_A, INT8_B);
        amx_multiply_bytes(INT8_MORE_SUMS, INT8_A, INT8_B);
        amx_multiply_bytes(INT8_MORE_SUMS + 1, INT8_A, INT8_B);
    }
    int8_end();
    return (double)steps * OPERATIONS;
}

#endif

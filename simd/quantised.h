/* SPDX-License-Identifier: MIT
 *
 * Weights in blocks, as ggml has them in GGUF files: a half-precision scale and 32 small whole
 * numbers, w = scale q. Q8_0 has a byte for q, -128..127; Q4_0 half a byte, q + 8 in 0..15:
 * byte t of a block has term t in its lower half, term 16 + t in its upper one.
 *
 * A step of a packed panel is a block of each line. All levels have the same panels of B:
 *
 *   Q8_0  | 16 scales | terms 0-3 of columns 0 .. 15 | terms 4-7 of columns 0 .. 15 | .. 28-31
 * | Q4_0  | 16 scales | bytes 0-3 of columns 0 .. 15 | bytes 4-7 of columns 0 .. 15 | .. 12-15
 * |
 *
 * Rows of A are rounded to bytes in -127..127 with a scale a block, max |a| / 127. A panel of
 * mr rows:
 *
 *   | mr scales (float) | mr sums of the 32 bytes (int32) | 32 bytes of row 0 | of row 1 | .. |
 *
 * A product's block is a whole number, so that only the sum over blocks rounds: the same at
 * every level. Read next: rm_tile_kernels in kernels.h.
 */
#ifndef RM_QUANTISED_H
#define RM_QUANTISED_H

#include "simd/kernels.h"
#include "simd/scalar/scalar.h"

enum {
    RM_BLOCK_TERMS = 32,
    RM_SCALE_BYTES = 2,
    RM_Q8_BYTES = RM_SCALE_BYTES + 32, /* of a block */
    RM_Q4_BYTES = RM_SCALE_BYTES + 16,
    RM_QUANTISED_COLUMNS = 16, /* of a panel of B */
    RM_GROUP_TERMS = 4,        /* bytes of a column that lie together */
    RM_QUANTISED_DEPTH = 1024  /* terms of a slice: the same at every level */
};

/* Where things lie in a step of a panel of A. */
static inline const float *rm_step_scales(const void *step)
{
    return (const float *)step;
}
static inline const int32_t *rm_step_sums(const void *step, int mr)
{
    return (const int32_t *)step + mr;
}
static inline const int8_t *rm_step_bytes(const void *step, int mr)
{
    return (const int8_t *)((const int32_t *)step + 2 * (size_t)mr);
}
enum { RM_STEP_ROW_BYTES = 2 * 4 + RM_BLOCK_TERMS }; /* of a row in it */

/* A block of A with no number above this counts as zeros: the inverse of its scale might not be
 * finite. */
#define RM_LEAST_OF_BLOCK 0x1p-100f

/* Panels of B, of all levels (simd/scalar/quantised_pack.c): from lines of numbers, which are
 * quantised as rm_kernels.quantise_q8 and _q4 do, and from lines of blocks. */
void rm_pack_b_lines_q8(int64_t k, int n, const rm_real *const *lines, void *panel);
void rm_pack_b_lines_q4(int64_t k, int n, const rm_real *const *lines, void *panel);
void rm_pack_b_blocks_q8(int64_t k, int n, const void *const *lines, void *panel);
void rm_pack_b_blocks_q4(int64_t k, int n, const void *const *lines, void *panel);

/* The tables of a level's quantised products, which has mr rows and these functions. */
#define RM_QUANTISED_TILES(rows, step_of_rows, bytes, rows_of_block, pack_a, pack_b,           \
                           pack_blocks, ...)                                                   \
    {                                                                                          \
        .mr = rows, .nr = RM_QUANTISED_COLUMNS, .row_step = step_of_rows,                      \
        .depth_step = RM_BLOCK_TERMS, .a_term = (rows)*RM_STEP_ROW_BYTES / RM_BLOCK_TERMS,     \
        .b_term = RM_QUANTISED_COLUMNS * (bytes) / RM_BLOCK_TERMS,                             \
        .depth_block = RM_QUANTISED_DEPTH, .block_rows = rows_of_block,                        \
        .pack_a_lines = pack_a, .pack_b_lines = pack_b, .pack_b_blocks = pack_blocks,          \
        __VA_ARGS__                                                                            \
    }

/* The products in plain C (simd/scalar/quantised.c). */
#define RM_SCALAR_Q8_TILES                                                                     \
    RM_QUANTISED_TILES(RM_SCALAR_ROWS, 1, RM_Q8_BYTES, 128, rm_pack_a_lines_quantised_scalar,  \
                       rm_pack_b_lines_q8, rm_pack_b_blocks_q8, .tile = rm_tile_q8_scalar,     \
                       .peak = rm_tile_peak_scalar)
#define RM_SCALAR_Q4_TILES                                                                     \
    RM_QUANTISED_TILES(RM_SCALAR_ROWS, 1, RM_Q4_BYTES, 128, rm_pack_a_lines_quantised_scalar,  \
                       rm_pack_b_lines_q4, rm_pack_b_blocks_q4, .tile = rm_tile_q4_scalar,     \
                       .peak = rm_tile_peak_scalar)

#endif

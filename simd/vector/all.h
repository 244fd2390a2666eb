/* SPDX-License-Identifier: MIT
 *
 * All kernels over a vector vocabulary. A level's table.c includes its vocabulary, then this,
 * and names its table; so these headers define functions, once in each level. A level with
 * products of its own takes VECTOR_ROW_KERNELS alone, or with one of the VECTOR_TILES.
 */
#ifndef RM_VECTOR_ALL_H
#define RM_VECTOR_ALL_H

#include "simd/quantised.h"
#include "simd/vector/elements.h"
#include "simd/vector/layers.h"
#include "simd/vector/many_rows.h"
#include "simd/vector/norm.h"
#include "simd/vector/pack.h"
#include "simd/vector/quantise_blocks.h"
#include "simd/vector/sums.h"
#include "simd/vector/swiglu.h"
#include "simd/vector/tile.h"
#include "simd/vector/tile_pair.h"
#include "simd/vector/widen.h"

/* An rm_tile_kernels: of fp32, or of bf16 without instructions for it. */
#define VECTOR_TILES(precision, size_of_b, rows_of_pair)                                       \
    {                                                                                          \
        .mr = TILE_ROWS, .nr = TILE_COLUMNS, .row_step = 1, .depth_step = 1,                   \
        .a_term = TILE_ROWS * sizeof(rm_real), .b_term = TILE_COLUMNS * size_of_b,             \
        .depth_block = TILE_DEPTH_BLOCK, .block_rows = TILE_BLOCK_ROWS,                        \
        .pack_a_lines = pack_a_lines_##precision, .pack_a_steps = pack_a_steps_##precision,    \
        .pack_b_lines = pack_b_lines_##precision, .pack_b_steps = pack_b_steps_##precision,    \
        .tile = tile_##precision, .pair_rows = rows_of_pair,                                   \
        .tile_pair = tile_pair_##precision, .peak = tile_peak                                  \
    }
#define VECTOR_FP32_TILES VECTOR_TILES(fp32, sizeof(rm_real), PAIR_ROWS_FP32)
#define VECTOR_BF16_TILES VECTOR_TILES(bf16, sizeof(rm_bf16), PAIR_ROWS_BF16)

#define VECTOR_ROW_KERNELS                                                                     \
    .tile_in_place = tile_in_place, .quantise_q8 = row_quantise_q8,                            \
    .quantise_q4 = row_quantise_q4, .widen_bf16 = row_widen_bf16,                              \
    .widen_half = row_widen_half, .add = row_add, .axpy = row_axpy, .scale = row_scale,        \
    .dot = row_dot, .dot_rows = row_dot_rows, .axpy_rows = row_axpy_rows, .max = row_max,      \
    .exp_shift = row_exp_shift, .sum_squares = row_sum_squares, .rmsnorm = row_rmsnorm,        \
    .rmsnorm_backward = row_rmsnorm_backward, .silu_mul = row_silu_mul,                        \
    .silu_mul_backward = row_silu_mul_backward, .softmax_backward = row_softmax_backward,      \
    .rope = row_rope, .adamw = row_adamw

#endif

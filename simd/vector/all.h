/* SPDX-License-Identifier: MIT
 *
 * All kernels over a vector vocabulary. A level's table.c includes its vocabulary, then this,
 * and names its table; so these headers define functions, once in each level.
 */
#ifndef RM_VECTOR_ALL_H
#define RM_VECTOR_ALL_H

#include "simd/vector/elements.h"
#include "simd/vector/layers.h"
#include "simd/vector/norm.h"
#include "simd/vector/pack.h"
#include "simd/vector/sums.h"
#include "simd/vector/tile.h"

#define VECTOR_PRODUCT_KERNELS                                                                 \
    .mr = TILE_ROWS, .nr = TILE_COLUMNS, .tile = tile, .tile_bf16 = tile_bf16, .pack = pack,   \
    .pack_bf16 = pack_bf16

#define VECTOR_ROW_KERNELS                                                                     \
    .round_bf16 = row_round_bf16, .add = row_add, .axpy = row_axpy, .scale = row_scale,        \
    .dot = row_dot, .max = row_max, .exp_shift = row_exp_shift,                                \
    .sum_squares = row_sum_squares, .rmsnorm = row_rmsnorm,                                    \
    .rmsnorm_backward = row_rmsnorm_backward, .silu_mul = row_silu_mul,                        \
    .silu_mul_backward = row_silu_mul_backward, .rope = row_rope, .adamw = row_adamw

#endif

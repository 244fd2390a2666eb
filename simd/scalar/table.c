/* SPDX-License-Identifier: MIT */
#include "simd/levels.h"
#include "simd/scalar/scalar.h"

const rm_kernels rm_kernels_scalar = {
    .level = "scalar",
    .mr = RM_SCALAR_ROWS,
    .nr = RM_SCALAR_COLUMNS,
    .tile = rm_tile_scalar,
    .tile_bf16 = rm_tile_bf16_scalar,
    .pack = rm_pack_scalar,
    .pack_bf16 = rm_pack_bf16_scalar,
    .round_bf16 = rm_round_bf16_scalar,
    .add = rm_add_scalar,
    .axpy = rm_axpy_scalar,
    .scale = rm_scale_scalar,
    .dot = rm_dot_scalar,
    .max = rm_max_scalar,
    .exp_shift = rm_exp_shift_scalar,
    .sum_squares = rm_sum_squares_scalar,
    .rmsnorm = rm_rmsnorm_scalar,
    .rmsnorm_backward = rm_rmsnorm_backward_scalar,
    .silu_mul = rm_silu_mul_scalar,
    .silu_mul_backward = rm_silu_mul_backward_scalar,
    .rope = rm_rope_scalar,
    .adamw = rm_adamw_scalar,
};

/* SPDX-License-Identifier: MIT */
#include "simd/avx2/quantised.h"
#include "simd/levels.h"
#include "simd/vec_avx2.h"
#include "simd/vector/all.h"

const rm_kernels rm_kernels_avx2 = {
    .level = "avx2",
    .fp32 = VECTOR_FP32_TILES,
    .bf16 = VECTOR_BF16_TILES,
    .q8 = RM_QUANTISED_TILES(QUANTISED_ROWS, 1, RM_Q8_BYTES, QUANTISED_BLOCK_ROWS,
                             pack_a_lines_quantised, rm_pack_b_lines_q8, rm_pack_b_blocks_q8,
                             .tile = tile_q8, .peak = peak_q8),
    .q4 = RM_QUANTISED_TILES(QUANTISED_ROWS, 1, RM_Q4_BYTES, QUANTISED_BLOCK_ROWS,
                             pack_a_lines_quantised, rm_pack_b_lines_q4, rm_pack_b_blocks_q4,
                             .tile = tile_q4, .peak = peak_q4),
    VECTOR_ROW_KERNELS,
};

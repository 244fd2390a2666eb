/* SPDX-License-Identifier: MIT
 *
 * AVX-512 with bf16 products by VDPBF16PS. For processors where that is fast: on others it runs
 * at half the rate of fp32 multiply-adds, and rm_kernels_best passes this level over.
 */
#include "simd/avx512bf16/quantised.h"
#include "simd/avx512bf16/tile.h"
#include "simd/levels.h"
#include "simd/vec_avx512.h"
#include "simd/vector/all.h"

/* A slice of a panel of B takes 32 KiB, a block of A less than half of 1 MiB. */
enum { PAIRS_DEPTH_BLOCK = 512, PAIRS_BLOCK_ROWS = 448 };
/* 480 KiB. */
enum { QUANTISED_BLOCK_ROWS = 384 };

const rm_kernels rm_kernels_avx512bf16 = {
    .level = "avx512bf16",
    .fp32 = VECTOR_FP32_TILES,
    .bf16 = {.mr = TILE_ROWS,
             .nr = TILE_COLUMNS,
             .row_step = 1,
             .depth_step = 2,
             .a_term = TILE_ROWS * sizeof(rm_bf16),
             .b_term = TILE_COLUMNS * sizeof(rm_bf16),
             .depth_block = PAIRS_DEPTH_BLOCK,
             .block_rows = PAIRS_BLOCK_ROWS,
             .pack_a_lines = pack_a_lines_pairs,
             .pack_a_steps = pack_a_steps_pairs,
             .pack_b_lines = pack_b_lines_pairs,
             .pack_b_steps = pack_b_steps_pairs,
             .tile = tile_pairs,
             .peak = tile_pairs_peak},
    .q8 = VECTOR_Q8_TILES(QUANTISED_BLOCK_ROWS, peak_vnni),
    .q4 = VECTOR_Q4_TILES(QUANTISED_BLOCK_ROWS, peak_vnni),
    VECTOR_ROW_KERNELS,
};

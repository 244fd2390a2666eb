/* SPDX-License-Identifier: MIT
 *
 * NEON with bf16 products by BFMMLA (Armv8.6 and some processors before it). The rest is the
 * neon level's, with its bits.
 */
#include "simd/levels.h"
#include "simd/neon/quantised.h"
#include "simd/neonbf16/bfmmla.h"
#include "simd/vec_neon.h"
#include "simd/vector/all.h"

/* A slice of a panel of B takes 24 KiB of a first-level cache of 64 KiB, one of A 16 KiB; a
 * block of A a quarter of 1 MiB. */
enum { BFMMLA_DEPTH_BLOCK = 1024, BFMMLA_BLOCK_ROWS = 128 };

/* 160 KiB. */
enum { QUANTISED_BLOCK_ROWS = 128 };

const rm_kernels rm_kernels_neonbf16 = {
    .level = "neonbf16",
    .fp32 = VECTOR_FP32_TILES,
    .bf16 = {.mr = BFMMLA_ROWS,
             .nr = BFMMLA_COLUMNS,
             .row_step = 2,
             .depth_step = BFMMLA_DEPTH,
             .a_term = BFMMLA_ROWS * sizeof(rm_bf16),
             .b_term = BFMMLA_COLUMNS * sizeof(rm_bf16),
             .depth_block = BFMMLA_DEPTH_BLOCK,
             .block_rows = BFMMLA_BLOCK_ROWS,
             .pack_a_lines = rm_pack_a_lines_bfmmla,
             .pack_a_steps = rm_pack_a_steps_bfmmla,
             .pack_b_lines = rm_pack_b_lines_bfmmla,
             .pack_b_steps = rm_pack_b_steps_bfmmla,
             .tile = rm_tile_bfmmla,
             .peak = rm_peak_bfmmla},
    .q8 = VECTOR_Q8_TILES(QUANTISED_BLOCK_ROWS, peak_int8),
    .q4 = VECTOR_Q4_TILES(QUANTISED_BLOCK_ROWS, peak_int8),
    VECTOR_ROW_KERNELS,
};

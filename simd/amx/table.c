/* SPDX-License-Identifier: MIT
 *
 * AVX-512 with bf16 products in tile registers (AMX).
 */
#include "simd/amx/int8_tile.h"
#include "simd/amx/tile.h"
#include "simd/avx512bf16/pack.h"
#include "simd/levels.h"
#include "simd/vec_avx512.h"
#include "simd/vector/all.h"

/* Tile registers hold rows of A, and of B the columns of a pair. */
#define PAIRS_OF_A                                                                             \
    ((pair_layout){.whole_blocks = true,                                                       \
                   .lines = AMX_LINES,                                                         \
                   .lanes = VEC_WIDTH,                                                         \
                   .per_vector = VEC_WIDTH,                                                    \
                   .per_lines = BLOCK_PAIRS * BLOCK_LINES,                                     \
                   .per_step = BLOCK_PAIRS * AMX_LINES})
#define PAIRS_OF_B                                                                             \
    ((pair_layout){.of_pair = true,                                                            \
                   .whole_blocks = true,                                                       \
                   .lines = AMX_LINES,                                                         \
                   .lanes = VEC_WIDTH,                                                         \
                   .per_vector = VEC_WIDTH,                                                    \
                   .per_lines = BLOCK_PAIRS * BLOCK_LINES,                                     \
                   .per_step = BLOCK_PAIRS * AMX_LINES})

PACK_PAIRS_FUNCTION(pack_a_lines_amx, PAIRS_OF_A, true)
PACK_PAIRS_FUNCTION(pack_a_steps_amx, PAIRS_OF_A, false)
PACK_PAIRS_FUNCTION(pack_b_lines_amx, PAIRS_OF_B, true)
PACK_PAIRS_FUNCTION(pack_b_steps_amx, PAIRS_OF_B, false)

/* A slice of a block of A takes 480 KiB. */
#define INT8_TILES(kind, bytes)                                                                \
    RM_QUANTISED_TILES(QUANTISED_ROWS, 1, bytes, 384, pack_a_lines_quantised,                  \
                       pack_b_lines_##kind, rm_pack_b_blocks_##kind, .tile = tile_int8_##kind, \
                       .pair_rows = QUANTISED_PAIR, .tile_pair = tile_pair_##kind,             \
                       .begin = int8_begin, .end = int8_end, .peak = peak_int8)

const rm_kernels rm_kernels_amx = {
    .level = "amx",
    .fp32 = VECTOR_FP32_TILES,
    .bf16 = {.mr = AMX_LINES,
             .nr = AMX_LINES,
             .row_step = AMX_LINES / 2,
             .depth_step = AMX_TERMS,
             .a_term = AMX_LINES * sizeof(rm_bf16),
             .b_term = AMX_LINES * sizeof(rm_bf16),
             .depth_block = AMX_DEPTH_BLOCK,
             .block_rows = AMX_BLOCK_ROWS,
             .pack_a_lines = pack_a_lines_amx,
             .pack_a_steps = pack_a_steps_amx,
             .pack_b_lines = pack_b_lines_amx,
             .pack_b_steps = pack_b_steps_amx,
             .tile = tile_amx,
             .begin = amx_begin,
             .end = amx_end,
             .peak = tile_amx_peak},
    .q8 = INT8_TILES(q8, RM_Q8_BYTES),
    .q4 = INT8_TILES(q4, RM_Q4_BYTES),
    VECTOR_ROW_KERNELS,
};

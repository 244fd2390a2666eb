/* SPDX-License-Identifier: MIT */
#include "simd/levels.h"
#include "simd/neon/quantised.h"
#include "simd/vec_neon.h"
#include "simd/vector/all.h"

/* A slice of a block of A takes 160 KiB of a second-level cache of 512 or more. */
enum { QUANTISED_BLOCK_ROWS = 128 };

const rm_kernels rm_kernels_neon = {
    .level = "neon",
    .fp32 = VECTOR_FP32_TILES,
    .bf16 = VECTOR_BF16_TILES,
    .q8 = VECTOR_Q8_TILES(QUANTISED_BLOCK_ROWS, peak_int8),
    .q4 = VECTOR_Q4_TILES(QUANTISED_BLOCK_ROWS, peak_int8),
    VECTOR_ROW_KERNELS,
};

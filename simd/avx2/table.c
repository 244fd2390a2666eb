/* SPDX-License-Identifier: MIT */
#include "simd/avx2/quantised.h"
#include "simd/levels.h"
#include "simd/vec_avx2.h"
#include "simd/vector/all.h"

/* A slice of a block of A takes 160 KiB of a second-level cache of 256 or more. */
enum { QUANTISED_BLOCK_ROWS = 128 };

const rm_kernels rm_kernels_avx2 = {
    .level = "avx2",
    .fp32 = VECTOR_FP32_TILES,
    .bf16 = VECTOR_BF16_TILES,
    .q8 = VECTOR_Q8_TILES(QUANTISED_BLOCK_ROWS, peak_q8),
    .q4 = VECTOR_Q4_TILES(QUANTISED_BLOCK_ROWS, peak_q4),
    VECTOR_ROW_KERNELS,
};

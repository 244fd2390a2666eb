/* SPDX-License-Identifier: MIT */
#include "simd/avx512/quantised.h"
#include "simd/levels.h"
#include "simd/vec_avx512.h"
#include "simd/vector/all.h"

/* A slice of a block of A takes 240 KiB of a second-level cache of 512 or more. */
enum { QUANTISED_BLOCK_ROWS = 192 };

const rm_kernels rm_kernels_avx512 = {
    .level = "avx512",
    .fp32 = VECTOR_FP32_TILES,
    .bf16 = VECTOR_BF16_TILES,
    .q8 = VECTOR_Q8_TILES(QUANTISED_BLOCK_ROWS, peak_q8),
    .q4 = VECTOR_Q4_TILES(QUANTISED_BLOCK_ROWS, peak_q4),
    VECTOR_ROW_KERNELS,
};

/* SPDX-License-Identifier: MIT */
#include "simd/levels.h"
#include "simd/vec_avx512.h"
#include "simd/vector/all.h"

const rm_kernels rm_kernels_avx512 = {
    .level = "avx512",
    .fp32 = VECTOR_FP32_TILES,
    .bf16 = VECTOR_BF16_TILES,
    .q8 = RM_SCALAR_Q8_TILES,
    .q4 = RM_SCALAR_Q4_TILES,
    VECTOR_ROW_KERNELS,
};

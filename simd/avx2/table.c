/* SPDX-License-Identifier: MIT */
#include "simd/levels.h"
#include "simd/vec_avx2.h"
#include "simd/vector/all.h"

const rm_kernels rm_kernels_avx2 = {
    .level = "avx2",
    .fp32 = VECTOR_FP32_TILES,
    .bf16 = VECTOR_BF16_TILES,
    VECTOR_ROW_KERNELS,
};

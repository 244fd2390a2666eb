/* SPDX-License-Identifier: MIT */
#include "simd/levels.h"
#include "simd/vec_avx2.h"
#include "simd/vector/all.h"

const rm_kernels rm_kernels_avx2 = {
    .level = "avx2",
    VECTOR_PRODUCT_KERNELS,
    VECTOR_ROW_KERNELS,
};

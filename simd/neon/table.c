/* SPDX-License-Identifier: MIT */
#include "simd/levels.h"
#include "simd/vec_neon.h"
#include "simd/vector/all.h"

const rm_kernels rm_kernels_neon = {
    .level = "neon",
    VECTOR_PRODUCT_KERNELS,
    VECTOR_ROW_KERNELS,
};

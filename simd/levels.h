/* SPDX-License-Identifier: MIT
 *
 * The tables of the levels, defined in simd/<level>/table.c. For simd/levels.c alone; others
 * ask rm_kernels_of_level.
 */
#ifndef RM_LEVELS_H
#define RM_LEVELS_H

#include "simd/kernels.h"

extern const rm_kernels rm_kernels_scalar;
extern const rm_kernels rm_kernels_avx2, rm_kernels_avx512, rm_kernels_avx512bf16,
    rm_kernels_amx;
extern const rm_kernels rm_kernels_neon, rm_kernels_neonbf16;

#endif

/* SPDX-License-Identifier: MIT
 *
 * Arithmetic on single numbers that every level shares: bf16 and back, and the last step of
 * RMSNorm.
 */
#ifndef RM_SCALAR_MATH_H
#define RM_SCALAR_MATH_H

#include <math.h>
#include <string.h>

#include "simd/real.h"

/* Rounds to the nearest bf16, ties to even; a NaN becomes a quiet NaN of the same sign. A
 * double goes by way of float. */
static inline rm_bf16 rm_bf16_narrow(rm_real value)
{
    float single = (float)value;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    if (single != single) return (rm_bf16)(bits >> 16 | 0x40);
    return (rm_bf16)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static inline rm_real rm_bf16_widen(rm_bf16 value)
{
    uint32_t bits = (uint32_t)value << 16;
    float single;
    memcpy(&single, &bits, sizeof single);
    return (rm_real)single;
}

/* 1 / sqrt(mean + eps) of a row of n numbers with this sum of squares. */
static inline rm_real rm_reciprocal_rms(int64_t n, double sum_squares, rm_real eps)
{
    double mean = n > 0 ? sum_squares / (double)n : 0;
    return (rm_real)(1 / sqrt(mean + (double)eps));
}

#endif

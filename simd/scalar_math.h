/* SPDX-License-Identifier: MIT
 *
 * Arithmetic on single numbers that every level shares: bf16 and half and back, and the last
 * step of RMSNorm.
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

/* Half: 1 sign, 5 exponent (bias 15), 10 fraction bits; float: 1, 8 (bias 127), 23. */
static inline float rm_half_widen(uint16_t half)
{
    uint32_t sign = (uint32_t)(half >> 15) << 31, bits;
    uint32_t exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 0) return (sign ? -0x1p-24f : 0x1p-24f) * (float)fraction;
    if (exponent == 31)
        bits = sign | 0x7F800000u | fraction << 13;
    else
        bits = sign | (exponent + 127 - 15) << 23 | fraction << 13;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Rounds to the nearest half, ties to even; what is too large becomes infinite, NaN a quiet
 * NaN.
 */
static inline uint16_t rm_half_narrow(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    float magnitude = fabsf(value);
    if (value != value) return sign | 0x7E00;
    if (magnitude >= 65520) return sign | 0x7C00;
    if (magnitude < 0x1p-14f) return sign | (uint16_t)rintf(magnitude * 0x1p24f);
    bits &= 0x7FFFFFFF;
    bits += 0xFFF + (bits >> 13 & 1);
    return sign | (uint16_t)((bits >> 13) - ((127 - 15) << 10));
}

/* 1 / sqrt(mean + eps) of a row of n numbers with this sum of squares. */
static inline rm_real rm_reciprocal_rms(int64_t n, double sum_squares, rm_real eps)
{
    double mean = n > 0 ? sum_squares / (double)n : 0;
    return (rm_real)(1 / sqrt(mean + (double)eps));
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * Stored numbers of two bytes to numbers, in plain C.
 */
#include "simd/scalar/scalar.h"
#include "simd/scalar_math.h"

static uint16_t word_at(const void *x, int64_t i)
{
    uint16_t word;
    memcpy(&word, (const char *)x + i * (int64_t)sizeof word, sizeof word);
    return word;
}

/* Half: 1 sign, 5 exponent (bias 15), 10 fraction bits; float: 1, 8 (bias 127), 23. */
static float float_of_half(uint16_t half)
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

void rm_widen_bf16_scalar(int64_t n, const void *x, rm_real *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = rm_bf16_widen(word_at(x, i));
}

void rm_widen_half_scalar(int64_t n, const void *x, rm_real *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = (rm_real)float_of_half(word_at(x, i));
}

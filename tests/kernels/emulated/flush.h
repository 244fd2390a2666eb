/* SPDX-License-Identifier: MIT
 *
 * Arithmetic as the bf16 instructions do it: denormals, operands and results, count as zero of
 * their sign, and a product is added with one rounding.
 */
#ifndef EMULATED_FLUSH_H
#define EMULATED_FLUSH_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float flushed(float x)
{
    return fabsf(x) < FLT_MIN ? copysignf(0, x) : x;
}

/* A bf16, given by its bits. */
static inline float flushed_bf16(uint16_t value)
{
    uint32_t bits = (uint32_t)value << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return flushed(x);
}

/* To the nearest bf16, ties to even; NaN stays NaN. */
static inline uint16_t bf16_flushed(float x)
{
    uint32_t bits;
    x = flushed(x);
    memcpy(&bits, &x, sizeof bits);
    if (x != x) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static inline float flushed_add_product(float sum, uint16_t a, uint16_t b)
{
    return flushed(fmaf(flushed_bf16(a), flushed_bf16(b), flushed(sum)));
}

#endif

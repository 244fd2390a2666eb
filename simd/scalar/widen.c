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

void rm_widen_bf16_scalar(int64_t n, const void *x, rm_real *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = rm_bf16_widen(word_at(x, i));
}

void rm_widen_half_scalar(int64_t n, const void *x, rm_real *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = (rm_real)rm_half_widen(word_at(x, i));
}

/* SPDX-License-Identifier: MIT
 *
 * Stored numbers of two bytes to numbers, over the vector vocabulary.
 */
#ifndef RM_VECTOR_WIDEN_H
#define RM_VECTOR_WIDEN_H

#include <string.h>

#include "simd/kernels.h"
#include "simd/vector/loop.h"

typedef enum stored_type { STORED_BF16, STORED_HALF } stored_type;

/* The rest of a row goes by way of the stack: what lies behind it must not be read. */
BODY widen_at(int64_t i, int64_t count, const stored_type type, const void *x, rm_real *y)
{
    uint16_t rest[VEC_WIDTH] = {0};
    const void *from = (const char *)x + i * (int64_t)sizeof *rest;
    if (count < VEC_WIDTH) from = memcpy(rest, from, (size_t)count * sizeof *rest);
    vec_store_first(y + i, count,
                    type == STORED_BF16 ? vec_load_bf16(from) : vec_load_half(from));
}

static void row_widen_bf16(int64_t n, const void *x, rm_real *y)
{
    FOR_EACH_VECTOR(n, widen_at, STORED_BF16, x, y);
}

static void row_widen_half(int64_t n, const void *x, rm_real *y)
{
    FOR_EACH_VECTOR(n, widen_at, STORED_HALF, x, y);
}

#endif

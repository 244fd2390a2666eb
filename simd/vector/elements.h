/* SPDX-License-Identifier: MIT
 *
 * The simple element-wise row kernels over the vector vocabulary.
 */
#ifndef RM_VECTOR_ELEMENTS_H
#define RM_VECTOR_ELEMENTS_H

#include "simd/kernels.h"
#include "simd/vector/loop.h"

BODY add_at(int64_t i, int64_t count, const rm_real *x, rm_real *y)
{
    vec sum = vec_add(vec_load_first(y + i, count), vec_load_first(x + i, count));
    vec_store_first(y + i, count, sum);
}

static void row_add(int64_t n, const rm_real *x, rm_real *y)
{
    FOR_EACH_VECTOR(n, add_at, x, y);
}

BODY axpy_at(int64_t i, int64_t count, vec alpha, const rm_real *x, rm_real *y)
{
    vec sum = vec_fma(alpha, vec_load_first(x + i, count), vec_load_first(y + i, count));
    vec_store_first(y + i, count, sum);
}

static void row_axpy(int64_t n, rm_real alpha, const rm_real *x, rm_real *y)
{
    FOR_EACH_VECTOR(n, axpy_at, vec_all(alpha), x, y);
}

BODY scale_at(int64_t i, int64_t count, vec alpha, rm_real *x)
{
    vec_store_first(x + i, count, vec_mul(alpha, vec_load_first(x + i, count)));
}

static void row_scale(int64_t n, rm_real alpha, rm_real *x)
{
    FOR_EACH_VECTOR(n, scale_at, vec_all(alpha), x);
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * RMSNorm (Zhang & Sennrich 2019) of a row, and its gradients, over the vector vocabulary.
 */
#ifndef RM_VECTOR_NORM_H
#define RM_VECTOR_NORM_H

#include "simd/kernels.h"
#include "simd/scalar_math.h"
#include "simd/vector/loop.h"
#include "simd/vector/sums.h"

BODY rmsnorm_at(int64_t i, int64_t count, vec rstd, const rm_real *x, const rm_real *w,
                rm_real *y)
{
    vec normed = vec_mul(vec_load_first(x + i, count), rstd);
    vec_store_first(y + i, count, vec_mul(normed, vec_load_first(w + i, count)));
}

static rm_real row_rmsnorm(int64_t n, rm_real eps, const rm_real *x, const rm_real *w,
                           rm_real *y)
{
    rm_real rstd = rm_reciprocal_rms(n, row_sum_squares(n, x), eps);
    FOR_EACH_VECTOR(n, rmsnorm_at, vec_all(rstd), x, w, y);
    return rstd;
}

BODY triple_product_at(int64_t i, int64_t count, const rm_real *x, const rm_real *w,
                       const rm_real *d_y, vec chains[SUM_CHAINS])
{
    FOR_UNROLLED (c, SUM_CHAINS) {
        int64_t at = i + c * VEC_WIDTH, left = count - c * VEC_WIDTH;
        vec u = vec_mul(vec_load_first(w + at, left), vec_load_first(d_y + at, left));
        chains[c] = vec_fma(u, vec_load_first(x + at, left), chains[c]);
    }
}

BODY rmsnorm_backward_at(int64_t i, int64_t count, vec rstd, vec along_x, const rm_real *x,
                         const rm_real *w, const rm_real *d_y, rm_real *d_x, rm_real *d_w)
{
    vec x_lanes = vec_load_first(x + i, count), d_out = vec_load_first(d_y + i, count);
    vec normed = vec_mul(x_lanes, rstd);
    vec d_weight = vec_fma(d_out, normed, vec_load_first(d_w + i, count));
    vec u = vec_mul(vec_load_first(w + i, count), d_out);
    vec_store_first(d_w + i, count, d_weight);
    vec_store_first(d_x + i, count, vec_mul(rstd, vec_fma_negated(x_lanes, along_x, u)));
}

/* With u = w d_y:  d_x = rstd (u - x rstd^2 mean(u x)). */
static void row_rmsnorm_backward(int64_t n, rm_real rstd, const rm_real *x, const rm_real *w,
                                 const rm_real *d_y, rm_real *d_x, rm_real *d_w)
{
    vec chains[SUM_CHAINS];
    chains_start(chains, 0);
    FOR_EACH_STEP(SUM_STEP, n, triple_product_at, x, w, d_y, chains);
    rm_real along_x = chains_sum(chains) / (rm_real)n * rstd * rstd;
    FOR_EACH_VECTOR(n, rmsnorm_backward_at, vec_all(rstd), vec_all(along_x), x, w, d_y, d_x,
                    d_w);
}

#endif

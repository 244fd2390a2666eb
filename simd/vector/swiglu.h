/* SPDX-License-Identifier: MIT
 *
 * SwiGLU's gated product (Shazeer 2020) on a row, with the row's weight in its token's mixture,
 * and its gradients, over the vector vocabulary.
 */
#ifndef RM_VECTOR_SWIGLU_H
#define RM_VECTOR_SWIGLU_H

#include "simd/kernels.h"
#include "simd/vector/exp.h"
#include "simd/vector/loop.h"
#include "simd/vector/sums.h"

BODY silu_mul_at(int64_t i, int64_t count, vec weight, const rm_real *gate, const rm_real *up,
                 rm_real *h)
{
    vec x = vec_load_first(gate + i, count);
    vec silu = vec_mul(weight, vec_mul(x, sigmoids_of(x).plus));
    vec_store_first(h + i, count, vec_mul(silu, vec_load_first(up + i, count)));
}

static void row_silu_mul(int64_t n, rm_real weight, const rm_real *gate, const rm_real *up,
                         rm_real *h)
{
    FOR_EACH_VECTOR(n, silu_mul_at, vec_all(weight), gate, up, h);
}

/* silu' = sigmoid(x) (1 + x sigmoid(-x)). With d_out = weight d_h:  d_up = d_out silu(x),
 * d_gate = d_out up silu'(x). */
BODY silu_mul_backward_lanes(int64_t i, int64_t count, vec weight, const rm_real *gate,
                             const rm_real *up, const rm_real *d_h, rm_real *d_gate,
                             rm_real *d_up, vec *chain)
{
    vec x = vec_load_first(gate + i, count), d_lanes = vec_load_first(d_h + i, count);
    vec up_lanes = vec_load_first(up + i, count);
    sigmoids s = sigmoids_of(x);
    vec silu = vec_mul(x, s.plus), slope = vec_mul(s.plus, vec_fma(x, s.minus, vec_all(1)));
    vec d_out = vec_mul(weight, d_lanes);
    vec_store_first(d_up + i, count, vec_mul(d_out, silu));
    vec_store_first(d_gate + i, count, vec_mul(d_out, vec_mul(up_lanes, slope)));
    *chain = vec_fma(vec_mul(silu, up_lanes), d_lanes, *chain);
}

BODY silu_mul_backward_at(int64_t i, int64_t count, vec weight, const rm_real *gate,
                          const rm_real *up, const rm_real *d_h, rm_real *d_gate, rm_real *d_up,
                          vec chains[SUM_CHAINS])
{
    FOR_UNROLLED (c, SUM_CHAINS)
        silu_mul_backward_lanes(i + c * VEC_WIDTH, count - c * VEC_WIDTH, weight, gate, up, d_h,
                                d_gate, d_up, &chains[c]);
}

static rm_real row_silu_mul_backward(int64_t n, rm_real weight, const rm_real *gate,
                                     const rm_real *up, const rm_real *d_h, rm_real *d_gate,
                                     rm_real *d_up)
{
    vec chains[SUM_CHAINS];
    chains_start(chains, 0);
    FOR_EACH_STEP(SUM_STEP, n, silu_mul_backward_at, vec_all(weight), gate, up, d_h, d_gate,
                  d_up, chains);
    return chains_sum(chains);
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * exp and the logistic function over the vector vocabulary.
 *
 * exp(x) = 2^n exp(r) with n = round(x / ln 2) and |r| <= ln 2 / 2. There exp(r) is
 * 1 + r + r^2 q(r), q the polynomial of degree 4 that makes the relative error smallest in the
 * Chebyshev sense (3e-9, found by a Remez exchange). Within 2 ulp, denormal results included.
 */
#ifndef RM_VECTOR_EXP_H
#define RM_VECTOR_EXP_H

#include "simd/kernels.h"

/* Below the first exp is zero and above the second infinite, in float. */
static const rm_real exp_argument_min = -104, exp_argument_max = 89;
static const rm_real log2_e = 0x1.715476p+0f;
/* ln 2 in two parts; n times the first is exact. */
static const rm_real ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;

static inline vec vec_exp(vec x)
{
    x = vec_clamp(x, exp_argument_min, exp_argument_max);
    vec n = vec_nearest_integer(vec_mul(x, vec_all(log2_e)));
    vec r = vec_fma_negated(n, vec_all(ln2_high), x);
    r = vec_fma_negated(n, vec_all(ln2_low), r);
    vec q = vec_all(0x1.6a245ep-10f);
    q = vec_fma(q, r, vec_all(0x1.1239d4p-7f));
    q = vec_fma(q, r, vec_all(0x1.5558f2p-5f));
    q = vec_fma(q, r, vec_all(0x1.555492p-3f));
    q = vec_fma(q, r, vec_all(0x1.fffffcp-2f));
    vec tail = vec_fma(vec_mul(r, r), q, r);
    return vec_scale_exponent(vec_add(tail, vec_all(1)), n);
}

/* sigmoid(x) and sigmoid(-x), both without cancellation: exp(-|x|) never overflows. */
typedef struct sigmoids {
    vec plus, minus;
} sigmoids;

static inline sigmoids sigmoids_of(vec x)
{
    vec decay = vec_exp(vec_sub(vec_all(0), vec_absolute(x)));
    vec major = vec_div(vec_all(1), vec_add(vec_all(1), decay));
    vec minor = vec_mul(decay, major);
    return (sigmoids){vec_if_negative(x, minor, major), vec_if_negative(x, major, minor)};
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * SwiGLU's product, rotary embedding and AdamW on a row, over the vector vocabulary.
 */
#ifndef RM_VECTOR_LAYERS_H
#define RM_VECTOR_LAYERS_H

#include "simd/kernels.h"
#include "simd/vector/exp.h"
#include "simd/vector/loop.h"

BODY silu_mul_at(int64_t i, int64_t count, const rm_real *gate, const rm_real *up, rm_real *h)
{
    vec x = vec_load_first(gate + i, count);
    vec silu = vec_mul(x, sigmoids_of(x).plus);
    vec_store_first(h + i, count, vec_mul(silu, vec_load_first(up + i, count)));
}

static void row_silu_mul(int64_t n, const rm_real *gate, const rm_real *up, rm_real *h)
{
    FOR_EACH_VECTOR(n, silu_mul_at, gate, up, h);
}

/* silu' = sigmoid(x) (1 + x sigmoid(-x)) */
BODY silu_mul_backward_at(int64_t i, int64_t count, const rm_real *gate, const rm_real *up,
                          const rm_real *d_h, rm_real *d_gate, rm_real *d_up)
{
    vec x = vec_load_first(gate + i, count), d_out = vec_load_first(d_h + i, count);
    vec up_lanes = vec_load_first(up + i, count);
    sigmoids s = sigmoids_of(x);
    vec slope = vec_mul(s.plus, vec_fma(x, s.minus, vec_all(1)));
    vec_store_first(d_up + i, count, vec_mul(d_out, vec_mul(x, s.plus)));
    vec_store_first(d_gate + i, count, vec_mul(d_out, vec_mul(up_lanes, slope)));
}

static void row_silu_mul_backward(int64_t n, const rm_real *gate, const rm_real *up,
                                  const rm_real *d_h, rm_real *d_gate, rm_real *d_up)
{
    FOR_EACH_VECTOR(n, silu_mul_backward_at, gate, up, d_h, d_gate, d_up);
}

BODY rope_at(int64_t i, int64_t count, vec sign, const rm_real *cosine, const rm_real *sine,
             rm_real *x, rm_real *y)
{
    vec turn = vec_mul(sign, vec_load_first(sine + i, count));
    vec stay = vec_load_first(cosine + i, count);
    vec x_lanes = vec_load_first(x + i, count), y_lanes = vec_load_first(y + i, count);
    vec_store_first(x + i, count, vec_fma_negated(y_lanes, turn, vec_mul(x_lanes, stay)));
    vec_store_first(y + i, count, vec_fma(x_lanes, turn, vec_mul(y_lanes, stay)));
}

static void row_rope(int64_t n, const rm_real *cosine, const rm_real *sine, rm_real sign,
                     rm_real *x)
{
    FOR_EACH_VECTOR(n / 2, rope_at, vec_all(sign), cosine, sine, x, x + n / 2);
}

typedef struct adamw_lanes {
    vec scale, keep1, take1, keep2, take2, correction1, correction2, rate, decay, epsilon;
} adamw_lanes;

BODY adamw_at(int64_t i, int64_t count, const adamw_lanes *step, const rm_real *gradient,
              rm_real *w, rm_real *m, rm_real *v)
{
    vec g = vec_mul(vec_load_first(gradient + i, count), step->scale);
    vec mean = vec_fma(step->keep1, vec_load_first(m + i, count), vec_mul(step->take1, g));
    vec square =
        vec_fma(step->keep2, vec_load_first(v + i, count), vec_mul(vec_mul(step->take2, g), g));
    vec deviation = vec_sqrt(vec_mul(square, step->correction2));
    vec direction =
        vec_div(vec_mul(mean, step->correction1), vec_add(deviation, step->epsilon));
    vec weight = vec_load_first(w + i, count);
    direction = vec_fma(step->decay, weight, direction);
    vec_store_first(m + i, count, mean);
    vec_store_first(v + i, count, square);
    vec_store_first(w + i, count, vec_fma_negated(step->rate, direction, weight));
}

static void row_adamw(int64_t n, const rm_adamw *step, const rm_real *gradient, rm_real *w,
                      rm_real *m, rm_real *v)
{
    const adamw_lanes lanes = {
        .scale = vec_all(step->gradient_scale),
        .keep1 = vec_all(step->beta1),
        .take1 = vec_all(1 - step->beta1),
        .keep2 = vec_all(step->beta2),
        .take2 = vec_all(1 - step->beta2),
        .correction1 = vec_all(step->correction1),
        .correction2 = vec_all(step->correction2),
        .rate = vec_all(step->learning_rate),
        .decay = vec_all(step->weight_decay),
        .epsilon = vec_all(step->epsilon),
    };
    FOR_EACH_VECTOR(n, adamw_at, &lanes, gradient, w, m, v);
}

#endif

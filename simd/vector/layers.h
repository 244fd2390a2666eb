/* SPDX-License-Identifier: MIT
 *
 * The gradient of softmax, rotary embedding and AdamW on a row, over the vector vocabulary.
 */
#ifndef RM_VECTOR_LAYERS_H
#define RM_VECTOR_LAYERS_H

#include "simd/kernels.h"
#include "simd/vector/loop.h"

/* The backward pass of a softmax row. */
BODY softmax_backward_at(int64_t i, int64_t count, vec delta, vec scale, const rm_real *p,
                         const rm_real *d_p, rm_real *d_x)
{
    vec above = vec_sub(vec_load_first(d_p + i, count), delta);
    vec product = vec_mul(vec_load_first(p + i, count), above);
    vec_store_first(d_x + i, count, vec_mul(product, scale));
}

static void row_softmax_backward(int64_t n, rm_real delta, rm_real scale, const rm_real *p,
                                 const rm_real *d_p, rm_real *d_x)
{
    FOR_EACH_VECTOR(n, softmax_backward_at, vec_all(delta), vec_all(scale), p, d_p, d_x);
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

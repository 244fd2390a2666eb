/* SPDX-License-Identifier: MIT
 *
 * The gradient of softmax, rotary embedding and AdamW on a row, in plain C.
 */
#include "simd/scalar/scalar.h"

#include <math.h>

void rm_softmax_backward_scalar(int64_t n, rm_real delta, rm_real scale, const rm_real *p,
                                const rm_real *d_p, rm_real *d_x)
{
    for (int64_t i = 0; i < n; i++) d_x[i] = p[i] * (d_p[i] - delta) * scale;
}

void rm_rope_scalar(int64_t n, const rm_real *cosine, const rm_real *sine, rm_real sign,
                    rm_real *x)
{
    int64_t half = n / 2;
    for (int64_t i = 0; i < half; i++) {
        rm_real first = x[i], second = x[i + half], turn = sign * sine[i];
        x[i] = first * cosine[i] - second * turn;
        x[i + half] = second * cosine[i] + first * turn;
    }
}

void rm_adamw_scalar(int64_t n, const rm_adamw *step, const rm_real *gradient, rm_real *w,
                     rm_real *m, rm_real *v)
{
    for (int64_t i = 0; i < n; i++) {
        rm_real g = gradient[i] * step->gradient_scale;
        m[i] = step->beta1 * m[i] + (1 - step->beta1) * g;
        v[i] = step->beta2 * v[i] + (1 - step->beta2) * g * g;
        rm_real deviation = (rm_real)sqrt((double)(v[i] * step->correction2));
        rm_real direction = m[i] * step->correction1 / (deviation + step->epsilon);
        w[i] -= step->learning_rate * (direction + step->weight_decay * w[i]);
    }
}

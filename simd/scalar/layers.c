/* SPDX-License-Identifier: MIT
 *
 * SwiGLU's product, rotary embedding and AdamW on a row, in plain C.
 */
#include "simd/scalar/scalar.h"

#include <math.h>

/* sigmoid(x) and sigmoid(-x), both without cancellation: exp(-|x|) never overflows. */
typedef struct sigmoids {
    rm_real plus, minus;
} sigmoids;

static sigmoids sigmoids_of(rm_real x)
{
    rm_real decay = (rm_real)exp(-fabs((double)x));
    rm_real major = 1 / (1 + decay), minor = decay * major;
    return x < 0 ? (sigmoids){minor, major} : (sigmoids){major, minor};
}

void rm_silu_mul_scalar(int64_t n, const rm_real *gate, const rm_real *up, rm_real *h)
{
    for (int64_t i = 0; i < n; i++) h[i] = gate[i] * sigmoids_of(gate[i]).plus * up[i];
}

/* silu' = sigmoid(x) (1 + x sigmoid(-x)) */
void rm_silu_mul_backward_scalar(int64_t n, const rm_real *gate, const rm_real *up,
                                 const rm_real *d_h, rm_real *d_gate, rm_real *d_up)
{
    for (int64_t i = 0; i < n; i++) {
        rm_real x = gate[i], scale = up[i];
        sigmoids s = sigmoids_of(x);
        rm_real d_out = d_h[i];
        d_up[i] = d_out * (x * s.plus);
        d_gate[i] = d_out * (scale * (s.plus * (1 + x * s.minus)));
    }
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

/* SPDX-License-Identifier: MIT
 *
 * SwiGLU's gated product (Shazeer 2020) on a row, with the row's weight in its token's mixture,
 * and its gradients, in plain C.
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

void rm_silu_mul_scalar(int64_t n, rm_real weight, const rm_real *gate, const rm_real *up,
                        rm_real *h)
{
    for (int64_t i = 0; i < n; i++)
        h[i] = weight * (gate[i] * sigmoids_of(gate[i]).plus) * up[i];
}

/* silu' = sigmoid(x) (1 + x sigmoid(-x)) */
rm_real rm_silu_mul_backward_scalar(int64_t n, rm_real weight, const rm_real *gate,
                                    const rm_real *up, const rm_real *d_h, rm_real *d_gate,
                                    rm_real *d_up)
{
    rm_real d_weight = 0;
    for (int64_t i = 0; i < n; i++) {
        rm_real x = gate[i], factor = up[i], d_product = d_h[i];
        sigmoids s = sigmoids_of(x);
        rm_real silu = x * s.plus, slope = s.plus * (1 + x * s.minus);
        d_up[i] = weight * d_product * silu;
        d_gate[i] = weight * d_product * (factor * slope);
        d_weight += silu * factor * d_product;
    }
    return d_weight;
}

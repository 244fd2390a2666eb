/* SPDX-License-Identifier: MIT
 *
 * RMSNorm (Zhang & Sennrich 2019) of a row, and its gradients, in plain C.
 */
#include "simd/scalar/scalar.h"
#include "simd/scalar_math.h"

rm_real rm_rmsnorm_scalar(int64_t n, rm_real eps, const rm_real *x, const rm_real *w,
                          rm_real *y)
{
    rm_real rstd = rm_reciprocal_rms(n, rm_sum_squares_scalar(n, x), eps);
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * rstd * w[i];
    return rstd;
}

/* With u = w d_y:  d_x = rstd u - x rstd^3 mean(u x). */
void rm_rmsnorm_backward_scalar(int64_t n, rm_real rstd, const rm_real *x, const rm_real *w,
                                const rm_real *d_y, rm_real *d_x, rm_real *d_w)
{
    rm_real sum = 0;
    for (int64_t i = 0; i < n; i++) sum += w[i] * d_y[i] * x[i];
    rm_real along_x = sum / (rm_real)n * rstd * rstd;
    for (int64_t i = 0; i < n; i++) {
        rm_real d_out = d_y[i];
        d_w[i] += d_out * (x[i] * rstd);
        d_x[i] = rstd * (w[i] * d_out - x[i] * along_x);
    }
}

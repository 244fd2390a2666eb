/* SPDX-License-Identifier: MIT
 *
 * Element-wise operations on rows and sums over them, in plain C. Sums run from first to last.
 */
#include "simd/scalar/scalar.h"

#include <math.h>

void rm_add_scalar(int64_t n, const rm_real *x, rm_real *y)
{
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
}

void rm_axpy_scalar(int64_t n, rm_real alpha, const rm_real *x, rm_real *y)
{
    for (int64_t i = 0; i < n; i++) y[i] += alpha * x[i];
}

void rm_scale_scalar(int64_t n, rm_real alpha, rm_real *x)
{
    for (int64_t i = 0; i < n; i++) x[i] *= alpha;
}

rm_real rm_dot_scalar(int64_t n, const rm_real *x, const rm_real *y)
{
    rm_real sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

void rm_dot_rows_scalar(int64_t n, int64_t n_rows, const rm_real *x, const rm_real *rows,
                        int64_t stride, rm_real *dots)
{
    for (int64_t j = 0; j < n_rows; j++) dots[j] = rm_dot_scalar(n, x, rows + j * stride);
}

void rm_axpy_rows_scalar(int64_t n, int64_t n_rows, const rm_real *alphas, const rm_real *rows,
                         int64_t stride, rm_real *y)
{
    for (int64_t j = 0; j < n_rows; j++) rm_axpy_scalar(n, alphas[j], rows + j * stride, y);
}

rm_real rm_max_scalar(int64_t n, const rm_real *x)
{
    rm_real largest = x[0];
    for (int64_t i = 1; i < n && !isnan(largest); i++)
        if (x[i] > largest || isnan(x[i])) largest = x[i];
    return largest;
}

rm_real rm_exp_shift_scalar(int64_t n, rm_real shift, const rm_real *x, rm_real *y)
{
    rm_real sum = 0;
    for (int64_t i = 0; i < n; i++) {
        y[i] = (rm_real)exp((double)(x[i] - shift));
        sum += y[i];
    }
    return sum;
}

double rm_sum_squares_scalar(int64_t n, const rm_real *x)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sum;
}

/* SPDX-License-Identifier: MIT
 *
 * RMSNorm (Zhang & Sennrich 2019) over rows, fused with the residual addition before it:
 *
 *   x += residual;   rstd = 1 / sqrt(mean(x^2) + eps);   y = x * rstd * weight
 */
#ifndef RM_NORM_H
#define RM_NORM_H

#include "tensor/products.h"

typedef struct rm_norm_shape {
    int64_t n_rows, width;
    rm_real eps;
} rm_norm_shape;

/* rstd gets [n_rows]. Returns false if a row of x was not finite. */
bool rm_norm_forward(const rm_compute *compute, rm_norm_shape shape, const rm_real *x,
                     const rm_real *weight, rm_real *y, rm_real *rstd);
/* With the residual added to x before. */
bool rm_norm_add_forward(const rm_compute *compute, rm_norm_shape shape,
                         const rm_real *residual, rm_real *x, const rm_real *weight, rm_real *y,
                         rm_real *rstd);
/* The addition alone: x += residual, n elements. */
void rm_residual_add(const rm_compute *compute, int64_t n, const rm_real *residual, rm_real *x);

/* d_x = the gradient of x, or with `add` d_x += it; d_y is overwritten then. Without `add` d_x
 * may be d_y. The weight's gradient sums fixed blocks of rows, then the blocks in order, and
 * goes to the sink. Workspace: rm_norm_workspace(n_rows, width) reals. */
void rm_norm_backward(const rm_compute *compute, rm_norm_shape shape, const rm_real *x,
                      const rm_real *rstd, const rm_real *weight, rm_real *d_y, bool add,
                      rm_real *d_x, rm_real *workspace, rm_sink d_weight);
int64_t rm_norm_workspace(int64_t n_rows, int64_t width);

#endif

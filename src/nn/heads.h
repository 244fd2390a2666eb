/* SPDX-License-Identifier: MIT
 *
 * What some families do to rows of queries, keys or values between their product and their
 * rotation, in this order, each step optional:
 *
 *   x += bias;    y = x * rstd * weight;    y = cut to [-limit, limit]
 *
 * The norm is RMSNorm over each head by itself, with one weight for all heads (Qwen3), or over
 * all heads of a token (OLMoE). Ranks of a tensor axis have some of the heads each: sums over
 * heads then go over the axis, in fixed blocks of heads where they shall not depend on it.
 */
#ifndef RM_HEADS_H
#define RM_HEADS_H

#include <ringmoe/model.h>

#include "comm/context.h"
#include "tensor/products.h"

/* Rows of this rank's heads, and what is done to them. */
typedef struct rm_heads {
    int64_t n_rows, n_heads, head_dim;
    int64_t row_width; /* of all ranks' heads together */
    rm_inner_cut cut;  /* of this rank's elements of a row; n = 0: sums in one go */
    const rm_axis *tensor;
    rm_comm_times *times;
    const rm_real *bias; /* [n_heads * head_dim]; NULL: none */
    ringmoe_qk_norm norm;
    const rm_real *weight; /* of the norm: [head_dim] or [n_heads * head_dim] */
    rm_real eps;
    rm_real limit; /* 0: not cut */
} rm_heads;

/* Elements of the norm's rstd, and of its weight. */
int64_t rm_heads_rstd_elements(const rm_heads *heads);
int64_t rm_heads_weight_elements(const rm_heads *heads);

/* The dot product of this rank's parts of two rows, added up in the blocks' tree. */
rm_real rm_heads_dot(const rm_kernels *kernels, const rm_heads *heads, const rm_real *x,
                     const rm_real *y);

/* x gets the bias, y the result; y is not x where there is a norm or a limit, and not written
 * where there is neither. Collective over the axis. OK or MPI. */
ringmoe_status rm_heads_forward(const rm_compute *compute, const rm_heads *heads, rm_real *x,
                                rm_real *rstd, rm_real *y, rm_error *error);

/* d, the gradient of y, becomes that of x, as the forward pass left it. The norm's weight's
 * gradient goes to `weight`. Workspace: rm_heads_workspace reals. Collective likewise. */
ringmoe_status rm_heads_backward(const rm_compute *compute, const rm_heads *heads,
                                 const rm_real *x, const rm_real *rstd, rm_real *d,
                                 rm_real *workspace, rm_sink weight, rm_error *error);
int64_t rm_heads_workspace(int64_t n_rows, int64_t n_heads, int64_t head_dim);

/* The bias's gradient from that of x: the sum over rows. */
void rm_heads_bias_backward(const rm_compute *compute, const rm_heads *heads, const rm_real *d,
                            rm_sink bias);

#endif

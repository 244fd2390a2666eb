/* SPDX-License-Identifier: MIT
 *
 * The plain-C kernels: the reference that every other level is read against. Contracts are in
 * simd/kernels.h.
 */
#ifndef RM_SCALAR_H
#define RM_SCALAR_H

#include "simd/kernels.h"

enum { RM_SCALAR_ROWS = 4, RM_SCALAR_COLUMNS = 8 };

void rm_tile_scalar(int64_t k, const rm_real *a, int64_t a_row, int64_t a_col, const rm_real *b,
                    rm_real *c, int64_t c_row, int m, int n, bool add);
void rm_tile_bf16_scalar(int64_t k, const rm_real *a, int64_t a_row, int64_t a_col,
                         const rm_bf16 *b, rm_real *c, int64_t c_row, int m, int n, bool add);
void rm_pack_scalar(int64_t k, int n, const rm_real *src, int64_t row, int64_t col,
                    rm_real *panel);
void rm_pack_bf16_scalar(int64_t k, int n, const rm_real *src, int64_t row, int64_t col,
                         rm_bf16 *panel);
void rm_round_bf16_scalar(int64_t n, const rm_real *src, rm_real *dst);

void rm_add_scalar(int64_t n, const rm_real *x, rm_real *y);
void rm_axpy_scalar(int64_t n, rm_real alpha, const rm_real *x, rm_real *y);
void rm_scale_scalar(int64_t n, rm_real alpha, rm_real *x);
rm_real rm_dot_scalar(int64_t n, const rm_real *x, const rm_real *y);
rm_real rm_max_scalar(int64_t n, const rm_real *x);
rm_real rm_exp_shift_scalar(int64_t n, rm_real shift, const rm_real *x, rm_real *y);
double rm_sum_squares_scalar(int64_t n, const rm_real *x);

rm_real rm_rmsnorm_scalar(int64_t n, rm_real eps, const rm_real *x, const rm_real *w,
                          rm_real *y);
void rm_rmsnorm_backward_scalar(int64_t n, rm_real rstd, const rm_real *x, const rm_real *w,
                                const rm_real *d_y, rm_real *d_x, rm_real *d_w);
void rm_silu_mul_scalar(int64_t n, const rm_real *gate, const rm_real *up, rm_real *h);
void rm_silu_mul_backward_scalar(int64_t n, const rm_real *gate, const rm_real *up,
                                 const rm_real *d_h, rm_real *d_gate, rm_real *d_up);
void rm_rope_scalar(int64_t n, const rm_real *cosine, const rm_real *sine, rm_real sign,
                    rm_real *x);
void rm_adamw_scalar(int64_t n, const rm_adamw *step, const rm_real *gradient, rm_real *w,
                     rm_real *m, rm_real *v);

#endif

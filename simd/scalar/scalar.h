/* SPDX-License-Identifier: MIT
 *
 * The plain-C kernels: the reference that every other level is read against. Contracts are in
 * simd/kernels.h.
 */
#ifndef RM_SCALAR_H
#define RM_SCALAR_H

#include "simd/kernels.h"

enum { RM_SCALAR_ROWS = 4, RM_SCALAR_COLUMNS = 8 };

void rm_pack_a_lines_scalar(int64_t k, int m, const rm_real *const *lines, void *panel);
void rm_pack_a_steps_scalar(int64_t k, int m, const rm_real *const *steps, void *panel);
void rm_pack_b_lines_scalar(int64_t k, int n, const rm_real *const *lines, void *panel);
void rm_pack_b_steps_scalar(int64_t k, int n, const rm_real *const *steps, void *panel);
void rm_pack_a_lines_bf16_scalar(int64_t k, int m, const rm_real *const *lines, void *panel);
void rm_pack_a_steps_bf16_scalar(int64_t k, int m, const rm_real *const *steps, void *panel);
void rm_pack_b_lines_bf16_scalar(int64_t k, int n, const rm_real *const *lines, void *panel);
void rm_pack_b_steps_bf16_scalar(int64_t k, int n, const rm_real *const *steps, void *panel);
void rm_tile_scalar(int64_t k, const void *a, const void *b, rm_real *c, int64_t c_row, int m,
                    int n, bool add, rm_ahead ahead);
void rm_tile_bf16_scalar(int64_t k, const void *a, const void *b, rm_real *c, int64_t c_row,
                         int m, int n, bool add, rm_ahead ahead);
void rm_tile_in_place_scalar(int64_t k, const rm_real *a, int64_t a_row, int64_t a_col,
                             const void *b, rm_real *c, int64_t c_row, int m, int n, bool add);
double rm_tile_peak_scalar(int64_t rounds);

void rm_pack_a_lines_quantised_scalar(int64_t k, int m, const rm_real *const *lines,
                                      void *panel);
void rm_tile_q8_scalar(int64_t k, const void *a, const void *b, rm_real *c, int64_t c_row,
                       int m, int n, bool add, rm_ahead ahead);
void rm_tile_q4_scalar(int64_t k, const void *a, const void *b, rm_real *c, int64_t c_row,
                       int m, int n, bool add, rm_ahead ahead);
void rm_quantise_q8_scalar(int64_t n, const rm_real *x, void *blocks);
void rm_quantise_q4_scalar(int64_t n, const rm_real *x, void *blocks);

void rm_widen_bf16_scalar(int64_t n, const void *x, rm_real *y);
void rm_widen_half_scalar(int64_t n, const void *x, rm_real *y);

void rm_add_scalar(int64_t n, const rm_real *x, rm_real *y);
void rm_axpy_scalar(int64_t n, rm_real alpha, const rm_real *x, rm_real *y);
void rm_scale_scalar(int64_t n, rm_real alpha, rm_real *x);
rm_real rm_dot_scalar(int64_t n, const rm_real *x, const rm_real *y);
void rm_dot_rows_scalar(int64_t n, int64_t n_rows, const rm_real *x, const rm_real *rows,
                        int64_t stride, rm_real *dots);
void rm_axpy_rows_scalar(int64_t n, int64_t n_rows, const rm_real *alphas, const rm_real *rows,
                         int64_t stride, rm_real *y);
rm_real rm_max_scalar(int64_t n, const rm_real *x);
rm_real rm_exp_shift_scalar(int64_t n, rm_real shift, const rm_real *x, rm_real *y);
double rm_sum_squares_scalar(int64_t n, const rm_real *x);

rm_real rm_rmsnorm_scalar(int64_t n, rm_real eps, const rm_real *x, const rm_real *w,
                          rm_real *y);
void rm_rmsnorm_backward_scalar(int64_t n, rm_real rstd, const rm_real *x, const rm_real *w,
                                const rm_real *d_y, rm_real *d_x, rm_real *d_w);
void rm_silu_mul_scalar(int64_t n, rm_real weight, const rm_real *gate, const rm_real *up,
                        rm_real *h);
rm_real rm_silu_mul_backward_scalar(int64_t n, rm_real weight, const rm_real *gate,
                                    const rm_real *up, const rm_real *d_h, rm_real *d_gate,
                                    rm_real *d_up);
void rm_softmax_backward_scalar(int64_t n, rm_real delta, rm_real scale, const rm_real *p,
                                const rm_real *d_p, rm_real *d_x);
void rm_rope_scalar(int64_t n, const rm_real *cosine, const rm_real *sine, rm_real sign,
                    rm_real *x);
void rm_adamw_scalar(int64_t n, const rm_adamw *step, const rm_real *gradient, rm_real *w,
                     rm_real *m, rm_real *v);

#endif

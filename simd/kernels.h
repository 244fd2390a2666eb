/* SPDX-License-Identifier: MIT
 *
 * The kernel table: one row of function pointers per instruction set ("level"), filled with the
 * plain-C reference first and overridden upward. simd/README.md is the guide to adding one.
 *
 * Contract of every kernel: no alignment is required; nothing outside the stated ranges is read
 * or written; n = 0 is allowed; the result of one row or element depends on its own inputs
 * alone, never on its neighbours, its position or the thread (bit-exact within a level).
 */
#ifndef RM_KERNELS_H
#define RM_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simd/real.h"

/* The scalars of one AdamW update (Loshchilov & Hutter 2019); gradients are multiplied by
 * `gradient_scale` (the clipping factor) first. */
typedef struct rm_adamw {
    rm_real gradient_scale;
    rm_real beta1, beta2;
    rm_real learning_rate;
    rm_real weight_decay; /* 0 for norms */
    rm_real correction1;  /* 1 / (1 - beta1^step) */
    rm_real correction2;  /* 1 / (1 - beta2^step) */
    rm_real epsilon;
} rm_adamw;

typedef struct rm_kernels {
    const char *level;

    /* --- matrix products -----------------------------------------------------------------
     * B is packed into panels of `nr` columns: panel[p * nr + j] = B[p][j], columns beyond n
     * are zero. A is read in place: A[i][p] = a[i * a_row + p * a_col]. tile: C[m][n] = A[m][k]
     * * B[k][n], or += when `add`, for 1 <= m <= mr, 1 <= n <= nr; C[i][j] = c[i * c_row + j].
     * Each element is one chain of multiply-adds over p = 0..k-1 from zero (or, with `add`,
     * that sum added to C once), the same for every m, n, i and j. */
    int mr, nr;
    void (*tile)(int64_t k, const rm_real *a, int64_t a_row, int64_t a_col, const rm_real *b,
                 rm_real *c, int64_t c_row, int m, int n, bool add);
    /* As tile, B's panel in bf16 (same layout); A holds values already rounded to bf16. */
    void (*tile_bf16)(int64_t k, const rm_real *a, int64_t a_row, int64_t a_col,
                      const rm_bf16 *b, rm_real *c, int64_t c_row, int m, int n, bool add);
    /* One panel of B: B[p][j] = src[p * row + j * col], for p < k, j < n <= nr. Exact copy. */
    void (*pack)(int64_t k, int n, const rm_real *src, int64_t row, int64_t col,
                 rm_real *panel);
    /* The same rounded to bf16 (nearest even; NaN stays NaN). */
    void (*pack_bf16)(int64_t k, int n, const rm_real *src, int64_t row, int64_t col,
                      rm_bf16 *panel);
    /* dst[i] = src[i] rounded to bf16 and back. dst may be src. */
    void (*round_bf16)(int64_t n, const rm_real *src, rm_real *dst);

    /* --- rows -----------------------------------------------------------------------------
     * y += x; y += alpha x; x *= alpha. Element-wise, one rounding per operation (fused). */
    void (*add)(int64_t n, const rm_real *x, rm_real *y);
    void (*axpy)(int64_t n, rm_real alpha, const rm_real *x, rm_real *y);
    void (*scale)(int64_t n, rm_real alpha, rm_real *x);
    rm_real (*dot)(int64_t n, const rm_real *x, const rm_real *y);
    rm_real (*max)(int64_t n, const rm_real *x); /* n >= 1; NaN if any is NaN */
    /* y[i] = exp(x[i] - shift); returns the sum of y. y may be x. exp within 2 ulp. */
    rm_real (*exp_shift)(int64_t n, rm_real shift, const rm_real *x, rm_real *y);
    double (*sum_squares)(int64_t n, const rm_real *x); /* summed in double */

    /* RMSNorm of a row: y = x * rstd * w; returns rstd = 1 / sqrt(mean(x^2) + eps). */
    rm_real (*rmsnorm)(int64_t n, rm_real eps, const rm_real *x, const rm_real *w, rm_real *y);
    /* Its gradients: d_x is written (not added); d_w += d_y * x * rstd. d_x may be d_y. */
    void (*rmsnorm_backward)(int64_t n, rm_real rstd, const rm_real *x, const rm_real *w,
                             const rm_real *d_y, rm_real *d_x, rm_real *d_w);

    /* h = gate * sigmoid(gate) * up, and its gradients. h may be gate or up; d_gate, d_up may
     * be gate, up. */
    void (*silu_mul)(int64_t n, const rm_real *gate, const rm_real *up, rm_real *h);
    void (*silu_mul_backward)(int64_t n, const rm_real *gate, const rm_real *up,
                              const rm_real *d_h, rm_real *d_gate, rm_real *d_up);

    /* Rotary embedding of one head (NeoX halves, as Hugging Face): pairs (i, i + n/2) turned by
     * the angles whose cosines and sines are given, [n/2] each; sign -1 turns back (the
     * backward pass). In place. */
    void (*rope)(int64_t n, const rm_real *cosine, const rm_real *sine, rm_real sign,
                 rm_real *x);

    /* AdamW on n elements: w, m, v in place. */
    void (*adamw)(int64_t n, const rm_adamw *step, const rm_real *gradient, rm_real *w,
                  rm_real *m, rm_real *v);
} rm_kernels;

/* The table of a level ("scalar", "avx2", "neon"); NULL if this build or CPU has it not. */
const rm_kernels *rm_kernels_of_level(const char *level);
/* The best table this CPU can run. */
const rm_kernels *rm_kernels_best(void);
/* Names of the levels this build and CPU can run, worst first, NULL-terminated. */
const char *const *rm_kernels_levels(void);

#endif

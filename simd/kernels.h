/* SPDX-License-Identifier: MIT
 *
 * The kernel table: one row of function pointers per instruction set ("level"), filled with the
 * plain-C reference first and overridden upward. simd/README.md is the guide to adding one.
 *
 * Contract of every kernel: no alignment is required; nothing outside the stated ranges is read
 * or written; n = 0 is allowed; the result of one row or element depends on its own inputs
 * alone, never on its neighbours, its position or the thread (bit-exact within a level). A sum
 * over a row runs in an order that depends on n alone.
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

/* Memory that will be read soon, `step` bytes for each of k terms: during a tile's term p the
 * lines from start + p * step on are asked for, as many as a term of B fills, so that step is
 * at most b_term and something beyond start + k * step may be asked for too. Any address
 * will do, for none of it is touched. */
typedef struct rm_ahead {
    const void *start;
    int64_t step;
} rm_ahead;

/* Two panels of B, anywhere, and the columns of C that are theirs. */
typedef struct rm_tile_pair {
    const void *b[2];
    rm_real *c[2];
    int n[2]; /* 1 <= n <= nr */
} rm_tile_pair;

/* Products in one precision. Both operands are packed first, in a layout that belongs to the
 * level: only the five functions below know it. A packed panel of A holds up to `mr` rows, one
 * of B up to `nr` columns; what is missing up to mr or nr, and in depth up to a multiple of
 * depth_step, is zero. So a panel of k terms takes a_term (b_term) bytes times k, rounded up
 * to a multiple of depth_step. Panels are contiguous, and a slice of one, from a
 * term that is a multiple of depth_step on, is a panel: term p begins that many bytes times p
 * after the start.
 *
 *   lines   the terms of one row of A (column of B) lie together:  lines[i][p]
 *   steps   the rows of A (columns of B) of one term lie together: steps[p][i]
 *
 * The pointers may be any, so that rows are gathered while they are packed. */
typedef struct rm_tile_kernels {
    int mr, nr;         /* rows and columns of a tile of C */
    int row_step;       /* divides mr: a tile takes as long as one with m rounded up to it */
    int depth_step;     /* packed depths are multiples of it */
    int a_term, b_term; /* bytes a term takes in a packed panel of A, of B */
    int depth_block;    /* terms of a slice of the depth: part of a result's bits */
    int block_rows;     /* rows of A, depth_block deep, that stay in the second-level cache */

    /* Copies, or rounds to bf16 (nearest even; NaN stays NaN). 1 <= m <= mr, 1 <= n <= nr. */
    void (*pack_a_lines)(int64_t k, int m, const rm_real *const *lines, void *panel);
    void (*pack_a_steps)(int64_t k, int m, const rm_real *const *steps, void *panel);
    void (*pack_b_lines)(int64_t k, int n, const rm_real *const *lines, void *panel);
    void (*pack_b_steps)(int64_t k, int n, const rm_real *const *steps, void *panel);
    /* From lines of blocks, each of k / 32 (rounded up); quantised products alone, which have
     * no packs from steps. */
    void (*pack_b_blocks)(int64_t k, int n, const void *const *lines, void *panel);
    /* C[m][n] = A[m][k] * B[k][n], or += when `add`; C[i][j] = c[i * c_row + j]. An element is
     * one sum over p = 0..k-1 from zero in an order that belongs to the level (with `add`, that
     * sum is added to C once).
     * Bit-exact: it depends on its row of A, its column of B and k alone, not on m, n, i and j,
     * and not on the zeros behind the last term.
     * Error: at most (k + 1) eps sum |A B|, where the sums stay finite. A bf16 tile may take
     * denormal operands, products and sums for zero, as AMX does; fp32 keeps them.
     * Meanwhile `ahead` is asked for from memory, except by the scalar level, and with one row
     * of fp32, where the processor alone does better. */
    void (*tile)(int64_t k, const void *a, const void *b, rm_real *c, int64_t c_row, int m,
                 int n, bool add, rm_ahead ahead);

    /* As tile, on two panels: for few rows, whose B comes from memory, since two streams of it
     * are read faster than one, where each goes on for long. More of both panels is asked for
     * if that pays. The bits are tile's. 1 <= m <= pair_rows; NULL where that is 0. */
    int pair_rows;
    void (*tile_pair)(int64_t k, const void *a, const rm_tile_pair *pair, int64_t c_row, int m,
                      bool add);

    /* Around the tiles of one thread, if the level needs it (tile registers); NULL: not.
     * Between them the thread may call any kernel but peak, which begins and ends by itself. */
    void (*begin)(void);
    void (*end)(void);
    /* Multiplies and adds on registers alone, as the tile does: the ceiling of a product.
     * Returns the operations done, about `rounds` thousand. */
    double (*peak)(int64_t rounds);
} rm_tile_kernels;

typedef struct rm_kernels {
    const char *level;

    /* --- matrix products ----------------------------------------------------------------- */
    rm_tile_kernels fp32; /* rm_real operands and sums */
    rm_tile_kernels bf16; /* bf16 operands, rm_real sums */
    /* B in blocks of 32 terms, Q8_0 and Q4_0 of GGUF files, A rounded to bytes with a scale a
     * block (simd/quantised.h). With a the bytes and w the whole numbers of a block,
     *   C = sum over blocks, in order, of fma(sum of a w, scale_a * scale_w, C)    in float
     * from zero: the same bits at every level. Missing terms of the last block are zeros. A
     * block of A with a number that is not finite gives NaN. */
    rm_tile_kernels q8, q4;
    /* As fp32.tile, but A is read in place: A[i][p] = a[i * a_row + p * a_col]. For small
     * products whose A is used once. The bits are fp32.tile's. */
    void (*tile_in_place)(int64_t k, const rm_real *a, int64_t a_row, int64_t a_col,
                          const void *b, rm_real *c, int64_t c_row, int m, int n, bool add);

    /* Blocks of Q8_0 or Q4_0 from n numbers, by the rules of ggml's reference and with its
     * bits; a last block of fewer numbers is filled with zeros. Where those rules have no
     * numbers: a block whose scale is below 2^-100 (zero as a half) becomes zeros, and one with
     * a number that is not finite gets the scale NaN. */
    void (*quantise_q8)(int64_t n, const rm_real *x, void *blocks);
    void (*quantise_q4)(int64_t n, const rm_real *x, void *blocks);

    /* --- conversions ----------------------------------------------------------------------
     * y = x, of bf16 or of IEEE half numbers: exact; a NaN stays a NaN. x may lie anywhere, at
     * odd addresses too. */
    void (*widen_bf16)(int64_t n, const void *x, rm_real *y);
    void (*widen_half)(int64_t n, const void *x, rm_real *y);

    /* --- rows -----------------------------------------------------------------------------
     * y += x; y += alpha x; x *= alpha. Element-wise, one rounding per operation (fused). */
    void (*add)(int64_t n, const rm_real *x, rm_real *y);
    void (*axpy)(int64_t n, rm_real alpha, const rm_real *x, rm_real *y);
    void (*scale)(int64_t n, rm_real alpha, rm_real *x);
    rm_real (*dot)(int64_t n, const rm_real *x, const rm_real *y);
    /* dots[j] = dot(n, x, row j); y += alphas[j] row j, as that many axpy one after the other:
     * of n_rows rows, `stride` apart, that come from memory. */
    void (*dot_rows)(int64_t n, int64_t n_rows, const rm_real *x, const rm_real *rows,
                     int64_t stride, rm_real *dots);
    void (*axpy_rows)(int64_t n, int64_t n_rows, const rm_real *alphas, const rm_real *rows,
                      int64_t stride, rm_real *y);
    rm_real (*max)(int64_t n, const rm_real *x); /* n >= 1; NaN if any is NaN */
    /* y[i] = exp(x[i] - shift); returns the sum of y. y may be x. exp within 2 ulp. */
    rm_real (*exp_shift)(int64_t n, rm_real shift, const rm_real *x, rm_real *y);
    double (*sum_squares)(int64_t n, const rm_real *x); /* summed in double */

    /* RMSNorm of a row: y = x * rstd * w; returns rstd = 1 / sqrt(mean(x^2) + eps). */
    rm_real (*rmsnorm)(int64_t n, rm_real eps, const rm_real *x, const rm_real *w, rm_real *y);
    /* Its gradients: d_x is written (not added); d_w += d_y * x * rstd. d_x may be d_y. */
    void (*rmsnorm_backward)(int64_t n, rm_real rstd, const rm_real *x, const rm_real *w,
                             const rm_real *d_y, rm_real *d_x, rm_real *d_w);

    /* h = weight * gate * sigmoid(gate) * up. h may be gate or up. */
    void (*silu_mul)(int64_t n, rm_real weight, const rm_real *gate, const rm_real *up,
                     rm_real *h);
    /* Its gradients, d_gate and d_up, which may be gate and up; returns the weight's, the sum
     * of d_h * gate * sigmoid(gate) * up (as `dot`). */
    rm_real (*silu_mul_backward)(int64_t n, rm_real weight, const rm_real *gate,
                                 const rm_real *up, const rm_real *d_h, rm_real *d_gate,
                                 rm_real *d_up);

    /* The backward pass of a softmax row: d_x = p * (d_p - delta) * scale; delta, the sum of
     * p * d_p, is given. d_x may be d_p. */
    void (*softmax_backward)(int64_t n, rm_real delta, rm_real scale, const rm_real *p,
                             const rm_real *d_p, rm_real *d_x);

    /* Rotary embedding of one head (NeoX halves, as Hugging Face): pairs (i, i + n/2) turned by
     * the angles whose cosines and sines are given, [n/2] each; sign -1 turns back (the
     * backward pass). In place. */
    void (*rope)(int64_t n, const rm_real *cosine, const rm_real *sine, rm_real sign,
                 rm_real *x);

    /* AdamW on n elements: w, m, v in place. */
    void (*adamw)(int64_t n, const rm_adamw *step, const rm_real *gradient, rm_real *w,
                  rm_real *m, rm_real *v);
} rm_kernels;

/* The table of a level ("scalar"; "avx2", "avx512", "avx512bf16", "amx"; "neon", "neonbf16");
 * NULL if this build or CPU has it not. */
const rm_kernels *rm_kernels_of_level(const char *level);
/* The best table this CPU can run: the highest level, less those whose own products turn out
 * clearly slower than the level's below (measured; takes well under a millisecond). */
const rm_kernels *rm_kernels_best(void);
/* Names of the levels this build and CPU can run, worst first, NULL-terminated. */
const char *const *rm_kernels_levels(void);

#endif

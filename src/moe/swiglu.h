/* SPDX-License-Identifier: MIT
 *
 * SwiGLU feed-forward (Shazeer 2020) for many experts at once, with a weight for each row:
 *
 *   y = down(weight * silu(gate x) * (up x))
 *
 * Rows lie expert after expert; a dense layer and a shared expert are the case of one expert.
 *
 * Ranks of a tensor axis share d_ff: gate and up have some of their rows on each, down has the
 * same ones of its columns. What sums over d_ff (y, d_x, d_weights) is then a rank's part of
 * it, which the caller completes by rm_sum; with `reproducible` shapes the bits do not depend
 * on whether 1, 2 or 4 ranks share d_ff.
 */
#ifndef RM_SWIGLU_H
#define RM_SWIGLU_H

#include "comm/mesh.h"
#include "moe/product_batches.h"

typedef struct rm_swiglu {
    rm_matrix gate, up; /* [d_ff][d_model]; Mixtral's w1 and w3 */
    rm_matrix down;     /* [d_model][d_ff]; Mixtral's w2 */
} rm_swiglu;

typedef struct rm_swiglu_shape {
    int64_t d_model, d_ff; /* d_ff of all tensor ranks together */
    int tensor_ranks, tensor_rank;
    bool with_backward, reproducible;
    ringmoe_precision precision; /* of the packed forms */
} rm_swiglu_shape;

/* A rank's part of d_ff. */
int64_t rm_swiglu_inner(const rm_swiglu_shape *shape);
/* Shapes and packed forms of one expert, as rm_matrix_layout. */
void rm_swiglu_layout(rm_swiglu *swiglu, const rm_compute *compute,
                      const rm_swiglu_shape *shape, rm_arena *arena);

/* d_ff is the rank's own part. */
typedef struct rm_swiglu_sizes {
    int n_experts, n_sources; /* runs of an expert's rows with gradients of their own */
    int64_t max_rows, d_ff;
    bool borrows_hidden; /* with a backward pass: hidden is the caller's to set */
} rm_swiglu_sizes;

/* Activations of up to max_rows rows of all n_experts together, [rows][d_ff] each. The backward
 * pass turns gate and up into their own gradients in place, and makes hidden again; so what the
 * forward pass leaves in hidden need not be kept, and layers may share one. From the backward
 * pass of the inputs to that of the weights all three must stay. */
typedef struct rm_swiglu_saved {
    rm_real *gate, *up; /* without a backward pass not kept: hidden lies over both */
    rm_real *hidden;    /* weight * silu(gate) * up; elements: rm_swiglu_hidden_elements */
    rm_batch_room room;
} rm_swiglu_saved;
int64_t rm_swiglu_hidden_elements(rm_swiglu_sizes sizes);
void rm_swiglu_saved_layout(rm_swiglu_saved *saved, rm_swiglu_sizes sizes, bool with_backward,
                            rm_arena *arena);

/* The rows of a pass: those of expert e are [offsets[e], offsets[e + 1]). A pass may be over
 * some of the rows alone, offsets[0] > 0; all arrays still begin with row 0. */
typedef struct rm_swiglu_rows {
    int n_experts;
    const int64_t *offsets; /* [n_experts + 1] */
    const rm_real *x;       /* row i is x + x_rows[i] * d_model */
    const int32_t *x_rows;  /* NULL: i */
    const rm_real *weights; /* of row i; NULL: 1 */
} rm_swiglu_rows;

/* Row i of y is y + y_rows[i] * d_model (NULL: i), written. */
void rm_swiglu_forward(const rm_compute *compute, const rm_swiglu *experts,
                       const rm_swiglu_rows *rows, const rm_swiglu_saved *saved, rm_real *y,
                       const int32_t *y_rows);

/* Where the three weight gradients go. */
typedef struct rm_swiglu_sinks {
    rm_sink gate, up, down;
} rm_swiglu_sinks;

/* What a backward pass reads beside the rows of its forward pass, and what it makes. */
typedef struct rm_swiglu_gradients {
    const rm_real *d_y;      /* row i is d_y + d_y_rows[i] * d_model */
    const int32_t *d_y_rows; /* NULL: i */
    rm_real *d_x;            /* row i is d_x + d_x_rows[i] * d_model */
    const int32_t *d_x_rows; /* NULL: i */
    bool add;                /* d_x is added to */
    rm_real *d_weights;      /* of row i; may be the weights; NULL: not wanted */
    /* Run s of expert e is run_rows[e * n_sources + s] rows from run_first[e * n_sources + s]
     * on (NULL: an expert's rows are its runs, one after the other); its weight gradients go to
     * sinks[s * n_experts + e]. */
    int n_sources;
    const int64_t *run_rows, *run_first;
    const rm_swiglu_sinks *sinks;
    /* Experts whose weights' gradients are not made here. */
    int n_skipped;
    const int32_t *skipped;
} rm_swiglu_gradients;

/* Once for each forward pass. d_x may be d_y. */
void rm_swiglu_backward(const rm_compute *compute, const rm_swiglu *experts,
                        const rm_swiglu_rows *rows, const rm_swiglu_saved *saved,
                        const rm_swiglu_gradients *gradients);

/* The same in two parts, with the same bits: first d_x and d_weights, later the weight
 * gradients, which need the rows of x and d_y to be still there (so d_x is not d_y) and not the
 * rows' weights. Neither reads what is only the other's. */
void rm_swiglu_backward_inputs(const rm_compute *compute, const rm_swiglu *experts,
                               const rm_swiglu_rows *rows, const rm_swiglu_saved *saved,
                               const rm_swiglu_gradients *gradients);
void rm_swiglu_backward_weights(const rm_compute *compute, const rm_swiglu *experts,
                                const rm_swiglu_rows *rows, const rm_swiglu_saved *saved,
                                const rm_swiglu_gradients *gradients);

#endif

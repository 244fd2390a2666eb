/* SPDX-License-Identifier: MIT
 *
 * SwiGLU feed-forward (Shazeer 2020): down(silu(gate x) * (up x)), for many experts at once.
 * Rows lie expert after expert; a dense layer and a shared expert are the case of one expert.
 */
#ifndef RM_SWIGLU_H
#define RM_SWIGLU_H

#include "tensor/products.h"

typedef struct rm_swiglu {
    rm_matrix gate, up; /* [d_ff][d_model]; Mixtral's w1 and w3 */
    rm_matrix down;     /* [d_model][d_ff]; Mixtral's w2 */
} rm_swiglu;

/* Where the three weight gradients go. */
typedef struct rm_swiglu_sinks {
    rm_sink gate, up, down;
} rm_swiglu_sinks;

/* Activations of up to max_rows rows of all experts together, [rows][d_ff] each. The backward
 * pass turns them into their own gradients in place. */
typedef struct rm_swiglu_saved {
    rm_real *gate, *up;
    rm_real *hidden; /* silu(gate) * up; lies over gate without a backward pass */
} rm_swiglu_saved;
void rm_swiglu_saved_layout(rm_swiglu_saved *saved, int64_t max_rows, int64_t d_ff,
                            bool with_backward, rm_arena *arena);

/* Rows of expert e are [offsets[e], offsets[e + 1]); row i of x is x + x_rows[i] * d_model
 * (NULL: i), row i of y is y + y_rows[i] * d_model (NULL: i). */
void rm_swiglu_forward(const rm_compute *compute, const rm_swiglu *experts, int n_experts,
                       const int64_t *offsets, const rm_real *x, const int32_t *x_rows,
                       rm_swiglu_saved *saved, rm_real *y, const int32_t *y_rows);

/* Once for each forward pass. d_y is contiguous, expert after expert:
 * [offsets[n_experts]][d_model]. Row i of d_x is d_x + d_x_rows[i] * d_model, written; d_x may
 * be d_y when d_x_rows is NULL. Weight gradients: the rows of expert e are n_sources runs, of
 * run_rows[e * n_sources + s] rows each, one after the other; run s goes to
 * sinks[s * n_experts + e]. */
void rm_swiglu_backward(const rm_compute *compute, const rm_swiglu *experts, int n_experts,
                        const int64_t *offsets, const rm_real *x, const int32_t *x_rows,
                        const rm_swiglu_saved *saved, const rm_real *d_y, rm_real *d_x,
                        const int32_t *d_x_rows, int n_sources, const int64_t *run_rows,
                        const rm_swiglu_sinks *sinks);

#endif

/* SPDX-License-Identifier: MIT
 *
 * One Mixture-of-Experts layer that stands alone: rows of features in, rows out. It knows
 * nothing of transformers or of what a row means; a row is called a token, as in the field.
 *
 *   y[t] = sum over the chosen experts j of  w[t][j] * expert_j(x[t])   (+ shared expert)
 *   expert(x) = W_down (silu(W_gate x) * (W_up x))                      SwiGLU, no biases
 *
 * Life of a step, on every rank of the mesh, in this order:
 *   for each microbatch:  ringmoe_moe_forward, ringmoe_moe_backward
 *   once:                 ringmoe_moe_reduce_gradients, your optimizer on the parameters,
 *                         ringmoe_moe_weights_changed
 *
 * Experts are split over the expert axis of the mesh in blocks: expert rank e holds experts
 * [e*n/E, (e+1)*n/E). Tokens go to them and come back, in both passes, through memory that
 * ranks of a node share, and by messages between nodes.
 * Their inner dimension, and that of the shared expert, is split over the tensor axis: tensor
 * rank t holds a part of the rows of w1 and w3 and of the columns of w2. Tensor ranks are given
 * the same rows and get the same results. The result of a row and the gradient of a weight do
 * not depend on threads or expert ranks, to the last bit, as long as the same microbatches are
 * given in the same global order; with `reproducible` neither on 1, 2 or 4 tensor ranks.
 */
#ifndef RINGMOE_MOE_H
#define RINGMOE_MOE_H

#include <ringmoe/mesh.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ringmoe_moe ringmoe_moe;

/** How a router turns logits into the scores that weigh the chosen experts. */
typedef enum ringmoe_router_score {
    RINGMOE_SCORE_SOFTMAX_ALL = 0, /**< softmax over all experts, then top-k (Mixtral, OLMoE) */
    RINGMOE_SCORE_SOFTMAX_CHOSEN = 1, /**< top-k of the logits, then softmax over the k
                                         (gpt-oss, Shazeer 2017) */
    RINGMOE_SCORE_SIGMOID = 2,        /**< sigmoid of each logit (DeepSeek-V3) */
} ringmoe_router_score;

typedef enum ringmoe_router_noise {
    RINGMOE_NOISE_NONE = 0,
    RINGMOE_NOISE_JITTER = 1,     /**< router input times uniform(1-eps, 1+eps) (Switch) */
    RINGMOE_NOISE_NOISY_TOPK = 2, /**< logits + normal * softplus(W_noise x) (Shazeer 2017) */
} ringmoe_router_noise;

typedef enum ringmoe_group_score {
    RINGMOE_GROUP_SCORE_MAX = 0,      /**< best expert of the group (DeepSeek-V2) */
    RINGMOE_GROUP_SCORE_TOP2_SUM = 1, /**< sum of its two best (DeepSeek-V3) */
} ringmoe_group_score;

typedef enum ringmoe_balance_scope {
    RINGMOE_BALANCE_MICROBATCH = 0, /**< counts of the microbatch itself */
    RINGMOE_BALANCE_GLOBAL = 1,     /**< counts of the whole previous global batch (of the
                                         microbatch itself until there is one): the same on every
                                         layout, and known before the backward pass */
} ringmoe_balance_scope;

typedef struct ringmoe_moe_settings {
    int d_model;   /**< features of a row; > 0, no default */
    int d_ff;      /**< inner size of an expert; > 0, no default */
    int n_experts; /**< > 0, divisible by the mesh's expert axis; no default */
    int top_k;     /**< experts a token goes to, 1..n_experts; default 2 */

    ringmoe_router_score score; /**< default softmax over all */
    int renormalize;            /**< chosen weights divided by their sum; default 1. No effect
                                     with SOFTMAX_CHOSEN, whose weights sum to 1 */
    ringmoe_real routed_scale;  /**< chosen weights times this; default 1 */
    ringmoe_router_noise noise; /**< only in forward passes with train = 1; default none */
    ringmoe_real jitter;        /**< eps of the jitter, in [0, 1); default 0.01 */
    int n_groups;               /**< groups of experts, divides n_experts; default 1 */
    int top_groups;             /**< groups a token may choose from; default 1 */
    ringmoe_group_score group_score; /**< default best expert */
    ringmoe_real
        bias_rate; /**< loss-free balancing: after each step bias[e] += rate *
                        sign(mean count - count[e]) over the global batch; the bias takes
                        part in the choice, never in the weights. 0 (default): off */

    ringmoe_real capacity_factor; /**< 0..65536; 0 (default): dropless. Else an expert takes at
                                       most ceil(factor * tokens * k / n_experts * (1 - 2e-7))
                                       choices of a microbatch (the last factor keeps the binary
                                       rounding of a factor such as 1.1 from adding a place):
                                     first choices of all tokens in token order, then second
                                     choices, and so on; the rest are dropped (the token keeps
                                     its other experts; their weights are not raised) */
    ringmoe_real
        balance_coefficient; /**< of the balance loss (1 at perfect balance); default 0 */
    ringmoe_balance_scope balance_scope; /**< default microbatch */
    ringmoe_real z_coefficient;          /**< of the router z-loss (ST-MoE); default 0 */

    int d_ff_shared; /**< inner size of a shared expert every token passes; 0 (default): none */
    int shared_gate; /**< 1: its output times sigmoid(w x) (Qwen2-MoE); default 0 */

    int64_t max_tokens;    /**< rows of the largest microbatch this rank will give; > 0 */
    int n_microbatches;    /**< microbatches this rank gives in a step; default 1 */
    int layer;             /**< names the layer in errors and random numbers; default 0 */
    int64_t seed;          /**< of initial values and router noise; default 0 */
    ringmoe_real init_std; /**< standard deviation of initial weights; default 0.02 */
    int reproducible; /**< 1: sums over inner dimensions are made in 4 fixed blocks, so that 1,
                           2 or 4 tensor ranks give the same bits; default 0 */
} ringmoe_moe_settings;

/** Fills every field with its default; d_model, d_ff, n_experts and max_tokens stay 0. Local.
 */
RINGMOE_API void ringmoe_moe_settings_default(ringmoe_moe_settings *settings);

/**
 * Makes a layer with initial weights that depend on the seed, the parameter's name and the
 * index in its global shape, not on the layout. Collective over the mesh.
 *
 *   settings  in   the same on every rank; of max_tokens the largest counts
 *   layer     out  destroy before the mesh; NULL on failure
 *
 * Returns OK; ARGUMENT (names the field, its value and its range); LAYOUT;
 * MISMATCH (names the field that differs); MEMORY; MPI. A failure on one rank is returned on
 * all.
 */
RINGMOE_API ringmoe_status ringmoe_moe_create(ringmoe_mesh *mesh,
                                              const ringmoe_moe_settings *settings,
                                              ringmoe_moe **layer);

/** Frees a layer. Collective over the expert axis of its mesh. NULL or *layer NULL: nothing. */
RINGMOE_API void ringmoe_moe_destroy(ringmoe_moe **layer);

/** What the last forward pass saw on this rank. */
typedef struct ringmoe_moe_stats {
    double balance_loss;       /**< 1 at perfect balance; not multiplied by its coefficient */
    double z_loss;             /**< mean of logsumexp(logits)^2; not multiplied */
    int64_t n_choices;         /**< tokens * k */
    int64_t n_dropped;         /**< choices dropped by the capacity */
    double load_max_over_mean; /**< of the experts, over this rank's microbatch */
} ringmoe_moe_stats;

/**
 * y = layer(x). Collective over the mesh's expert and tensor axes.
 *   n_tokens  in   rows of this rank, 0..max_tokens; ranks may differ, but not tensor ranks
 *   x         in   [n_tokens][d_model]; must stay unchanged until the backward pass
 *   train     in   1: noise is applied and a backward pass may follow
 *   y         out  [n_tokens][d_model]; not x
 *   stats     out  or NULL
 * A layer keeps the activations of its last forward pass only: an evaluation (train = 0)
 * between a training pass and its backward pass discards them, and the backward pass is then
 * STATE. Returns OK; ARGUMENT; STATE (too many forward passes in this step); MISMATCH (ranks
 * are in different steps, layers, microbatches or operations: named); MEMORY (no shared memory
 * for the tokens that arrive; perhaps not on all ranks); MPI. ARGUMENT and STATE
 * of one rank are returned on all of both axes, before anything is sent. MISMATCH also where
 * tensor ranks give different numbers of rows.
 */
RINGMOE_API ringmoe_status ringmoe_moe_forward(ringmoe_moe *layer, int64_t n_tokens,
                                               const ringmoe_real *x, int train,
                                               ringmoe_real *y, ringmoe_moe_stats *stats);

/**
 * The gradients of the last forward pass with train = 1. Collective over the expert and tensor
 * axes.
 *   d_y  in   [n_tokens][d_model], gradient of the caller's loss
 *   d_x  out  [n_tokens][d_model], written, not added to; not d_y
 * The auxiliary losses' gradients are added, times their coefficients. Scale d_y so that the
 * losses of all ranks and microbatches add up (an average over R*M microbatches: divide by
 * R*M); `aux_scale` is that same factor for the auxiliary losses.
 * Returns OK; ARGUMENT; STATE (no forward pass to go back through); MISMATCH; MEMORY; MPI.
 * After a failure other than ARGUMENT and STATE the step starts over: its gradients are
 * forgotten.
 */
RINGMOE_API ringmoe_status ringmoe_moe_backward(ringmoe_moe *layer, const ringmoe_real *d_y,
                                                ringmoe_real aux_scale, ringmoe_real *d_x);

/**
 * Finishes a step's gradients: afterwards each parameter's gradient is the sum over all
 * microbatches of all ranks, added in a fixed tree over their global order, and the selection
 * bias has been moved. Collective over the mesh; every rank has given n_microbatches.
 * Returns OK; STATE; MPI.
 */
RINGMOE_API ringmoe_status ringmoe_moe_reduce_gradients(ringmoe_moe *layer);

/** One parameter as this rank holds it. */
typedef struct ringmoe_parameter_view {
    const char *name;     /**< e.g. "experts.3.w1.weight"; the global expert index */
    int n_dims;           /**< 1 or 2 */
    int64_t shape[2];     /**< row-major; [out][in] for matrices */
    ringmoe_real *values; /**< the layer's memory; the caller may change it, and then calls
                               ringmoe_moe_weights_changed */
    const ringmoe_real *gradient; /**< valid after ringmoe_moe_reduce_gradients; NULL for the
                                       selection bias, which has no gradient */
    int64_t first[2];             /**< with tensor ranks: where this part begins in the whole */
    int64_t whole[2];             /**< parameter, and the shape of that */
} ringmoe_parameter_view;

/** Number of parameters on this rank: router, shared expert, this rank's experts. Local. */
RINGMOE_API int ringmoe_moe_parameter_count(const ringmoe_moe *layer);
/** The index-th of them. Local. Returns OK; ARGUMENT (index out of range). */
RINGMOE_API ringmoe_status ringmoe_moe_parameter(const ringmoe_moe *layer, int index,
                                                 ringmoe_parameter_view *view);

/** Call after changing parameter values: repacks the weights for the kernels. Local. */
RINGMOE_API ringmoe_status ringmoe_moe_weights_changed(ringmoe_moe *layer);

#ifdef __cplusplus
}
#endif
#endif

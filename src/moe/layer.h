/* SPDX-License-Identifier: MIT
 *
 * The inside of one MoE layer: router, route plan, exchange, experts, combine; forward and
 * backward. Weights, gradients and activations are the caller's memory: the transformer keeps
 * them in its arenas, and the public layer (moe/standalone.c) in arenas of its own.
 */
#ifndef RM_LAYER_H
#define RM_LAYER_H

#include <ringmoe/moe.h>
#include <ringmoe/pipeline.h>
#include <ringmoe/train.h>

#include "base/arena.h"
#include "comm/exchange.h"
#include "comm/mesh.h"
#include "comm/shared.h"
#include "moe/swiglu.h"

/* Hot experts that every rank of the expert axis has a copy of for a step, in ascending order
 * (FasterMoE, He et al. 2022): rows for them stay where their tokens are. */
enum { RM_MOST_SHADOWS = 2 };
typedef struct rm_shadows {
    int n;
    int32_t experts[RM_MOST_SHADOWS];
} rm_shadows;

/* Experts that are not all in memory. `bring` makes those of the local experts [first, n) that
 * have rows ready for a product, from the first on as many as there is room for, and returns
 * the first that is not. What fails is noted by whoever supplies, and asked for after the pass:
 * the ranks go on together until then. */
typedef struct rm_expert_supply {
    int (*bring)(void *user, int layer, const int64_t *offsets, int first, int n);
    void *user;
} rm_expert_supply;

/* Weights of the layer on this rank. Matrices are laid out by rm_moe_weights_layout; the caller
 * sets their `weights` pointers, and packs them (rm_matrices_pack). */
typedef struct rm_moe_weights {
    rm_matrix router;           /* [n_experts][d_model], always fp32 */
    rm_matrix router_noise;     /* likewise; weights NULL without noisy top-k */
    rm_real *bias;              /* [n_experts], selection bias; NULL without bias_rate */
    rm_swiglu *experts;         /* [n_local] */
    rm_expert_supply supply;    /* zeroed: all of them are in memory */
    rm_shadows shadows;         /* of the layer's experts; zeroed: none */
    rm_swiglu *copies;          /* [layout's shadows]: of those that other ranks own */
    rm_swiglu shared;           /* with d_ff_shared */
    const rm_real *shared_gate; /* [d_model]; NULL without */
} rm_moe_weights;

/* Where gradients go in one backward pass. */
typedef struct rm_moe_sinks {
    rm_sink router, router_noise;
    rm_swiglu_sinks *experts; /* [expert ranks][n_local]: a leaf for each source rank */
    rm_swiglu_sinks shared;
    rm_sink shared_gate;
} rm_moe_sinks;

/* Activations of one microbatch, from forward to backward. Opaque outside moe/. */
typedef struct rm_moe_saved rm_moe_saved;
/* Buffers of one pass. Opaque too. */
typedef struct rm_moe_workspace rm_moe_workspace;

/* How a layer is spread over ranks, and what its passes will be asked for. */
typedef struct rm_moe_layout {
    int expert_ranks, tensor_ranks, tensor_rank;
    bool with_backward;
    bool split_backward; /* the backward pass comes in two parts */
    bool reproducible;   /* over tensor ranks */
    ringmoe_recompute recompute;
    int shadows;                 /* copies of experts there is room for: 0 or RM_MOST_SHADOWS */
    ringmoe_precision precision; /* of the experts' packed forms */
    ringmoe_precision shared_precision; /* of the shared expert's */
    bool experts_apart; /* these are not taken from the arena: a supply has them */
} rm_moe_layout;

/* What a pass is told. */
typedef struct rm_moe_pass {
    rm_label label;
    int64_t microbatch;            /* index within the global batch, for random numbers */
    bool train;                    /* noise, and a backward pass follows */
    const int64_t *balance_counts; /* [n_experts] of the last global batch for
                                      RINGMOE_BALANCE_GLOBAL; NULL: the microbatch's own */
} rm_moe_pass;

/* Checks every setting's range against the mesh. ARGUMENT or LAYOUT, naming it. */
ringmoe_status rm_moe_settings_check(const ringmoe_moe_settings *settings, int expert_ranks,
                                     rm_error *error);
/* Shapes and packed forms of this rank's matrices, from the arena (which may be measuring).
 * weights->experts is taken from it too. */
void rm_moe_weights_layout(rm_moe_weights *weights, const rm_compute *compute,
                           const ringmoe_moe_settings *settings, const rm_moe_layout *layout,
                           rm_arena *arena);
/* All matrices of the layer, for rm_matrices_pack: at most 5 + 3 * n_local; returns how many.
 * `list` NULL: only counts. */
int rm_moe_weights_matrices(rm_moe_weights *weights, const ringmoe_moe_settings *settings,
                            const rm_moe_layout *layout, rm_matrix **list);

/* Takes the activations from the arena and from the memory of the exchange; *saved is NULL
 * while measuring. Buffers for received rows are reserved for the worst case but touched only
 * as far as rows arrive; `expected` (may be NULL) gets the bytes at balanced load added: [0]
 * the rank's own, with its messages, [1] what it shares with ranks of its node. The order of
 * layouts and their sizes are the same on all ranks of an expert axis. */
void rm_moe_saved_layout(rm_moe_saved **saved, const rm_moe_workspace *workspace,
                         const ringmoe_moe_settings *settings, const rm_moe_layout *layout,
                         rm_arena *arena, rm_shared *shared, int64_t expected[2]);
/* Likewise what a single pass needs. Layers of the same sizes share one, since no two are at
 * work at a time. */
void rm_moe_workspace_layout(rm_moe_workspace **workspace, const ringmoe_moe_settings *settings,
                             const rm_moe_layout *layout, rm_arena *arena, rm_shared *shared,
                             int64_t expected[2]);

/* Gives every rank of the expert axis a copy of these experts, whose rows stay at home until
 * the next call; of none: ends that. For a layout with room for them. The results have the same
 * bits. Collective over the expert axis. */
ringmoe_status rm_moe_shadows_set(const ringmoe_mesh *mesh,
                                  const ringmoe_moe_settings *settings, rm_moe_weights *weights,
                                  const rm_moe_workspace *workspace, const rm_shadows *shadows);

/* y = layer(x): [n_tokens][d_model]; y is written. counts (NULL: not wanted) gets the choices
 * of this rank's tokens for each of the n_experts, before dropping. */
ringmoe_status rm_moe_layer_forward(const ringmoe_mesh *mesh,
                                    const ringmoe_moe_settings *settings,
                                    const rm_moe_weights *weights, rm_moe_saved *saved,
                                    const rm_moe_pass *pass, int64_t n_tokens, const rm_real *x,
                                    rm_real *y, ringmoe_moe_stats *stats, int64_t *counts);

/* d_x is written. Auxiliary losses enter times aux_scale times their coefficients. `part`:
 * RINGMOE_STAGE_BACKWARD, or _BACKWARD_INPUT (which takes no sinks) and later _BACKWARD_WEIGHT
 * (which takes no d_y and no d_x) with the same bits, for a layout with split_backward. x stays
 * until the last part. */
ringmoe_status rm_moe_layer_backward(const ringmoe_mesh *mesh,
                                     const ringmoe_moe_settings *settings,
                                     const rm_moe_weights *weights, rm_moe_saved *saved,
                                     const rm_moe_pass *pass, ringmoe_stage_operation part,
                                     const rm_real *x, const rm_real *d_y, rm_real aux_scale,
                                     const rm_moe_sinks *sinks, rm_real *d_x);

/* Loss-free balancing (DeepSeek-V3): bias[e] += rate * sign(mean(counts) - counts[e]), with the
 * global batch's counts. */
void rm_moe_bias_update(const ringmoe_moe_settings *settings, const int64_t *counts,
                        rm_real *bias);

#endif

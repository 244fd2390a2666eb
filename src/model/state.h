/* SPDX-License-Identifier: MIT
 *
 * The inside of a model: weights, packed forms and activations of one microbatch.
 *
 * The residual stream of a layer, T rows of width d:
 *
 *   x -> norm -> q k v -> rope -> attention -> output --(+ x)--> middle
 *   middle -> norm -> MoE or dense SwiGLU --(+ middle)--> x of the next layer
 *
 * A sum is made where it is read first: `output` writes its product to `middle`, and the norm
 * after it adds x there. For training every layer has activations of its own; for inference all
 * share one set, so the next layer's x is the same memory.
 */
#ifndef RM_STATE_H
#define RM_STATE_H

#include "model/model.h"
#include "nn/attention.h"
#include "nn/norm.h"
#include "nn/rope.h"

bool rm_layer_is_dense(const ringmoe_model_config *config, int layer);
int rm_moe_layer_count(const ringmoe_model_config *config);

typedef struct rm_layer_weights {
    const rm_real *attention_norm, *ffn_norm;
    rm_matrix query, key, value, output;
    rm_swiglu dense;               /* in a dense layer */
    rm_moe_weights moe;            /* in the others */
    ringmoe_moe_settings settings; /* likewise */
} rm_layer_weights;

typedef struct rm_layer_saved {
    rm_real *x, *attention_input;       /* [T][d]; the second is the normed x */
    rm_real *q, *attended;              /* [T][heads * head_dim] */
    rm_real *k, *v;                     /* [T][kv heads * head_dim] */
    rm_real *logsumexp;                 /* [heads][T] */
    rm_real *middle, *ffn_input;        /* [T][d] */
    rm_real *attention_rstd, *ffn_rstd; /* [T] */
    rm_swiglu_saved dense;
    rm_moe_saved *moe;
} rm_layer_saved;

/* Buffers of the backward pass that every layer uses in turn; NULL for inference. */
typedef struct rm_backward_buffers {
    rm_real *d_stream;         /* [T][d], gradient of the residual stream */
    rm_real *d_input;          /* [T][d], of what attention or the feed-forward read */
    rm_real *d_attended, *d_q; /* [T][heads * head_dim] */
    rm_real *d_k, *d_v;        /* [T][kv heads * head_dim] */
    rm_real *attention_workspace;
    rm_real *norm_partials;
    rm_real *head; /* [vocab][d], of a tied head */
    int32_t *embedding_order;
    rm_swiglu_sinks *expert_sinks; /* [expert ranks][local experts] */
} rm_backward_buffers;

struct ringmoe_model {
    ringmoe_mesh *mesh; /* NULL while measuring */
    ringmoe_model_config config;
    rm_model_use use;
    int expert_ranks;
    int64_t max_tokens;
    rm_parameter_table table;

    rm_arena weights_arena, packed_arena, activations_arena;
    rm_real *spaces[RM_N_SPACES];
    rm_real *router_bias; /* [n_layers][n_experts] or NULL */

    const rm_real *embedding, *final_norm;
    rm_layer_weights *layers;
    rm_matrix head;
    rm_matrix **matrices; /* all of the above, for packing */
    int n_matrices;

    rm_layer_saved *saved;
    rm_moe_workspace *moe_workspace; /* of all MoE layers */
    rm_real *last_x, *head_input;    /* [T][d]: after the last layer, and normed */
    rm_real *last_rstd;              /* [T] */
    rm_real *logits;                 /* [T][vocab]; their gradients after the loss */
    double *losses;                  /* [T] */
    int64_t *layer_counts;           /* [n_experts] */
    rm_rope rope;
    rm_backward_buffers backward;

    int64_t moe_reserved;    /* bytes of activations_arena reserved by MoE layers, and */
    int64_t moe_expected[2]; /* expected of them: activations, exchange */
};

/* Checks the configuration and fills the fields that need no arena. rm_model_release undoes it.
 */
ringmoe_status rm_model_prepare(const ringmoe_model_config *config, int expert_ranks,
                                rm_model_use use, int64_t max_tokens, int64_t seed,
                                ringmoe_model *model, rm_error *error);
void rm_model_release(ringmoe_model *model);
/* Lays everything out on the three arenas (which may be measuring). */
void rm_model_layout(ringmoe_model *model, const rm_compute *compute);

/* One way through the model: what is common to training, evaluation and generation. */
typedef struct rm_walk {
    const int32_t *tokens;
    int64_t n_sequences, seq_len;
    int64_t n_past;     /* positions before the first, in the cache */
    rm_kv_cache *cache; /* NULL: keys are those of the sequences themselves */
    rm_moe_pass moe;    /* its label's layer and balance_counts are of the whole model */
    int64_t *counts;    /* [n_layers][n_experts], added to; NULL: not wanted */
} rm_walk;

/* From tokens to head_input. Fills `result` but for the loss. */
ringmoe_status rm_model_forward(ringmoe_model *model, const rm_walk *walk,
                                rm_pass_result *result);
/* From the gradient of the logits (in model->logits) to the sinks. */
ringmoe_status rm_model_backward(ringmoe_model *model, const rm_walk *walk, rm_real scale,
                                 rm_sink dense, const rm_sink *experts);

/* The pass through layer `layer` as its MoE layer is told it. */
rm_moe_pass rm_layer_pass(const ringmoe_model *model, const rm_walk *walk, int layer);
/* The residual stream after a layer. */
rm_real *rm_stream_after(const ringmoe_model *model, int layer);
rm_norm_shape rm_model_norm_shape(const ringmoe_model *model, int64_t n_tokens);
rm_attention_shape rm_model_attention_shape(const ringmoe_model *model, const rm_walk *walk);

#endif

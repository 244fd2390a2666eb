/* SPDX-License-Identifier: MIT
 *
 * The inside of a model: weights, packed forms, and the activations of the microbatches that
 * are between their forward and their backward pass.
 *
 * The residual stream of a layer, N rows of width d:
 *
 *   x -> norm -> q k v -> rope -> attention -> output --(+ x)--> middle
 *   middle -> norm -> MoE or dense SwiGLU --(+ middle)--> x of the next layer
 *
 * A sum is made where it is read first: `output` writes its product to `middle`, and the norm
 * after it adds x there. At the end of a stage that is not the last, the sum is made at once.
 *
 *   chunk of a rank      slot 0 | layer | layer | ...        a slot for each microbatch whose
 *                        slot 1 | layer | layer | ...        activations are kept
 *
 * For inference all layers share one set, so the next layer's x is the same memory.
 *
 * Of matrices cut over the tensor axis a rank has its rows or columns. After a product whose
 * inner dimension is cut, and before anything that is not linear, the partial results of the
 * tensor ranks are added up (rm_sum_parts).
 */
#ifndef RM_STATE_H
#define RM_STATE_H

#include "model/model.h"
#include "nn/attention.h"
#include "nn/embedding.h"
#include "nn/heads.h"
#include "nn/norm.h"
#include "nn/rope.h"

/* --- placement.c --- */

int rm_stage_of_layer(const rm_partition *partition, int layer);
/* Numbers that are 0 become 1, no stages one a pipeline rank; without bounds they get even
 * lengths. */
void rm_placement_complete(const ringmoe_model_config *config, rm_placement *placement);
/* LAYOUT or ARGUMENT if the model cannot be cut so. */
ringmoe_status rm_placement_check(const ringmoe_model_config *config,
                                  const rm_placement *placement, rm_error *error);

typedef struct rm_layer_weights {
    const rm_real *attention_norm, *ffn_norm;
    rm_matrix query, key, value, output;
    const rm_real *head_biases[3]; /* of queries, keys and values; NULL: none */
    const rm_real *head_norms[2];  /* of queries and keys; NULL: none */
    rm_swiglu dense;               /* in a dense layer */
    rm_moe_weights moe;            /* in the others */
    ringmoe_moe_settings settings; /* likewise */
} rm_layer_weights;

/* Activations of a layer, one microbatch. Those that are made again in the backward pass
 * (recomputation) are in memory that layers share. */
typedef struct rm_layer_saved {
    rm_real *x;                  /* [N][d]; NULL: the stage's input */
    rm_real *attention_input;    /* [N][d], the normed x */
    rm_real *q, *attended;       /* [N][heads * head_dim] */
    rm_real *k, *v;              /* [N][kv heads * head_dim] */
    rm_real *projected[3];       /* q, k and v before norm and cut; NULL: there is neither */
    rm_real *head_rstd[2];       /* of q and k: [N][heads] or [N]; NULL: no norm */
    rm_real *logsumexp;          /* [heads][N] */
    rm_real *middle, *ffn_input; /* [N][d] */
    rm_real *attention_rstd, *ffn_rstd; /* [N] */
    rm_swiglu_saved dense;
    rm_moe_saved *moe;
} rm_layer_saved;

/* Gradients that a layer's weights' gradients are made from: shared by all layers, but for
 * split_backward kept from BACKWARD_INPUT to BACKWARD_WEIGHT. */
typedef struct rm_layer_gradients {
    rm_real *d_q;       /* [N][heads * head_dim] */
    rm_real *d_k, *d_v; /* [N][kv heads * head_dim] */
    /* Only for split_backward; NULL else: */
    rm_real *d_middle, *d_ffn; /* [N][d], of attention's and the feed-forward's parts */
    rm_real *attention_norm, *ffn_norm; /* [d], the gradients of the norms themselves */
    rm_real *head_norms[2];             /* likewise */
} rm_layer_gradients;

/* What the last stage keeps of a microbatch after its layers. */
typedef struct rm_head_saved {
    rm_real *x;     /* [N][d], after the last layer; NULL: the stage's input */
    rm_real *input; /* [N][d], normed */
    rm_real *rstd;  /* [N] */
    rm_real *norm;  /* [d], the final norm's gradient, for split_backward */
} rm_head_saved;

/* One chunk of this rank. */
typedef struct rm_stage {
    int chunk;
    int first_layer, n_layers;
    bool is_first, is_last; /* of the model: has the embedding, the head */
    int n_slots;
    rm_layer_saved *saved;         /* [n_slots][n_layers] */
    rm_layer_gradients *gradients; /* likewise */
    rm_head_saved *heads;          /* [n_slots], in the last stage */
    rm_real **d_embedded;          /* [n_slots], [N][d], in the first stage: the gradient of the
                                      embedding's rows, for split_backward */
} rm_stage;

/* Buffers of the backward pass that all layers, slots and chunks use in turn. */
typedef struct rm_backward_buffers {
    rm_real *d_stream;   /* [N][d], gradient of the residual stream, in the first stage */
    rm_real *d_input;    /* [N][d], of what attention or the feed-forward read */
    rm_real *d_attended; /* [N][heads * head_dim] */
    rm_layer_gradients gradients;
    rm_real *attention_workspace;
    rm_real *norm_partials;
    rm_real *heads_workspace;
    int32_t *embedding_order;
    rm_swiglu_sinks *expert_sinks; /* [expert ranks][local experts] */
} rm_backward_buffers;

/* This tensor rank's parts. */
typedef struct rm_model_parts {
    int n_heads, n_kv_heads;
    int64_t query_width, key_width, dense_d_ff;
    rm_vocab_rows vocab;
} rm_model_parts;

/* Matrices of an expert. */
enum { RM_EXPERT_MATRICES = 3 };

struct ringmoe_model {
    ringmoe_mesh *mesh; /* NULL while measuring */
    ringmoe_model_config config;
    rm_model_settings settings;
    rm_parameter_table table; /* its placement is this rank's */
    rm_model_parts parts;
    rm_weight_formats formats;

    /* Weights; packed forms; activations, all of which a pass writes before it reads them; MoE
     * layers' own memory. */
    rm_arena weights_arena, packed_arena, activations_arena, layers_arena;
    rm_real *spaces[RM_MAX_SPACES];
    rm_real *router_bias; /* [n_layers][n_experts] or NULL */

    const rm_real *embedding, *final_norm; /* where the first and the last stage are */
    unsigned char *stored_embedding;       /* instead, for inference: this rank's rows, of the
                                              type in the settings */
    rm_layer_weights *layers;              /* [n_layers]; those of other ranks are not set */
    rm_matrix head;
    rm_matrix **matrices;                   /* all of the above, for packing */
    const rm_parameter **matrix_parameters; /* whose weights they are */
    int n_matrices;

    rm_stage *stages; /* [n_chunks] */
    int n_chunks;
    rm_layer_saved shared;           /* what layers share of their activations */
    rm_moe_workspace *moe_workspace; /* of all MoE layers */
    rm_real *logits;                 /* [N][vocab part]; their gradients after the loss */
    int logits_slot;                 /* whose they are; -1: nobody's */
    double *losses;                  /* [N] */
    double *loss_workspace;
    int64_t *vocab_bounds;         /* [tensor ranks + 1]: who has which logits */
    int64_t *layer_counts;         /* [n_experts] */
    rm_layer_losses *layer_losses; /* [n_layers], of an evaluation */
    rm_rope rope;
    rm_backward_buffers backward;
    rm_real *passed[2]; /* [N][d], input and output of a stage in evaluation; NULL: one stage */

    struct rm_expert_cache *expert_cache; /* NULL: all experts are in memory */
    int64_t experts_used; /* by passes of generation so far, this rank's of each layer */

    rm_shared *exchange;     /* memory of the MoE layers' token exchange */
    int64_t moe_expected[2]; /* bytes expected of MoE layers: activations, exchange */
};

/* Checks the configuration and fills the fields that need no arena. `placement` has all but the
 * settings' partition. rm_model_release undoes it. */
ringmoe_status rm_model_prepare(const ringmoe_model_config *config,
                                const rm_model_settings *settings,
                                const rm_placement *placement, ringmoe_model *model,
                                rm_error *error);
void rm_model_release(ringmoe_model *model);
/* Lays everything out on the arenas (which may be measuring): layout.c the weights,
 * activations.c the rest. */
void rm_model_layout(ringmoe_model *model, const rm_compute *compute);
void rm_activations_layout(ringmoe_model *model);
rm_moe_layout rm_model_moe_layout(const ringmoe_model *model);
/* The blocks of this tensor rank's part of a dimension of n_units units, for reproducible sums
 * over it. */
rm_inner_cut rm_model_cut(const ringmoe_model *model, int64_t n_units, int64_t unit);
/* Queries (which 0), keys (1) or values (2) of `n_rows` tokens, without a layer's weights. */
rm_heads rm_model_heads(const ringmoe_model *model, int64_t n_rows, int which);

/* --- one way through a stage: what training, evaluation and generation have in common --- */

typedef struct rm_walk {
    ringmoe_model *model;
    const rm_compute *compute;
    rm_stage *stage;
    int slot;
    const rm_real *input; /* of the stage; NULL in the first */
    rm_real *output;      /* of the stage; NULL in the last */
    const int32_t *tokens;
    int64_t n_sequences, seq_len, n_tokens;
    int64_t n_positions;           /* the greatest position there is, and 1 */
    const rm_decode_batch *decode; /* of generation; NULL: keys are the sequences' own */
    rm_operation operation;        /* what the rank is doing, for the watchdog */
    rm_moe_pass moe; /* its label's layer and balance_counts are of the whole model */
    int64_t *counts; /* [n_layers][n_experts], added to; NULL: not wanted */
    rm_layer_losses *layer_losses; /* [n_layers]; NULL: not wanted */
    rm_pass_result *result;
} rm_walk;

/* Layers are named by their index in the stage. */
rm_layer_saved *rm_walk_saved(const rm_walk *walk, int index);
rm_layer_weights *rm_walk_weights(const rm_walk *walk, int index);
/* The layer's x. */
const rm_real *rm_walk_x(const rm_walk *walk, int index);
/* What is after the last layer in the last stage. */
const rm_real *rm_walk_head_x(const rm_walk *walk);
/* The pass as the layer's MoE part is told it. */
rm_moe_pass rm_walk_moe_pass(const rm_walk *walk, int index);
/* Tells where the rank is. layer -1: in none. */
void rm_walk_enter(const rm_walk *walk, int layer);
rm_norm_shape rm_walk_norm_shape(const rm_walk *walk);
rm_attention_shape rm_walk_attention_shape(const rm_walk *walk);
/* Adds up what the tensor ranks have made of [N][width]. */
ringmoe_status rm_sum_parts(const rm_walk *walk, rm_real *data, int64_t width);

/* --- forward.c, heads.c, recompute.c --- */

/* All layers of the stage, from walk->input or the tokens to walk->output or the head's x. */
ringmoe_status rm_stage_forward(const rm_walk *walk);
/* From attention_input to ffn_input. */
ringmoe_status rm_layer_attend(const rm_walk *walk, int index);
/* heads.c: what the family does to q, k and v between products and rotation; `which` counts
 * them. Where the products' results go; and from there to saved->q, k and v. */
rm_real *rm_layer_projected(const rm_layer_saved *saved, int which);
ringmoe_status rm_layer_make_heads(const rm_walk *walk, int index);
/* y = the feed-forward's part of the residual sum. */
ringmoe_status rm_layer_feed_forward(const rm_walk *walk, int index, rm_real *y);
/* Makes what the backward pass of a layer needs and was not kept. */
ringmoe_status rm_layer_remake(const rm_walk *walk, int index);

/* Bytes of a matrix's packed form for forward products. */
int64_t rm_matrix_packed_bytes(const rm_compute *compute, const rm_matrix *matrix);

/* --- decode.c --- */

/* Attention of a pass of generation: keys and values join the cache, and each run's queries
 * attend to its own text's. */
void rm_decode_attend(const rm_walk *walk, const rm_layer_saved *saved, int layer);

/* --- head.c: in the last stage, after rm_stage_forward --- */

/* The loss. */
ringmoe_status rm_head_forward(const rm_walk *walk, const rm_batch *batch);
/* The logits of each run that wants them, [vocab_size] one after the other on all tensor ranks.
 */
ringmoe_status rm_head_decode(const rm_walk *walk, rm_real *logits);

#endif

/* SPDX-License-Identifier: MIT
 *
 * A configuration becomes named, sharded parameters and the passes through them.
 *
 * Parameters live in two flat spaces: dense ones, replicated over all ranks, and this rank's
 * share of the experts, replicated over the data axis. Gradients, moments and checkpoints use
 * the same spaces and offsets.
 */
#ifndef RM_MODEL_H
#define RM_MODEL_H

#include <ringmoe/model.h>

#include "comm/mesh.h"
#include "comm/tree.h"
#include "moe/layer.h"

typedef enum rm_space { RM_SPACE_DENSE = 0, RM_SPACE_EXPERT = 1, RM_N_SPACES = 2 } rm_space;

#define RM_NAME_BYTES 96
/* The tensor of a layer's selection bias in a model's files (printf format of the layer). */
#define RM_ROUTER_BIAS_NAME "model.layers.%d.block_sparse_moe.gate.e_score_correction_bias"

/* One parameter of the whole model, whether this rank holds it or not. */
typedef struct rm_parameter {
    char name[RM_NAME_BYTES]; /* Hugging Face's, Mixtral's */
    int n_dims;
    int64_t shape[2]; /* global */
    int64_t n_elements;
    rm_space space;
    int expert_rank; /* of the expert axis that holds it; -1: every rank */
    int64_t offset;  /* in its space on the ranks that hold it */
    bool decay;      /* weight decay applies (not on norms) */
    bool ones;       /* initial value 1 (norms), else normal(0, initializer_range) */
} rm_parameter;

typedef struct rm_parameter_table {
    rm_parameter *parameters; /* in the model's order; experts by global index */
    int n_parameters;
    int64_t space_elements[RM_N_SPACES]; /* of one rank */
} rm_parameter_table;

/* Pure: the table for E expert ranks. The caller frees it. */
ringmoe_status rm_parameter_table_create(const ringmoe_model_config *config, int expert_ranks,
                                         rm_parameter_table *table, rm_error *error);
void rm_parameter_table_free(rm_parameter_table *table);

typedef enum rm_model_use { RM_MODEL_INFERENCE = 0, RM_MODEL_TRAINING = 1 } rm_model_use;

/* Creation: shapes, memory for weights, packed forms and the activations of one microbatch of
 * max_tokens tokens. Weights are zero afterwards. `seed` is of router noise. Not collective. */
ringmoe_status rm_model_create(ringmoe_mesh *mesh, const ringmoe_model_config *config,
                               rm_model_use use, int64_t max_tokens, int64_t seed,
                               ringmoe_model **model);

const rm_parameter_table *rm_model_parameters(const ringmoe_model *model);
ringmoe_mesh *rm_model_mesh(const ringmoe_model *model);
/* Rows of the largest pass, as given on creation. */
int64_t rm_model_max_tokens(const ringmoe_model *model);
/* The flat array of a space, master weights. */
rm_real *rm_model_space(const ringmoe_model *model, rm_space space);
/* True if this rank holds the parameter; its values are then at rm_model_space + offset. */
bool rm_model_holds(const ringmoe_model *model, const rm_parameter *parameter);
/* Initial values from seed, name and global index: Philox, so the same on any layout. Threads.
 * rm_model_pack is to follow. */
void rm_model_initialize(ringmoe_model *model, int64_t seed);
/* To be called after weights changed: packs them for the kernels. */
void rm_model_pack(ringmoe_model *model);
/* This rank's matrices, whose weights lie in the spaces: for one who packs rows by himself
 * (rm_matrix_pack_rows). */
rm_matrix *const *rm_model_matrices(const ringmoe_model *model, int *n_matrices);
/* Selection biases of the routers, [n_layers][n_experts]; NULL without router_bias_rate. */
rm_real *rm_model_router_bias(const ringmoe_model *model);

/* What one microbatch through the model measured on this rank. */
typedef struct rm_pass_result {
    double loss;         /* mean cross-entropy over the microbatch */
    double balance_loss; /* mean over MoE layers; 1 at balance; 0 without MoE layers */
    double z_loss;
    int64_t n_dropped;   /* over MoE layers */
    int first_bad_layer; /* -1; else the first layer whose output was not finite (n_layers:
                            head) */
} rm_pass_result;

/* One microbatch of n_sequences sequences of seq_len tokens. */
typedef struct rm_batch {
    const int32_t *tokens;  /* [n_sequences * seq_len] */
    const int32_t *targets; /* the next tokens */
    int64_t n_sequences, seq_len;
    int64_t step;              /* of the run, for labels and noise */
    int32_t microbatch;        /* local index within the step */
    int64_t global_microbatch; /* index within the global batch */
} rm_batch;

/* Forward and backward. Gradients of  scale * (loss + coefficients * auxiliary losses)  go to
 * the sinks: dense is the whole dense space; experts[s] the whole expert space, for the leaf of
 * source rank s of the expert axis. counts, [n_layers][n_experts], are added to (this rank's
 * tokens). balance_counts as in rm_moe_pass, [n_layers][n_experts] or NULL. Collective over the
 * expert axis. Every element of a sink is written (or added to) exactly once. */
ringmoe_status rm_model_train_pass(ringmoe_model *model, const rm_batch *batch, rm_real scale,
                                   rm_sink dense, const rm_sink *experts,
                                   const int64_t *balance_counts, int64_t *counts,
                                   rm_pass_result *result);
/* Forward only. A batch of no sequences is allowed: a rank without tokens takes part in the
 * exchanges. */
ringmoe_status rm_model_eval_pass(ringmoe_model *model, const rm_batch *batch,
                                  rm_pass_result *result);

/* Incremental forward pass for generation: the logits after the last of n_new tokens that
 * follow n_past ones already in the cache. Collective over the expert axis. */
typedef struct rm_kv_cache {
    int64_t capacity;         /* positions */
    rm_real **keys, **values; /* a layer: [capacity][kv heads * head_dim], keys rotated */
} rm_kv_cache;
ringmoe_status rm_model_decode(ringmoe_model *model, rm_kv_cache *cache, int64_t n_past,
                               const int32_t *tokens, int64_t n_new, rm_real *logits);

/* Microbatches of the largest global batch, over all ranks, and so also ranks. */
#define RM_MICROBATCHES_MOST 65536

/* Bytes by purpose of rm_model_create with these arguments, without creating: parameters,
 * packed, activations, exchange are set. */
ringmoe_status rm_model_measure(const rm_compute *compute, const ringmoe_model_config *config,
                                int expert_ranks, rm_model_use use, int64_t max_tokens,
                                ringmoe_memory_plan *plan, rm_error *error);

#endif

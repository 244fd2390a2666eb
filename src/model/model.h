/* SPDX-License-Identifier: MIT
 *
 * A configuration becomes named, sharded parameters, stages of a pipeline, and the passes
 * through them.
 *
 *   stage s = chunk s / P of pipeline rank s % P; a chunk has two flat spaces of weights:
 *
 *     space 2 * chunk      dense parameters, replicated over the D*E ranks of the stage
 *     space 2 * chunk + 1  this rank's share of the experts, replicated over the D ranks
 *
 * Over the tensor axis matrices are cut by rows or by columns, and so are both spaces.
 * Gradients, moments and checkpoints use the same spaces and offsets.
 */
#ifndef RM_MODEL_H
#define RM_MODEL_H

#include <ringmoe/model.h>
#include <ringmoe/pipeline.h>
#include <ringmoe/train.h>

#include "comm/mesh.h"
#include "comm/tree.h"
#include "format/families.h"
#include "format/safetensors.h"
#include "moe/layer.h"
#include "nn/attention_decode.h"

#define RM_MAX_CHUNKS 64
#define RM_MAX_STAGES RINGMOE_MAX_LAYERS

/* The model cut into stages; zeroed: one stage. */
typedef struct rm_partition {
    int n_stages, n_pipeline;      /* n_stages is a multiple of n_pipeline = P */
    int bounds[RM_MAX_STAGES + 1]; /* stage s: layers [bounds[s], bounds[s + 1]), maybe none */
} rm_partition;
/* The bounds of stages with the same number of layers, or as nearly as can be. */
void rm_partition_evenly(rm_partition *partition, int n_layers);

bool rm_layer_is_dense(const ringmoe_model_config *config, int layer);
int rm_moe_layer_count(const ringmoe_model_config *config);

typedef enum rm_kind { RM_KIND_DENSE = 0, RM_KIND_EXPERT = 1, RM_N_KINDS = 2 } rm_kind;
/* A space of a rank: chunk * RM_N_KINDS + kind. */
typedef int rm_space;
#define RM_MAX_SPACES (RM_MAX_CHUNKS * RM_N_KINDS)

/* How a tensor axis of T ranks cuts a parameter: rank t has the rows or columns that rm_split
 * gives it. */
typedef enum rm_slice { RM_SLICE_NONE, RM_SLICE_ROWS, RM_SLICE_COLUMNS } rm_slice;

typedef enum rm_initial {
    RM_INITIAL_NORMAL, /* normal(0, initializer_range) */
    RM_INITIAL_1,      /* norms */
    RM_INITIAL_0       /* biases */
} rm_initial;

/* One parameter of the whole model, whether this rank holds it or not. */
typedef struct rm_parameter {
    char name[RM_NAME_BYTES]; /* Hugging Face's, of the model's family */
    rm_role role;
    int layer, expert; /* -1: of none */
    int n_dims;
    int64_t shape[2];   /* global; of a vector {n, 1} */
    int64_t n_elements; /* global */
    int stage;
    rm_kind kind;
    rm_space space;  /* on the ranks that hold it */
    int expert_rank; /* of the expert axis that holds it; -1: every rank */
    int64_t offset;  /* in its space on the ranks that hold it */
    rm_slice slice;
    bool is_matrix; /* used in its packed form alone */
    bool tied;  /* the head of a tied model: a copy of the embedding, in no file, and no weight
                   of its own: its gradient belongs to the embedding's */
    bool decay; /* weight decay applies (not on vectors) */
    rm_initial initial;
} rm_parameter;

/* What one tensor rank holds of a parameter, row-major at its offset. */
typedef struct rm_parameter_part {
    int64_t first_row, n_rows, first_column, n_columns, n_elements;
} rm_parameter_part;
rm_parameter_part rm_parameter_part_of(const rm_parameter *parameter, int tensor_ranks,
                                       int tensor_rank);

/* Whose table it is. Offsets depend on the tensor rank where a cut is uneven; the sizes of
 * spaces on the pipeline rank too. */
typedef struct rm_placement {
    rm_partition partition;
    int expert_ranks, tensor_ranks;
    int pipeline_rank, tensor_rank;
    bool packed_only; /* matrices have packed forms and no master weights, the embedding is kept
                         as it is stored: of both there is nothing in the spaces */
} rm_placement;

typedef struct rm_parameter_table {
    rm_placement placement;
    rm_parameter *parameters; /* in the model's order; experts by global index */
    int n_parameters;
    int64_t space_elements[RM_MAX_SPACES]; /* of the placement's rank */
} rm_parameter_table;

/* Pure. LAYOUT if the model cannot be cut so. The caller frees the table. */
ringmoe_status rm_parameter_table_create(const ringmoe_model_config *config,
                                         const rm_placement *placement,
                                         rm_parameter_table *table, rm_error *error);
void rm_parameter_table_free(rm_parameter_table *table);
/* The head of a tied model; NULL of any other. */
const rm_parameter *rm_table_tied_head(const rm_parameter_table *table);

typedef enum rm_model_use { RM_MODEL_INFERENCE = 0, RM_MODEL_TRAINING = 1 } rm_model_use;

/* How matrices are packed. Routers are fp32 in any case. */
typedef struct rm_weight_formats {
    ringmoe_precision dense, experts, head; /* dense: attention, dense layers, shared experts */
} rm_weight_formats;

typedef struct rm_model_settings {
    rm_model_use use;
    int64_t max_tokens;          /* of a microbatch */
    int64_t max_sequences;       /* of generation; 0: as many as max_tokens */
    int64_t seed;                /* of router noise */
    rm_partition partition;      /* zeroed: as many stages as pipeline ranks, cut evenly */
    int n_slots[RM_MAX_CHUNKS];  /* microbatches whose activations a chunk keeps; 0: 1 */
    bool split_backward;         /* BACKWARD_INPUT and BACKWARD_WEIGHT will be called */
    ringmoe_recompute recompute; /* with split_backward FULL is the same as SELECTIVE, since
                                    what the weights' half needs is kept anyway */
    bool reproducible;           /* bits do not depend on the tensor axis */
    bool shadows;                /* rm_model_share_experts will be called */
    bool packed_only;            /* for inference: matrices have no master weights, and */
    rm_weight_formats formats;   /* are packed so; else the context's precision counts */
    rm_dtype embedding;          /* with packed_only: how its file has the embedding */
    bool experts_apart;          /* experts are not in the model's own memory */
} rm_model_settings;

/* Creation: shapes, memory for weights, packed forms and activations. Weights are zero
 * afterwards. Collective over the expert axis, as is ringmoe_model_destroy, since ranks of a
 * node share memory. */
ringmoe_status rm_model_create(ringmoe_mesh *mesh, const ringmoe_model_config *config,
                               const rm_model_settings *settings, ringmoe_model **model);

const rm_parameter_table *rm_model_parameters(const ringmoe_model *model);
ringmoe_mesh *rm_model_mesh(const ringmoe_model *model);
/* Rows of the largest pass, as given on creation. */
int64_t rm_model_max_tokens(const ringmoe_model *model);
/* Texts that may be made at the same time. */
int64_t rm_model_max_sequences(const ringmoe_model *model);
/* Chunks of this rank, and spaces: RM_N_KINDS each chunk. */
int rm_model_chunks(const ringmoe_model *model);
int rm_model_spaces(const ringmoe_model *model);
/* The flat array of a space, master weights, and its size. */
rm_real *rm_model_space(const ringmoe_model *model, rm_space space);
int64_t rm_model_space_elements(const ringmoe_model *model, rm_space space);
/* The space that holds this rank's part of the parameter, at its offset; -1: not on this rank.
 */
rm_space rm_model_space_of(const ringmoe_model *model, const rm_parameter *parameter);
/* rm_model_space_of is not -1. */
bool rm_model_holds(const ringmoe_model *model, const rm_parameter *parameter);
/* False for what is kept in another form alone. */
bool rm_parameter_has_master(const rm_parameter *parameter, const rm_placement *placement);
/* This rank's part of a parameter that it holds; NULL if it has no master weights. */
rm_real *rm_model_weights(const ringmoe_model *model, const rm_parameter *parameter);
/* Gives a tied head the embedding's weights, as must be done whenever these changed; nothing in
 * a model that is not tied. rm_model_pack is to follow. Collective over the pipeline axis. */
ringmoe_status rm_model_tie_head(ringmoe_model *model);
/* Initial values from seed, name and global index: Philox, so the same on any layout. Threads.
 * rm_model_pack is to follow. */
void rm_model_initialize(ringmoe_model *model, int64_t seed);
/* This rank's parts of the weights, and the routers' selection biases, from a folder with
 * safetensors files. All ranks check all tensors before the first value changes anywhere;
 * *changes tells whether it came to that, alike on all ranks, also after a failure. FILE,
 * FORMAT, MEMORY, MPI. Collective; rm_model_tie_head and rm_model_pack are to follow. */
ringmoe_status rm_model_read_weights(ringmoe_model *model, const char *folder, bool *changes);
/* To be called after weights changed: packs them for the kernels. */
void rm_model_pack(ringmoe_model *model);
/* The same; false if packed forms were not those of the weights. */
bool rm_model_pack_again(ringmoe_model *model);
/* This rank's matrices, whose weights lie in the spaces: for one who packs rows by himself
 * (rm_matrix_pack_rows). */
rm_matrix *const *rm_model_matrices(const ringmoe_model *model, int *n_matrices);
/* Selection biases of the routers, [n_layers][n_experts]; NULL without router_bias_rate. */
rm_real *rm_model_router_bias(const ringmoe_model *model);

/* Copies of hot experts to every rank of the expert axis, for the passes until the next call
 * (moe/layer.h): shadows [n_layers], of dense layers none; NULL: no copies any more. The
 * weights must not change meanwhile. Collective over the expert axis. */
ringmoe_status rm_model_share_experts(ringmoe_model *model, const rm_shadows *shadows);

/* Auxiliary losses of a layer, one microbatch of this rank. */
typedef struct rm_layer_losses {
    double balance_loss, z_loss;
} rm_layer_losses;

/* What one microbatch through one stage, or through the model, measured on this rank. */
typedef struct rm_pass_result {
    double loss;         /* mean cross-entropy over the microbatch; 0 but in the last stage */
    double balance_loss; /* mean over the model's MoE layers, of which these are the stage's
                            terms; 1 at balance; 0 without MoE layers */
    double z_loss;
    int64_t n_dropped;   /* over MoE layers */
    int first_bad_layer; /* -1; else the first layer whose output was not finite (n_layers:
                            head) */
} rm_pass_result;

/* One microbatch of n_sequences sequences of seq_len tokens. */
typedef struct rm_batch {
    const int32_t *tokens;  /* [n_sequences * seq_len]; read by the first stage */
    const int32_t *targets; /* the next tokens; read by the last stage */
    int64_t n_sequences, seq_len;
    int64_t step;              /* of the run, for labels and noise */
    int32_t microbatch;        /* local index within the step */
    int64_t global_microbatch; /* index within the global batch */
    rm_real scale;             /* of the loss, for gradients */
    bool evaluate;             /* forward only: no noise, no gradients */
    /* Where a forward pass leaves the MoE layers' losses, [n_layers] of the whole model; a
     * stage writes those of its own MoE layers. NULL: not wanted. */
    rm_layer_losses *layer_losses;
} rm_batch;

/* One stage's part of one microbatch, as ringmoe/pipeline.h describes the call; activations
 * are [tokens][hidden_size]. All ranks of the expert and the tensor axis call alike.
 *
 * balance_counts as in rm_moe_pass, [n_layers][n_experts] or NULL; counts, the same shape, are
 * added to in the forward pass (this rank's tokens), NULL: not wanted.
 *
 * Backward: gradients of  batch->scale * (loss + coefficients * auxiliary losses)  go to the
 * sinks of the chunk's spaces: dense is the whole dense space; experts[s] the whole expert
 * space, for the leaf of source rank s of the expert axis. Every element of a sink is written
 * (or added to) exactly once. BACKWARD_INPUT uses no sinks: all weights' gradients come in
 * BACKWARD_WEIGHT. `batch` is that of the forward call. */
ringmoe_status rm_model_forward_stage(ringmoe_model *model, const rm_batch *batch,
                                      const ringmoe_stage_call *call,
                                      const int64_t *balance_counts, int64_t *counts,
                                      rm_pass_result *result);
ringmoe_status rm_model_backward_stage(ringmoe_model *model, const rm_batch *batch,
                                       const ringmoe_stage_call *call, rm_sink dense,
                                       const rm_sink *experts, const int64_t *balance_counts);

/* Forward and backward of a model of one stage. */
ringmoe_status rm_model_train_pass(ringmoe_model *model, const rm_batch *batch, rm_sink dense,
                                   const rm_sink *experts, const int64_t *balance_counts,
                                   int64_t *counts, rm_pass_result *result);
/* Forward only, through all stages one after the other; every rank of the pipeline axis gets
 * the same result. A batch of no sequences is allowed: a rank without tokens takes part in the
 * exchanges. Collective over the pipeline, expert and tensor axes. */
ringmoe_status rm_model_eval_pass(ringmoe_model *model, const rm_batch *batch,
                                  rm_pass_result *result);
/* Fills activations with NaN: what a pass reads, it must have written. For tests. */
void rm_model_poison(ringmoe_model *model);

/* Keys and values of several texts, each in a place of its own; positions and rows of the pass
 * that is under way. */
typedef struct rm_kv_cache {
    int n_places;
    int64_t capacity;         /* positions of a place */
    rm_real **keys, **values; /* a layer: [n_places][capacity][rm_model_kv_width], keys rotated;
                                 those of layers that are not on this rank are not used */
    int64_t *positions;       /* [max_tokens] */
    int32_t *logit_rows;      /* [n_places] */
    rm_decode_cache *views;   /* [n_places], of one layer's texts */
    rm_real *workspace;       /* of attention */
} rm_kv_cache;
/* Takes a cache from an arena (which may be measuring). */
void rm_kv_cache_layout(rm_kv_cache *cache, const ringmoe_model *model, int n_places,
                        int64_t capacity, rm_arena *arena);

/* Incremental forward pass for generation: in each run the next tokens of one text, which
 * follow the n_past ones that its place has already. A text is in one run at most. */
typedef struct rm_decode_run {
    int place;
    int64_t n_past, n_new;
    bool wants_logits; /* after its last token */
} rm_decode_run;
typedef struct rm_decode_batch {
    rm_kv_cache *cache;
    const rm_decode_run *runs;
    int n_runs;
    const int32_t *tokens; /* of all runs, one after the other; max_tokens at most */
    bool generated; /* one token a run, which was made and not read: attention goes over the
                       keys in an order of its own then, which has other bits */
} rm_decode_batch;
/* logits: [runs that want them][vocab_size], on every rank. A run's logits depend on its own
 * text alone, and not on how that was cut into runs. Collective over the pipeline, expert and
 * tensor axes. */
ringmoe_status rm_model_decode(ringmoe_model *model, const rm_decode_batch *batch,
                               rm_real *logits);
/* Elements of a position's keys in a layer on this rank: key-value heads are cut over the
 * tensor axis. */
int64_t rm_model_kv_width(const ringmoe_model *model);
/* What passes of generation have used so far: experts of this rank that had rows, each once a
 * layer and pass; and the bytes of weights that n_passes with so many of them read here. */
int64_t rm_model_experts_used(const ringmoe_model *model);
int64_t rm_model_read_bytes(const ringmoe_model *model, int64_t n_passes, int64_t n_experts);
/* True if the layer is on this rank. */
bool rm_model_has_layer(const ringmoe_model *model, int layer);

/* Microbatches of the largest global batch, over all ranks, and so also ranks. */
#define RM_MICROBATCHES_MOST 65536

/* Chunks of a rank where nothing is said: on one pipeline rank several, so that the gradients
 * of the last are reduced while the others still go backward. */
int rm_chunks_choose(const ringmoe_model_config *config, const ringmoe_mesh_dims *dims);

/* Bytes by purpose of rm_model_create with these arguments for the rank of `placement`, whose
 * partition is the settings', without creating: parameters, packed, activations, exchange are
 * set. `shared` is what the exchange would be measured with. */
ringmoe_status rm_model_measure(const rm_compute *compute, const ringmoe_model_config *config,
                                const rm_model_settings *settings,
                                const rm_placement *placement, const rm_shared *shared,
                                ringmoe_memory_plan *plan, rm_error *error);

#endif

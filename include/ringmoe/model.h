/* SPDX-License-Identifier: MIT
 *
 * A decoder-only transformer language model with Mixture-of-Experts or dense feed-forward
 * layers, of one of Hugging Face's families. Parameters carry that family's names and shapes;
 * the configuration is its config.json.
 *
 * The router is a softmax over all experts, then the k best, whose weights are divided by their
 * sum or not; with jitter, selection bias, balance and z losses and capacity as configured. The
 * other variants (sigmoid, noisy top-k, groups) are the stand-alone layer's alone, moe.h.
 */
#ifndef RINGMOE_MODEL_H
#define RINGMOE_MODEL_H

#include <ringmoe/mesh.h>
#include <ringmoe/moe.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RINGMOE_MAX_LAYERS 512

/** Families of models: what their files call things, and which switches below they may set.
 * Nothing else depends on it. */
typedef enum ringmoe_family {
    RINGMOE_FAMILY_MIXTRAL = 0,
    RINGMOE_FAMILY_OLMOE = 1,     /**< whole-row query and key norms, clip_qkv */
    RINGMOE_FAMILY_QWEN2_MOE = 2, /**< shared expert, query, key and value biases */
    RINGMOE_FAMILY_QWEN3_MOE = 3, /**< query and key norms of each head */
    RINGMOE_FAMILY_LLAMA = 4,     /**< dense */
    RINGMOE_FAMILY_QWEN3 = 5      /**< dense; query and key norms of each head */
} ringmoe_family;

/** Its model_type in config.json; NULL: it is no value of ringmoe_family. Local. */
RINGMOE_API const char *ringmoe_family_name(int family);

/** RMSNorm of queries and keys before their rotation. */
typedef enum ringmoe_qk_norm {
    RINGMOE_QK_NORM_NONE = 0,
    RINGMOE_QK_NORM_HEAD = 1, /**< each head by itself, one weight of head_dim for all */
    RINGMOE_QK_NORM_ROW = 2   /**< all heads of a token together, a weight for each element */
} ringmoe_qk_norm;

/** How rotary positions reach behind those a model was first trained on (key rope_type). */
typedef enum ringmoe_rope_type {
    RINGMOE_ROPE_DEFAULT = 0,
    RINGMOE_ROPE_LINEAR = 1, /**< all frequencies are divided by rope_factor */
    RINGMOE_ROPE_LLAMA3 = 2  /**< low ones are, high ones are not, between them in part */
} ringmoe_rope_type;

#define RINGMOE_MAX_TOKEN_IDS 8

/** Ids with a meaning, which only who writes texts heeds; a key of config.json with null, a
 * number or a list. */
typedef struct ringmoe_token_ids {
    int n; /**< 0..RINGMOE_MAX_TOKEN_IDS; 0: null */
    int ids[RINGMOE_MAX_TOKEN_IDS];
} ringmoe_token_ids;

/** The fields have Mixtral's keys of config.json as names; what is not in a file gets the
 * stated default, or that of its family. */
typedef struct ringmoe_model_config {
    int vocab_size;              /**< 1..2^24 */
    int hidden_size;             /**< d_model, 1..65536 */
    int intermediate_size;       /**< d_ff of an expert, 1..2^20; that of a dense layer in
                                      families without experts */
    int dense_intermediate_size; /**< d_ff of a dense layer; default intermediate_size * k, the
                                      same active size (a key of our own) */
    int num_hidden_layers;       /**< 1..RINGMOE_MAX_LAYERS */
    int num_attention_heads;     /**< divides hidden_size unless head_dim is given */
    int num_key_value_heads;     /**< divides num_attention_heads; default the same number */
    int head_dim;            /**< even, 2..1024; default hidden_size / num_attention_heads */
    int num_local_experts;   /**< 0..65536; 0: every layer is dense */
    int num_experts_per_tok; /**< k, 1..num_local_experts */
    int max_position_embeddings; /**< longest sequence; default 4096 */
    int tie_word_embeddings;     /**< the head is the embedding; default 0 */
    double rope_theta;           /**< default 1e6 as Mixtral */
    double rms_norm_eps;         /**< default 1e-5 */
    double initializer_range;    /**< standard deviation of initial weights; default 0.02 */
    double router_aux_loss_coef; /**< of the balance loss; default 0.001 */
    double router_z_loss_coef;   /**< default 0 (a key of our own) */
    double router_bias_rate;     /**< loss-free balancing; default 0 (a key of our own) */
    double capacity_factor;      /**< default 0: dropless (a key of our own) */
    double router_jitter_noise;  /**< default 0 */
    int is_dense_layer[RINGMOE_MAX_LAYERS]; /**< 1: layer is dense (key mlp_only_layers) */
    int router_balance_global; /**< the balance loss takes the experts' counts of 0 (default):
                                  the microbatch, 1: the whole previous global batch (a key of
                                  our own, router_balance_scope: "microbatch" or "global") */
    int family;                /**< a ringmoe_family; the fields below must suit it */
    int qk_norm;               /**< a ringmoe_qk_norm; the family's */
    int qkv_bias;              /**< 1: queries, keys and values have biases */
    double clip_qkv; /**< queries, keys and values are cut to +- this; 0: they are not */
    int router_unnormalized; /**< 1: an expert's weight is its probability; 0 (default): divided
                                  by the sum of the chosen (key norm_topk_prob, reversed) */
    int shared_expert_intermediate_size; /**< d_ff of an expert that every token passes, times
                                              sigmoid(w x); 0: none */
    int rope_type;          /**< a ringmoe_rope_type; default RINGMOE_ROPE_DEFAULT */
    double rope_factor;     /**< 1..65536; 0 with the default type */
    double rope_low_factor; /**< llama3's low_freq_factor: what turns less often in the original
                                 positions is divided; else 0 */
    double rope_high_factor;     /**< llama3's high_freq_factor: what turns more often is not */
    int rope_original_positions; /**< llama3's original_max_position_embeddings */
    ringmoe_token_ids bos_token_id; /**< kept with the model; nothing here looks at them */
    ringmoe_token_ids eos_token_id;
    ringmoe_token_ids pad_token_id;
} ringmoe_model_config;

/**
 * A preset by name: "tiny" (about 1 M parameters), "small" (30 M), "base" (150 M), Mixtrals;
 * "tiny-olmoe", "tiny-qwen2_moe", "tiny-qwen3_moe", "tiny-llama", "tiny-qwen3"; byte-level
 * vocabulary. Local. Returns OK; ARGUMENT (unknown name: the message lists the names).
 */
RINGMOE_API ringmoe_status ringmoe_model_config_preset(ringmoe_context *context,
                                                       const char *name,
                                                       ringmoe_model_config *config);
/** The names of the presets, NULL-terminated. Local. */
RINGMOE_API const char *const *ringmoe_model_preset_names(void);

/**
 * Reads a config.json, the one in a folder, or the header of a .gguf file. Local.
 * pad_token_id is not heeded: that token's embedding is trained as any other.
 * Returns OK; FILE; FORMAT (the message names the key, its value and its range); MEMORY.
 */
RINGMOE_API ringmoe_status ringmoe_model_config_read(ringmoe_context *context, const char *path,
                                                     ringmoe_model_config *config);

/** Checks every field's range and how they fit together. Local. Returns OK; ARGUMENT. */
RINGMOE_API ringmoe_status ringmoe_model_config_check(ringmoe_context *context,
                                                      const ringmoe_model_config *config);

/** Parameters in all, and those one token passes through (k experts of each layer). Local. */
RINGMOE_API int64_t ringmoe_model_config_parameters(const ringmoe_model_config *config);
RINGMOE_API int64_t ringmoe_model_config_active_parameters(const ringmoe_model_config *config);

/** Tensors of one type of numbers. */
typedef struct ringmoe_type_share {
    const char *name; /**< "F32", "F16", "BF16", "Q8_0" or "Q4_0" */
    int64_t n_tensors, bytes;
} ringmoe_type_share;

/** What a model's files hold. */
typedef struct ringmoe_model_files {
    int n_files;
    int n_types;
    ringmoe_type_share types[24]; /**< those there are */
    int64_t n_tensors, bytes;     /**< of all types */
} ringmoe_model_files;

/**
 * Looks at the files of a model (a folder, or a name ending in .gguf) without reading its
 * weights: that every tensor is there, with the right shape, and none left over. Local.
 * Returns OK; FILE; FORMAT (names the key or tensor); MEMORY.
 */
RINGMOE_API ringmoe_status ringmoe_model_files_describe(ringmoe_context *context,
                                                        const char *path,
                                                        ringmoe_model_files *files);

/** Bytes one rank needs, by purpose: memory that is touched, not address space. Left out are
 * the mapped text, program, libraries and MPI's own buffers (about 25 MiB), tokens and figures
 * of a batch, and rows of unbalanced experts. */
typedef struct ringmoe_memory_plan {
    int64_t parameters;  /**< master weights */
    int64_t packed;      /**< weights laid out for the kernels */
    int64_t gradients;   /**< the buffers of the reduction trees */
    int64_t optimizer;   /**< AdamW moments of this rank's share: 1/D of its experts', 1/(D*E)
                              of its dense parameters' */
    int64_t activations; /**< of the microbatches that the schedule holds at once, forward and
                              backward, and the threads' scratch */
    int64_t exchange;    /**< buffers of tokens, gradients and the pipeline's activations, at
                              balanced load, and the pipeline's lists; what a save beside
                              training buffers (ringmoe_save_settings) comes on top */
    int64_t total;
} ringmoe_memory_plan;

/** What is trained with, as in ringmoe_train_settings. */
typedef struct ringmoe_batch_shape {
    int64_t seq_len;        /**< tokens of a sequence */
    int64_t microbatch;     /**< sequences of a microbatch */
    int64_t n_microbatches; /**< microbatches of the global batch, over all ranks, 1..65536 */
    int64_t reproducible;   /**< 1: the bits do not depend on the tensor axis */
    char schedule[16];      /**< of the pipeline; "": chosen */
    int64_t chunks;         /**< of a rank; 0: chosen */
    int64_t recompute;      /**< a ringmoe_recompute */
    int64_t shadow;         /**< a ringmoe_shadow */
} ringmoe_batch_shape;

/**
 * What training would take on the rank that needs most, with the context's threads, without
 * allocating it; the layers are taken to be cut evenly into stages. Local. Any layout, also of
 * more ranks than the context has.
 *   dims  in  NULL or sizes of 0: as ringmoe_mesh_create chooses them
 * Returns OK; ARGUMENT (the config's or batch's numbers are named); LAYOUT (microbatches do not
 * divide over the ranks, more than 65536 ranks, the model cannot be cut so); MEMORY (more than
 * the address space).
 */
RINGMOE_API ringmoe_status ringmoe_model_memory_plan(
    ringmoe_context *context, const ringmoe_model_config *config, const ringmoe_mesh_dims *dims,
    ringmoe_precision precision, const ringmoe_batch_shape *batch, ringmoe_memory_plan *plan);

typedef struct ringmoe_model ringmoe_model;

/** How the weights of a model for inference are kept: the operands of its products. Routers,
 * norms, biases and the embedding are fp32 in any case. */
typedef enum ringmoe_weights {
    RINGMOE_WEIGHTS_AUTO = 0, /**< for each kind of matrices (experts; the head; all others)
                                   bf16, Q8_0 or Q4_0 if the file has all of them so, unchanged;
                                   Q8_0 if all are in GGUF's other blocks (Q4_K, Q6_K, ...) or
                                   in several kinds; else the context's precision */
    RINGMOE_WEIGHTS_FP32 = 1,
    RINGMOE_WEIGHTS_BF16 = 2, /**< rounded to the nearest */
    RINGMOE_WEIGHTS_Q8_0 = 3, /**< blocks of 32 with a half-precision scale, 8 bits a weight;
                                   the other operand is rounded to 8 bits likewise */
    RINGMOE_WEIGHTS_Q4_0 = 4  /**< the same with 4 bits a weight */
} ringmoe_weights;

typedef struct ringmoe_load_settings {
    int64_t max_tokens;    /**< tokens of one pass at most: of a microbatch handed to evaluate,
                                or of prompts read at a time by generate; 1 or above; default
                                512 */
    int64_t max_sequences; /**< texts that generate continues at the same time at most, 1..4096;
                                default 8 */
    int reproducible;      /**< 1: sums over inner dimensions are made in fixed blocks, so that
                                bits do not depend on the tensor axis (1, 2 or 4 ranks); 0
                                (default): in one go */
    ringmoe_weights weights;   /**< default RINGMOE_WEIGHTS_AUTO */
    int64_t experts_in_memory; /**< bytes of a rank for experts, at least one; what does not fit
                                  stays in the file, those used last are kept; 0 (default): all
                                  are in memory */
} ringmoe_load_settings;

/** Fills every field with its default. Local. */
RINGMOE_API void ringmoe_load_settings_default(ringmoe_load_settings *settings);

/**
 * Loads a model for evaluation and generation from a folder with config.json and
 * model*.safetensors (fp32, bf16 or fp16), or a .gguf file. Collective over the mesh; each rank
 * reads its part, straight into the form that the products take. If the folder has a
 * manifest.json it is a checkpoint: the ranks together compare every byte of its files, the
 * optimizer's aside, with that first.
 *   settings  in   NULL: the defaults
 *   model     out  NULL after a failure
 * Of weights in blocks of which a tensor rank would get a part, the blocks are made anew. With
 * experts_in_memory the files stay open, and must not be changed, while the model lives.
 * Returns OK; ARGUMENT (names the setting, also if experts_in_memory is less than one expert
 * takes); FILE; FORMAT (a missing, extra or misshapen tensor, or a damaged file, is named);
 * LAYOUT; MEMORY; MPI.
 */
RINGMOE_API ringmoe_status ringmoe_model_load(ringmoe_mesh *mesh, const char *path,
                                              const ringmoe_load_settings *settings,
                                              ringmoe_model **model);

/** What a model takes on this rank, in bytes. */
typedef struct ringmoe_model_bytes {
    int64_t weights;  /**< in memory, experts included as far as there is room */
    int64_t token;    /**< weights that one token's way through the model reads here, with its
                           share of the experts evenly spread */
    int64_t position; /**< keys and values of one position of one text */
} ringmoe_model_bytes;
/** Local. */
RINGMOE_API void ringmoe_model_get_bytes(const ringmoe_model *model,
                                         ringmoe_model_bytes *bytes);

/** The forms a model's weights are kept in, none of them AUTO. */
typedef struct ringmoe_weight_forms {
    ringmoe_weights experts; /**< of a model without experts: as others */
    ringmoe_weights head;
    ringmoe_weights others; /**< attention, dense layers and shared experts */
} ringmoe_weight_forms;
/** Local. */
RINGMOE_API void ringmoe_model_get_forms(const ringmoe_model *model,
                                         ringmoe_weight_forms *forms);

/** Frees a model. Collective over the expert axis of its mesh. NULL or *model NULL: nothing. */
RINGMOE_API void ringmoe_model_destroy(ringmoe_model **model);
/** The model's configuration; lives as long as the model. Local. */
RINGMOE_API const ringmoe_model_config *ringmoe_model_get_config(const ringmoe_model *model);

#ifdef __cplusplus
}
#endif
#endif

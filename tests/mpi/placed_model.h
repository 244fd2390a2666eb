/* SPDX-License-Identifier: MIT
 *
 * A small model of any family, placed on ranks in some way, for tests that compare it with the
 * same on one rank; what a training pass gives, and tokens for one.
 */
#ifndef PLACED_MODEL_H
#define PLACED_MODEL_H

#include <stdlib.h>

#include "check.h"
#include "../model_families.h"

enum { VOCAB = 41, N_EXPERTS = 4, LENGTH = 29, SEQUENCES = 2, TOKENS = LENGTH * SEQUENCES };

static inline ringmoe_model_config placed_config(int family, int tied)
{
    ringmoe_model_config config = {.vocab_size = VOCAB,
                                   .hidden_size = 32,
                                   .intermediate_size = 26,
                                   .dense_intermediate_size = 46,
                                   .num_hidden_layers = 3,
                                   .num_attention_heads = 8,
                                   .num_key_value_heads = 4,
                                   .head_dim = 8,
                                   .num_local_experts = N_EXPERTS,
                                   .num_experts_per_tok = 2,
                                   .max_position_embeddings = 64,
                                   .tie_word_embeddings = tied,
                                   .rope_theta = 1000,
                                   .rms_norm_eps = 1e-5,
                                   .initializer_range = 0.1,
                                   .router_aux_loss_coef = 0.01,
                                   .router_jitter_noise = 0.1,
                                   .is_dense_layer = {0, 1}};
    return family_config(config, family);
}

/* A model over a communicator with its own context, and what one training pass gave. */
typedef struct placed_model {
    ringmoe_context *context;
    ringmoe_mesh *mesh;
    ringmoe_model *model;
    rm_real *gradients[RM_N_KINDS]; /* of experts: [source ranks][expert space] */
    rm_pass_result result;
} placed_model;

/* dims NULL: all ranks on the expert axis. */
static inline placed_model place_model(MPI_Comm communicator, const ringmoe_mesh_dims *dims,
                                       ringmoe_precision precision,
                                       const ringmoe_model_config *config,
                                       rm_model_settings wanted)
{
    placed_model placed = {0};
    ringmoe_context_settings settings;
    ringmoe_context_settings_default(&settings);
    settings.n_threads = 1;
    settings.precision = precision;
    wanted.max_tokens = TOKENS;
    wanted.seed = 5;
    CHECK(ringmoe_context_create(communicator, &settings, &placed.context) == RINGMOE_OK);
    CHECK(ringmoe_mesh_create(placed.context, dims, N_EXPERTS, &placed.mesh) == RINGMOE_OK);
    CHECK_STATUS(rm_model_create(placed.mesh, config, &wanted, &placed.model), RINGMOE_OK,
                 ringmoe_context_error(placed.context));
    rm_model_initialize(placed.model, 11);
    family_shake(placed.model);
    CHECK(rm_model_tie_head(placed.model) == RINGMOE_OK);
    rm_model_pack(placed.model);
    rm_model_poison(placed.model);
    for (int kind = 0; kind < RM_N_KINDS; kind++) {
        int64_t sources = kind == RM_KIND_EXPERT ? placed.mesh->expert.size : 1;
        int64_t n = rm_model_space_elements(placed.model, kind) * sources;
        placed.gradients[kind] = calloc((size_t)n + 1, sizeof(rm_real));
    }
    return placed;
}

static inline void remove_model(placed_model *placed)
{
    ringmoe_model_destroy(&placed->model);
    ringmoe_mesh_destroy(&placed->mesh);
    ringmoe_context_destroy(&placed->context);
    for (int kind = 0; kind < RM_N_KINDS; kind++) free(placed->gradients[kind]);
}

/* Of a microbatch's tokens, which are written. */
static inline rm_batch make_batch(int microbatch, int32_t tokens[TOKENS],
                                  int32_t targets[TOKENS])
{
    uint64_t state = (uint64_t)microbatch + 17;
    for (int t = 0; t < TOKENS; t++) {
        tokens[t] = (int32_t)(check_random(&state) % VOCAB);
        targets[t] = (int32_t)(check_random(&state) % VOCAB);
    }
    return (rm_batch){.tokens = tokens,
                      .targets = targets,
                      .n_sequences = SEQUENCES,
                      .seq_len = LENGTH,
                      .global_microbatch = microbatch,
                      .scale = (rm_real)0.25};
}

#endif

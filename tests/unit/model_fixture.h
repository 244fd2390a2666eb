/* SPDX-License-Identifier: MIT
 *
 * A small model on one rank, and token numbers for it.
 */
#ifndef MODEL_FIXTURE_H
#define MODEL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "model/model.h"

enum { FIXTURE_VOCAB = 50, FIXTURE_LAYERS = 3, FIXTURE_EXPERTS = 4, FIXTURE_MAX_TOKENS = 300 };

static inline ringmoe_model_config fixture_config(void)
{
    return (ringmoe_model_config){.vocab_size = FIXTURE_VOCAB,
                                  .hidden_size = 48,
                                  .intermediate_size = 40,
                                  .dense_intermediate_size = 72,
                                  .num_hidden_layers = FIXTURE_LAYERS,
                                  .num_attention_heads = 4,
                                  .num_key_value_heads = 2,
                                  .head_dim = 12,
                                  .num_local_experts = FIXTURE_EXPERTS,
                                  .num_experts_per_tok = 2,
                                  .max_position_embeddings = 200,
                                  .rope_theta = 1000,
                                  .rms_norm_eps = 1e-5,
                                  .initializer_range = 0.1,
                                  .router_aux_loss_coef = 0.01,
                                  .router_z_loss_coef = 0.001,
                                  .is_dense_layer = {1}};
}

typedef struct model_fixture {
    ringmoe_context *context;
    ringmoe_mesh *mesh;
    ringmoe_model *model; /* NULL: not made yet */
} model_fixture;

static inline model_fixture open_mesh(int n_threads, ringmoe_precision precision)
{
    model_fixture fixture = {NULL, NULL, NULL};
    ringmoe_context_settings settings;
    ringmoe_context_settings_default(&settings);
    settings.n_threads = n_threads;
    settings.precision = precision;
    assert_int_equal(ringmoe_context_create(MPI_COMM_SELF, &settings, &fixture.context),
                     RINGMOE_OK);
    assert_int_equal(ringmoe_mesh_create(fixture.context, NULL, FIXTURE_EXPERTS, &fixture.mesh),
                     RINGMOE_OK);
    return fixture;
}

static inline model_fixture open_model(int n_threads, ringmoe_precision precision,
                                       rm_model_use use, const ringmoe_model_config *config)
{
    model_fixture fixture = open_mesh(n_threads, precision);
    assert_int_equal(
        rm_model_create(fixture.mesh, config,
                        &(rm_model_settings){.use = use, .max_tokens = FIXTURE_MAX_TOKENS},
                        &fixture.model),
        RINGMOE_OK);
    rm_model_initialize(fixture.model, 3);
    assert_int_equal(rm_model_tie_head(fixture.model), RINGMOE_OK);
    rm_model_pack(fixture.model);
    return fixture;
}

static inline void close_fixture(model_fixture *fixture)
{
    ringmoe_model_destroy(&fixture->model);
    ringmoe_mesh_destroy(&fixture->mesh);
    ringmoe_context_destroy(&fixture->context);
}

static inline const char *fixture_error(const model_fixture *fixture)
{
    return ringmoe_context_error(fixture->context);
}

/* n tokens without an obvious pattern. */
static inline void fill_tokens(int32_t *tokens, int64_t n, uint64_t seed)
{
    rm_random_key key = {.seed = seed, .stream = 9};
    for (int64_t i = 0; i < n; i++)
        tokens[i] = (int32_t)(rm_random_uniform(key, (uint64_t)i) * FIXTURE_VOCAB);
}

static inline int run_with_mpi(int argc, char **argv, int (*run)(void))
{
    MPI_Init(&argc, &argv);
    int failed = run();
    MPI_Finalize();
    return failed;
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * A run of a very small model on some layout, for tests that compare layouts with one another.
 */
#ifndef TRAIN_WORLD_H
#define TRAIN_WORLD_H

#include <ringmoe.h>

#include "check.h"

enum { MAX_LAYOUTS = 20 };

/* pipeline and tensor 0: 1. ranks_per_node 0: as they are. */
struct layout {
    int data, expert, threads, pipeline, tensor, ranks_per_node;
};

/* The layouts of `size` ranks that 4 experts allow, with 1 and 2 threads in turn. */
static inline int layouts_of(int size, struct layout layouts[MAX_LAYOUTS])
{
    int n = 0;
    for (int expert = 1; expert <= 4 && expert <= size; expert *= 2)
        if (size % expert == 0)
            layouts[n++] = (struct layout){
                .data = size / expert, .expert = expert, .threads = 1 + expert % 2};
    if (size == 1) layouts[n++] = (struct layout){.data = 1, .expert = 1, .threads = 1};
    return n;
}

/* All that 4 experts, 3 layers, 2 key-value heads and 8 microbatches allow, over four axes. */
static inline int layouts_of_axes(int size, struct layout layouts[MAX_LAYOUTS])
{
    int n = 0;
    for (int pipeline = 1; pipeline <= 3; pipeline++)
        for (int tensor = 1; tensor <= 2; tensor++)
            for (int expert = 1; expert <= 4; expert *= 2)
                if (size % (pipeline * tensor * expert) == 0 &&
                    8 % (size / (pipeline * tensor)) == 0) {
                    layouts[n] = (struct layout){.data = size / (pipeline * tensor * expert),
                                                 .expert = expert,
                                                 .threads = 1 + n % 2,
                                                 .pipeline = pipeline,
                                                 .tensor = tensor};
                    n++;
                }
    return n;
}

/* Everything a run is made of. */
struct world {
    ringmoe_context *context;
    ringmoe_mesh *mesh;
    ringmoe_tokens *tokens;
    ringmoe_trainer *trainer;
};

/* Dense and MoE layers, parameters of more than one block, router biases that move. */
static inline ringmoe_model_config small_config(void)
{
    ringmoe_model_config config;
    ringmoe_model_config_preset(NULL, "tiny", &config);
    config.hidden_size = 72;
    config.intermediate_size = 40;
    config.dense_intermediate_size = 80;
    config.num_hidden_layers = 3;
    config.num_attention_heads = 4;
    config.num_key_value_heads = 2;
    config.head_dim = 16;
    config.num_local_experts = 4;
    config.router_bias_rate = 0.01;
    config.router_z_loss_coef = 0.001;
    config.is_dense_layer[1] = 1;
    return config;
}

static inline ringmoe_train_settings small_settings(void)
{
    ringmoe_train_settings settings;
    ringmoe_train_settings_default(&settings);
    settings.steps = 6;
    settings.seq_len = 12;
    settings.microbatch = 2;
    settings.global_batch = 16;
    settings.lr = 1e-2;
    settings.warmup_steps = 2;
    settings.seed = 5;
    return settings;
}

/* Context, mesh and tokens over a communicator; no trainer yet. */
static inline void world_open(struct world *world, MPI_Comm comm, struct layout layout,
                              ringmoe_precision precision)
{
    ringmoe_context_settings settings;
    ringmoe_mesh_dims dims = {.pipeline = layout.pipeline,
                              .data = layout.data,
                              .expert = layout.expert,
                              .tensor = layout.tensor};
    ringmoe_context_settings_default(&settings);
    settings.n_threads = layout.threads;
    settings.precision = precision;
    settings.ranks_per_node = layout.ranks_per_node;
    *world = (struct world){0};
    CHECK(ringmoe_context_create(comm, &settings, &world->context) == RINGMOE_OK);
    CHECK_STATUS(ringmoe_mesh_create(world->context, &dims, 4, &world->mesh), RINGMOE_OK,
                 ringmoe_context_error(world->context));
    CHECK(ringmoe_tokens_synthetic(world->context, 3, 2000, &world->tokens) == RINGMOE_OK);
}

static inline ringmoe_status world_train(struct world *world,
                                         const ringmoe_model_config *config,
                                         const ringmoe_train_settings *settings)
{
    return ringmoe_trainer_create(world->mesh, config, settings, world->tokens,
                                  &world->trainer);
}

static inline void world_close(struct world *world)
{
    ringmoe_trainer_destroy(&world->trainer);
    ringmoe_tokens_destroy(&world->tokens);
    ringmoe_mesh_destroy(&world->mesh);
    ringmoe_context_destroy(&world->context);
}

/* World with a trainer of the small model. */
static inline void world_create(struct world *world, MPI_Comm comm, struct layout layout,
                                ringmoe_precision precision)
{
    ringmoe_model_config config = small_config();
    ringmoe_train_settings settings = small_settings();
    world_open(world, comm, layout, precision);
    CHECK_STATUS(world_train(world, &config, &settings), RINGMOE_OK,
                 ringmoe_context_error(world->context));
}

enum { CURVE_STEPS = 4 };

/* What a run leaves behind. */
struct curve {
    ringmoe_step_metrics steps[CURVE_STEPS];
    char hash[17];
};

/* Steps [first, last) into the curve, and the hash of the weights after them. */
static inline void world_run(struct world *world, int first, int last, struct curve *curve)
{
    for (int i = first; i < last; i++)
        CHECK_STATUS(ringmoe_trainer_step(world->trainer, &curve->steps[i]), RINGMOE_OK,
                     ringmoe_context_error(world->context));
    CHECK(ringmoe_trainer_weights_hash(world->trainer, curve->hash) == RINGMOE_OK);
}

/* The same, to the last bit. */
static inline void check_same_steps(const struct curve *curve, const struct curve *expected,
                                    int first, int last)
{
    for (int i = first; i < last; i++) {
        const ringmoe_step_metrics *a = &curve->steps[i], *b = &expected->steps[i];
        CHECK(a->step == i + 1 && a->step == b->step);
        CHECK(a->loss == b->loss);
        CHECK(a->balance_loss == b->balance_loss);
        CHECK(a->z_loss == b->z_loss);
        CHECK(a->grad_norm == b->grad_norm);
        CHECK(a->lr == b->lr);
        CHECK(a->load_max_over_mean == b->load_max_over_mean);
        CHECK(a->n_dropped == b->n_dropped);
        CHECK(a->tokens == b->tokens && a->tokens > 0);
        CHECK(a->load_cv == b->load_cv && a->dead_experts == b->dead_experts);
    }
    CHECK(!strcmp(curve->hash, expected->hash));
}

#endif

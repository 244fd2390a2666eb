/* SPDX-License-Identifier: MIT
 *
 * The model that `ringmoe verify` trains unless it is given one: a few thousand parameters, but
 * with every part that a layout could get wrong: dense layers among those of experts, a head
 * tied to the embedding (which sit at opposite ends of a pipeline), fewer key-value heads than
 * heads, an inner size that is no multiple of a block, noise, all losses, a moving bias, and
 * experts that have no room for some of their tokens.
 */
#include "verify.h"

enum { LEAST_EXPERTS = 8, LEAST_MICROBATCHES = 8, LEAST_LAYERS = 5 };

/* The smallest multiple of n that is at least `least`. */
static int multiple_of(int n, int least)
{
    return (least + n - 1) / n * n;
}

/* Enough for two chunks on each rank of a pipeline, and uneven. */
static int count_layers(int n_ranks)
{
    int layers = 2 * n_ranks + 1;
    if (layers > RINGMOE_MAX_LAYERS) return RINGMOE_MAX_LAYERS;
    return layers < LEAST_LAYERS ? LEAST_LAYERS : layers;
}

static ringmoe_model_config default_config(int n_ranks)
{
    ringmoe_model_config config = {
        .vocab_size = 256,
        .hidden_size = 32,
        .intermediate_size = 40,
        .dense_intermediate_size = 72,
        .num_hidden_layers = count_layers(n_ranks),
        .num_attention_heads = 8,
        .num_key_value_heads = 4,
        .head_dim = 4,
        .num_local_experts = multiple_of(n_ranks, LEAST_EXPERTS),
        .num_experts_per_tok = 2,
        .max_position_embeddings = 64,
        .tie_word_embeddings = 1,
        .rope_theta = 1e4,
        .rms_norm_eps = 1e-5,
        .initializer_range = 0.1,
        .router_aux_loss_coef = 0.01,
        .router_z_loss_coef = 0.001,
        .capacity_factor = 1.25,
        .router_bias_rate = 0.001,
        .router_jitter_noise = 0.01,
        .router_balance_global = 1,
    };
    for (int layer = 0; layer < config.num_hidden_layers; layer++)
        config.is_dense_layer[layer] = layer % 4 == 2;
    return config;
}

void verify_work_default(int n_ranks, verify_work *work)
{
    *work = (verify_work){.config = default_config(n_ranks)};
    ringmoe_train_settings_default(&work->train);
    work->train.seq_len = 16;
    work->train.microbatch = 1;
    work->train.global_batch = multiple_of(n_ranks, LEAST_MICROBATCHES);
    work->train.lr = 0.01;
    work->train.warmup_steps = 0;
    work->train.steps = 3;
}

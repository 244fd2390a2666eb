/* SPDX-License-Identifier: MIT
 *
 * Where a model's memory goes. The same code measures (rm_model_measure) and lays out.
 *
 *   weights_arena      dense space | expert space | router biases
 *   packed_arena       each matrix for the forward and, for training, the backward products
 *   activations_arena  MoE workspace | layer 0 | layer 1 | ... | head and loss
 *                      | backward buffers
 */
#include "model/state.h"

#include <stdlib.h>

#include "format/config.h"
#include "nn/embedding.h"

/* The settings of a MoE layer. Its auxiliary losses are averaged over the MoE layers by the
 * aux_scale of the backward pass (model/backward.c). */
static ringmoe_moe_settings layer_settings(const ringmoe_model *model, int layer, int64_t seed)
{
    const ringmoe_model_config *config = &model->config;
    ringmoe_moe_settings settings;
    ringmoe_moe_settings_default(&settings);
    settings.d_model = config->hidden_size;
    settings.d_ff = config->intermediate_size;
    settings.n_experts = config->num_local_experts;
    settings.top_k = config->num_experts_per_tok;
    settings.noise =
        config->router_jitter_noise > 0 ? RINGMOE_NOISE_JITTER : RINGMOE_NOISE_NONE;
    settings.jitter = (ringmoe_real)config->router_jitter_noise;
    settings.bias_rate = (ringmoe_real)config->router_bias_rate;
    settings.capacity_factor = (ringmoe_real)config->capacity_factor;
    settings.balance_coefficient = (ringmoe_real)config->router_aux_loss_coef;
    settings.balance_scope =
        config->router_balance_global ? RINGMOE_BALANCE_GLOBAL : RINGMOE_BALANCE_MICROBATCH;
    settings.z_coefficient = (ringmoe_real)config->router_z_loss_coef;
    settings.max_tokens = model->max_tokens;
    settings.layer = layer;
    settings.seed = seed;
    return settings;
}

static ringmoe_status prepare_layers(ringmoe_model *model, int64_t seed, rm_error *error)
{
    for (int layer = 0; layer < model->config.num_hidden_layers; layer++) {
        if (rm_layer_is_dense(&model->config, layer)) continue;
        ringmoe_moe_settings *settings = &model->layers[layer].settings;
        *settings = layer_settings(model, layer, seed);
        RM_TRY(rm_moe_settings_check(settings, model->expert_ranks, error));
    }
    return RINGMOE_OK;
}

ringmoe_status rm_model_prepare(const ringmoe_model_config *config, int expert_ranks,
                                rm_model_use use, int64_t max_tokens, int64_t seed,
                                ringmoe_model *model, rm_error *error)
{
    *model = (ringmoe_model){
        .config = *config, .use = use, .expert_ranks = expert_ranks, .max_tokens = max_tokens};
    RM_TRY(rm_config_check(config, error));
    if (max_tokens < 1 || max_tokens > INT32_MAX)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "a microbatch of %lld tokens; it must be 1..%d", (long long)max_tokens,
                       INT32_MAX);
    RM_TRY(rm_parameter_table_create(config, expert_ranks, &model->table, error));
    size_t n_layers = (size_t)config->num_hidden_layers;
    model->layers = calloc(n_layers, sizeof *model->layers);
    model->saved = calloc(n_layers, sizeof *model->saved);
    if (!model->layers || !model->saved)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %zu layers", n_layers);
    return prepare_layers(model, seed, error);
}

void rm_model_release(ringmoe_model *model)
{
    rm_arena_free(&model->weights_arena);
    rm_arena_free(&model->packed_arena);
    rm_arena_free(&model->activations_arena);
    rm_parameter_table_free(&model->table);
    free(model->layers);
    free(model->saved);
    free(model->matrices);
}

static int64_t query_width(const ringmoe_model_config *config)
{
    return (int64_t)config->num_attention_heads * config->head_dim;
}

static int64_t key_width(const ringmoe_model_config *config)
{
    return (int64_t)config->num_key_value_heads * config->head_dim;
}

static void lay_out_weights(ringmoe_model *model)
{
    const ringmoe_model_config *config = &model->config;
    for (int space = 0; space < RM_N_SPACES; space++)
        model->spaces[space] =
            RM_TAKE(&model->weights_arena, model->table.space_elements[space], rm_real);
    if (config->router_bias_rate > 0 && config->num_local_experts > 0)
        model->router_bias =
            RM_TAKE(&model->weights_arena,
                    (int64_t)config->num_hidden_layers * config->num_local_experts, rm_real);
}

static void lay_out_swiglu(const ringmoe_model *model, const rm_compute *compute,
                           rm_swiglu *swiglu, rm_arena *arena)
{
    int64_t d = model->config.hidden_size, d_ff = model->config.dense_intermediate_size;
    bool training = model->use == RM_MODEL_TRAINING;
    rm_matrix_layout(&swiglu->gate, compute, d_ff, d, compute->precision, training, arena);
    rm_matrix_layout(&swiglu->up, compute, d_ff, d, compute->precision, training, arena);
    rm_matrix_layout(&swiglu->down, compute, d, d_ff, compute->precision, training, arena);
}

static rm_moe_layout moe_layout(const ringmoe_model *model)
{
    return (rm_moe_layout){.expert_ranks = model->expert_ranks,
                           .tensor_ranks = 1,
                           .with_backward = model->use == RM_MODEL_TRAINING};
}

static void lay_out_packed(ringmoe_model *model, const rm_compute *compute)
{
    const ringmoe_model_config *config = &model->config;
    int64_t d = config->hidden_size, query = query_width(config), key = key_width(config);
    bool training = model->use == RM_MODEL_TRAINING;
    ringmoe_precision precision = compute->precision;
    rm_arena *arena = &model->packed_arena;
    rm_moe_layout spread = moe_layout(model);
    for (int i = 0; i < config->num_hidden_layers; i++) {
        rm_layer_weights *layer = &model->layers[i];
        rm_matrix_layout(&layer->query, compute, query, d, precision, training, arena);
        rm_matrix_layout(&layer->key, compute, key, d, precision, training, arena);
        rm_matrix_layout(&layer->value, compute, key, d, precision, training, arena);
        rm_matrix_layout(&layer->output, compute, d, query, precision, training, arena);
        if (rm_layer_is_dense(config, i))
            lay_out_swiglu(model, compute, &layer->dense, arena);
        else
            rm_moe_weights_layout(&layer->moe, compute, &layer->settings, &spread, arena);
    }
    rm_matrix_layout(&model->head, compute, config->vocab_size, d, precision, training, arena);
}

static void lay_out_attention(const ringmoe_model *model, rm_layer_saved *saved,
                              rm_arena *arena)
{
    const ringmoe_model_config *config = &model->config;
    int64_t n = model->max_tokens, d = config->hidden_size;
    saved->x = RM_TAKE(arena, n * d, rm_real);
    saved->attention_input = RM_TAKE(arena, n * d, rm_real);
    saved->q = RM_TAKE(arena, n * query_width(config), rm_real);
    saved->k = RM_TAKE(arena, n * key_width(config), rm_real);
    saved->v = RM_TAKE(arena, n * key_width(config), rm_real);
    saved->attended = RM_TAKE(arena, n * query_width(config), rm_real);
    saved->logsumexp = RM_TAKE(arena, n * config->num_attention_heads, rm_real);
    saved->middle = RM_TAKE(arena, n * d, rm_real);
    saved->ffn_input = RM_TAKE(arena, n * d, rm_real);
    saved->attention_rstd = RM_TAKE(arena, n, rm_real);
    saved->ffn_rstd = RM_TAKE(arena, n, rm_real);
}

static void lay_out_ffn(ringmoe_model *model, int layer, rm_arena *arena)
{
    rm_layer_saved *saved = &model->saved[layer];
    bool training = model->use == RM_MODEL_TRAINING;
    if (rm_layer_is_dense(&model->config, layer)) {
        rm_swiglu_saved_layout(&saved->dense,
                               (rm_swiglu_sizes){.n_experts = 1,
                                                 .n_sources = 1,
                                                 .max_rows = model->max_tokens,
                                                 .d_ff = model->config.dense_intermediate_size},
                               training, arena);
        return;
    }
    size_t before = arena->used;
    rm_moe_layout spread = moe_layout(model);
    rm_moe_saved_layout(&saved->moe, model->moe_workspace, &model->layers[layer].settings,
                        &spread, arena, NULL, model->moe_expected);
    model->moe_reserved += (int64_t)(arena->used - before);
}

/* One for all MoE layers, which are of one size. */
static void lay_out_moe_workspace(ringmoe_model *model, rm_arena *arena)
{
    size_t before = arena->used;
    int layer = 0, n_layers = model->config.num_hidden_layers;
    while (layer < n_layers && rm_layer_is_dense(&model->config, layer)) layer++;
    if (layer == n_layers) return;
    rm_moe_layout spread = moe_layout(model);
    rm_moe_workspace_layout(&model->moe_workspace, &model->layers[layer].settings, &spread,
                            arena, NULL, model->moe_expected);
    model->moe_reserved += (int64_t)(arena->used - before);
}

/* One set of activations for all layers of an inference model: the first dense and the first
 * MoE layer take theirs, the others share them. */
static void share_activations(ringmoe_model *model)
{
    rm_layer_saved shared = model->saved[0];
    bool laid_out[2] = {false, false};
    for (int layer = 0; layer < model->config.num_hidden_layers; layer++) {
        int dense = rm_layer_is_dense(&model->config, layer);
        if (!laid_out[dense]) {
            model->saved[layer] = shared;
            lay_out_ffn(model, layer, &model->activations_arena);
            shared = model->saved[layer];
            laid_out[dense] = true;
        }
    }
    for (int layer = 0; layer < model->config.num_hidden_layers; layer++)
        model->saved[layer] = shared;
}

static void lay_out_backward(ringmoe_model *model, rm_arena *arena)
{
    const ringmoe_model_config *config = &model->config;
    rm_backward_buffers *backward = &model->backward;
    int64_t n = model->max_tokens, d = config->hidden_size;
    int64_t vocab = config->vocab_size;
    backward->d_stream = RM_TAKE(arena, n * d, rm_real);
    backward->d_input = RM_TAKE(arena, n * d, rm_real);
    backward->d_attended = RM_TAKE(arena, n * query_width(config), rm_real);
    backward->d_q = RM_TAKE(arena, n * query_width(config), rm_real);
    backward->d_k = RM_TAKE(arena, n * key_width(config), rm_real);
    backward->d_v = RM_TAKE(arena, n * key_width(config), rm_real);
    backward->attention_workspace =
        RM_TAKE(arena, rm_attention_workspace(n, config->num_attention_heads), rm_real);
    backward->norm_partials = RM_TAKE(arena, rm_norm_workspace(n, d), rm_real);
    if (config->tie_word_embeddings) backward->head = RM_TAKE(arena, vocab * d, rm_real);
    backward->embedding_order = RM_TAKE(arena, rm_embedding_workspace(n, vocab), int32_t);
    backward->expert_sinks = RM_TAKE(arena, config->num_local_experts, rm_swiglu_sinks);
}

static void lay_out_activations(ringmoe_model *model)
{
    const ringmoe_model_config *config = &model->config;
    rm_arena *arena = &model->activations_arena;
    int64_t n = model->max_tokens, d = config->hidden_size;
    bool training = model->use == RM_MODEL_TRAINING;
    int n_sets = training ? config->num_hidden_layers : 1;
    lay_out_moe_workspace(model, arena);
    for (int layer = 0; layer < n_sets; layer++) {
        lay_out_attention(model, &model->saved[layer], arena);
        if (training) lay_out_ffn(model, layer, arena);
    }
    if (!training) share_activations(model);
    model->last_x = training ? RM_TAKE(arena, n * d, rm_real) : model->saved[0].x;
    model->head_input = RM_TAKE(arena, n * d, rm_real);
    model->last_rstd = RM_TAKE(arena, n, rm_real);
    model->logits = RM_TAKE(arena, n * config->vocab_size, rm_real);
    model->losses = RM_TAKE(arena, n, double);
    model->layer_counts = RM_TAKE(arena, config->num_local_experts, int64_t);
    rm_rope_layout(&model->rope, config->rope_theta, config->head_dim,
                   config->max_position_embeddings, arena);
    if (training) lay_out_backward(model, arena);
}

void rm_model_layout(ringmoe_model *model, const rm_compute *compute)
{
    model->moe_reserved = 0;
    model->moe_expected[0] = model->moe_expected[1] = 0;
    lay_out_weights(model);
    lay_out_packed(model, compute);
    lay_out_activations(model);
}

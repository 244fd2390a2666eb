/* SPDX-License-Identifier: MIT
 *
 * What a model of given settings is on one rank, and where its weights' memory goes. The same
 * code measures (rm_model_measure) and lays out.
 *
 *   weights_arena      a chunk's dense space | expert space | next chunk's ... | router biases
 *   packed_arena       each matrix for the forward and, for training, the backward products
 *                      | for inference the embedding as it is stored | rope's tables
 */
#include "model/state.h"

#include <stdlib.h>

#include "format/config.h"
#include "format/config_rope.h"
#include "format/dtype.h"

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
    settings.renormalize = !config->router_unnormalized;
    settings.d_ff_shared = config->shared_expert_intermediate_size;
    settings.shared_gate = config->shared_expert_intermediate_size > 0;
    settings.noise =
        config->router_jitter_noise > 0 ? RINGMOE_NOISE_JITTER : RINGMOE_NOISE_NONE;
    settings.jitter = (ringmoe_real)config->router_jitter_noise;
    settings.bias_rate = (ringmoe_real)config->router_bias_rate;
    settings.capacity_factor = (ringmoe_real)config->capacity_factor;
    settings.balance_coefficient = (ringmoe_real)config->router_aux_loss_coef;
    settings.balance_scope =
        config->router_balance_global ? RINGMOE_BALANCE_GLOBAL : RINGMOE_BALANCE_MICROBATCH;
    settings.z_coefficient = (ringmoe_real)config->router_z_loss_coef;
    settings.max_tokens = model->settings.max_tokens;
    settings.layer = layer;
    settings.seed = seed;
    return settings;
}

static ringmoe_status prepare_layers(ringmoe_model *model, int64_t seed, rm_error *error)
{
    int expert_ranks = model->table.placement.expert_ranks;
    for (int layer = 0; layer < model->config.num_hidden_layers; layer++) {
        if (rm_layer_is_dense(&model->config, layer)) continue;
        ringmoe_moe_settings *settings = &model->layers[layer].settings;
        *settings = layer_settings(model, layer, seed);
        RM_TRY(rm_moe_settings_check(settings, expert_ranks, error));
    }
    return RINGMOE_OK;
}

/* What this tensor rank has of each layer. */
static rm_model_parts parts_of(const ringmoe_model_config *config,
                               const rm_placement *placement)
{
    int tensor = placement->tensor_ranks;
    rm_model_parts parts = {.n_heads = config->num_attention_heads / tensor,
                            .n_kv_heads = config->num_key_value_heads / tensor};
    int64_t first;
    parts.query_width = (int64_t)parts.n_heads * config->head_dim;
    parts.key_width = (int64_t)parts.n_kv_heads * config->head_dim;
    parts.dense_d_ff =
        rm_split(config->dense_intermediate_size, tensor, placement->tensor_rank, &first);
    parts.vocab.n =
        rm_split(config->vocab_size, tensor, placement->tensor_rank, &parts.vocab.first);
    return parts;
}

static ringmoe_status check_settings(const rm_model_settings *settings,
                                     const rm_placement *placement, rm_error *error)
{
    if (settings->max_tokens < 1 || settings->max_tokens > INT32_MAX)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "a microbatch of %lld tokens; it must be 1..%d",
                       (long long)settings->max_tokens, INT32_MAX);
    if (settings->reproducible && RM_INNER_BLOCKS % placement->tensor_ranks != 0)
        return rm_fail(
            error, RINGMOE_ERROR_LAYOUT,
            "%d tensor ranks; reproducibly inner dimensions are summed in %d blocks, "
            "so the tensor ranks can be 1, 2 or 4",
            placement->tensor_ranks, RM_INNER_BLOCKS);
    return RINGMOE_OK;
}

/* The tables of a chunk; what they point to is laid out later. */
static ringmoe_status prepare_slots(rm_stage *stage, bool split_backward, rm_error *error)
{
    size_t n_slots = (size_t)stage->n_slots, n_layers = (size_t)stage->n_layers + 1;
    stage->saved = calloc(n_slots * n_layers, sizeof *stage->saved);
    stage->heads = calloc(n_slots, sizeof *stage->heads);
    bool made = stage->saved && stage->heads;
    if (split_backward) {
        stage->gradients = calloc(n_slots * n_layers, sizeof *stage->gradients);
        stage->d_embedded = calloc(n_slots, sizeof *stage->d_embedded);
        made = made && stage->gradients && stage->d_embedded;
    }
    if (made) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the tables of %d microbatches",
                   stage->n_slots);
}

/* The chunks of this rank. */
static ringmoe_status prepare_stages(ringmoe_model *model, rm_error *error)
{
    const rm_placement *placement = &model->table.placement;
    const rm_partition *partition = &placement->partition;
    bool training = model->settings.use == RM_MODEL_TRAINING;
    model->n_chunks = partition->n_stages / partition->n_pipeline;
    model->stages = calloc((size_t)model->n_chunks, sizeof *model->stages);
    if (!model->stages)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %d stages", model->n_chunks);
    for (int chunk = 0; chunk < model->n_chunks; chunk++) {
        int stage = chunk * partition->n_pipeline + placement->pipeline_rank;
        int slots = training ? model->settings.n_slots[chunk] : 1;
        model->stages[chunk] = (rm_stage){
            .chunk = chunk,
            .first_layer = partition->bounds[stage],
            .n_layers = partition->bounds[stage + 1] - partition->bounds[stage],
            .is_first = stage == 0,
            .is_last = stage == partition->n_stages - 1,
            .n_slots = slots > 0 ? slots : 1,
        };
        RM_TRY(prepare_slots(&model->stages[chunk], model->settings.split_backward, error));
    }
    return RINGMOE_OK;
}

ringmoe_status rm_model_prepare(const ringmoe_model_config *config,
                                const rm_model_settings *settings,
                                const rm_placement *placement, ringmoe_model *model,
                                rm_error *error)
{
    *model = (ringmoe_model){.config = *config, .settings = *settings, .logits_slot = -1};
    if (settings->split_backward && settings->recompute == RINGMOE_RECOMPUTE_FULL)
        model->settings.recompute = RINGMOE_RECOMPUTE_SELECTIVE;
    if (settings->use == RM_MODEL_INFERENCE) {
        model->settings.recompute = RINGMOE_RECOMPUTE_NONE;
        model->settings.split_backward = false;
    }
    RM_TRY(rm_config_check(config, error));
    RM_TRY(rm_parameter_table_create(config, placement, &model->table, error));
    RM_TRY(check_settings(settings, &model->table.placement, error));
    model->parts = parts_of(config, &model->table.placement);
    size_t n_layers = (size_t)config->num_hidden_layers;
    model->layers = calloc(n_layers, sizeof *model->layers);
    if (!model->layers)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %zu layers", n_layers);
    RM_TRY(prepare_stages(model, error));
    return prepare_layers(model, settings->seed, error);
}

void rm_model_release(ringmoe_model *model)
{
    rm_arena_free(&model->weights_arena);
    rm_arena_free(&model->packed_arena);
    rm_arena_free(&model->activations_arena);
    rm_arena_free(&model->layers_arena);
    rm_parameter_table_free(&model->table);
    free(model->layers);
    for (int chunk = 0; model->stages && chunk < model->n_chunks; chunk++) {
        free(model->stages[chunk].saved);
        free(model->stages[chunk].gradients);
        free(model->stages[chunk].heads);
        free(model->stages[chunk].d_embedded);
    }
    free(model->stages);
    free(model->matrices);
    free(model->matrix_parameters);
}

static void lay_out_weights(ringmoe_model *model)
{
    const ringmoe_model_config *config = &model->config;
    for (int space = 0; space < model->n_chunks * RM_N_KINDS; space++)
        model->spaces[space] =
            RM_TAKE(&model->weights_arena, model->table.space_elements[space], rm_real);
    if (config->router_bias_rate > 0 && config->num_local_experts > 0)
        model->router_bias =
            RM_TAKE(&model->weights_arena,
                    (int64_t)config->num_hidden_layers * config->num_local_experts, rm_real);
}

rm_inner_cut rm_model_cut(const ringmoe_model *model, int64_t n_units, int64_t unit)
{
    const rm_placement *placement = &model->table.placement;
    if (!model->settings.reproducible) return (rm_inner_cut){0};
    return rm_inner_cut_of(n_units, unit, placement->tensor_ranks, placement->tensor_rank);
}

static void lay_out_matrix(ringmoe_model *model, const rm_compute *compute, rm_matrix *matrix,
                           rm_matrix_shape shape)
{
    shape.with_backward = model->settings.use == RM_MODEL_TRAINING;
    if (!shape.with_backward) shape.out_cut = (rm_inner_cut){0};
    rm_matrix_layout_shape(matrix, compute, &shape, &model->packed_arena);
}

/* Heads are cut by groups of those that share a key-value head. */
static void lay_out_attention(ringmoe_model *model, const rm_compute *compute,
                              rm_layer_weights *layer)
{
    const ringmoe_model_config *config = &model->config;
    int64_t d = config->hidden_size, n_groups = config->num_key_value_heads;
    int64_t query_unit = config->num_attention_heads / n_groups * config->head_dim;
    ringmoe_precision precision = model->formats.dense;
    rm_matrix_shape query = {.out = model->parts.query_width,
                             .in = d,
                             .precision = precision,
                             .out_cut = rm_model_cut(model, n_groups, query_unit)};
    rm_matrix_shape key = {.out = model->parts.key_width,
                           .in = d,
                           .precision = precision,
                           .out_cut = rm_model_cut(model, n_groups, config->head_dim)};
    rm_matrix_shape output = {
        .out = d, .in = query.out, .precision = precision, .in_cut = query.out_cut};
    lay_out_matrix(model, compute, &layer->query, query);
    lay_out_matrix(model, compute, &layer->key, key);
    lay_out_matrix(model, compute, &layer->value, key);
    lay_out_matrix(model, compute, &layer->output, output);
}

static void lay_out_ffn(ringmoe_model *model, const rm_compute *compute, int index)
{
    rm_layer_weights *layer = &model->layers[index];
    const rm_placement *placement = &model->table.placement;
    rm_moe_layout layout = rm_model_moe_layout(model);
    rm_swiglu_shape dense = {.d_model = model->config.hidden_size,
                             .d_ff = model->config.dense_intermediate_size,
                             .tensor_ranks = placement->tensor_ranks,
                             .tensor_rank = placement->tensor_rank,
                             .with_backward = model->settings.use == RM_MODEL_TRAINING,
                             .reproducible = model->settings.reproducible,
                             .precision = model->formats.dense};
    if (rm_layer_is_dense(&model->config, index))
        rm_swiglu_layout(&layer->dense, compute, &dense, &model->packed_arena);
    else
        rm_moe_weights_layout(&layer->moe, compute, &layer->settings, &layout,
                              &model->packed_arena);
}

/* Memory for the rows of the embedding as the file has them. */
static void lay_out_stored_embedding(ringmoe_model *model)
{
    int64_t n = model->parts.vocab.n * model->config.hidden_size;
    model->stored_embedding = RM_TAKE(
        &model->packed_arena, rm_dtype_size(model->settings.embedding, n), unsigned char);
}

static void lay_out_packed(ringmoe_model *model, const rm_compute *compute)
{
    rm_matrix_shape head = {.out = model->parts.vocab.n,
                            .in = model->config.hidden_size,
                            .precision = model->formats.head,
                            .out_cut = rm_model_cut(model, model->config.vocab_size, 1)};
    for (int chunk = 0; chunk < model->n_chunks; chunk++) {
        const rm_stage *stage = &model->stages[chunk];
        if (stage->is_first && model->settings.packed_only) lay_out_stored_embedding(model);
        for (int i = stage->first_layer; i < stage->first_layer + stage->n_layers; i++) {
            lay_out_attention(model, compute, &model->layers[i]);
            lay_out_ffn(model, compute, i);
        }
        if (stage->is_last) lay_out_matrix(model, compute, &model->head, head);
    }
}

/* In training the precision is the context's. */
static void choose_formats(ringmoe_model *model, const rm_compute *compute)
{
    ringmoe_precision precision = compute->precision;
    model->formats = model->settings.packed_only
                         ? model->settings.formats
                         : (rm_weight_formats){precision, precision, precision};
}

void rm_model_layout(ringmoe_model *model, const rm_compute *compute)
{
    choose_formats(model, compute);
    lay_out_weights(model);
    lay_out_packed(model, compute);
    model->rope = (rm_rope){.theta = model->config.rope_theta,
                            .scaling = rm_rope_scaling_of(&model->config),
                            .head_dim = model->config.head_dim,
                            .max_positions = model->config.max_position_embeddings};
    rm_rope_layout(&model->rope, &model->packed_arena);
    rm_activations_layout(model);
}

/* SPDX-License-Identifier: MIT
 *
 * Where activations go. The same code measures (rm_model_measure) and lays out.
 *
 *   layers_arena       MoE layers' own memory
 *   activations_arena  shared by layers
 *                      | chunk 0, slot 0: layer, layer, ... | slot 1 ... | chunk 1 ...
 *                      | logits and loss | backward buffers
 *
 * What layers share depends on what is made again in the backward pass:
 *
 *   inference            everything
 *   full recompute       everything but x
 *   selective            the normed inputs
 */
#include "model/state.h"
#include "nn/loss.h"

typedef enum sharing { SHARE_NOTHING, SHARE_NORMED, SHARE_ALL_BUT_X, SHARE_ALL } sharing;

static sharing sharing_of(const rm_model_settings *settings)
{
    if (settings->use == RM_MODEL_INFERENCE) return SHARE_ALL;
    if (settings->recompute == RINGMOE_RECOMPUTE_FULL) return SHARE_ALL_BUT_X;
    return settings->recompute == RINGMOE_RECOMPUTE_SELECTIVE ? SHARE_NORMED : SHARE_NOTHING;
}

/* `hidden` of a SwiGLU is always made again, so it need only last from one half of a split
 * backward pass to the other. */
static bool shares_hidden(const rm_model_settings *settings)
{
    return settings->recompute == RINGMOE_RECOMPUTE_SELECTIVE && !settings->split_backward;
}

/* Elements of one activation. */
static int64_t stream_elements(const ringmoe_model *model)
{
    return model->settings.max_tokens * model->config.hidden_size;
}

rm_moe_layout rm_model_moe_layout(const ringmoe_model *model)
{
    const rm_placement *placement = &model->table.placement;
    bool shadows = model->settings.shadows && model->settings.use == RM_MODEL_TRAINING &&
                   placement->expert_ranks > 1;
    return (rm_moe_layout){.expert_ranks = placement->expert_ranks,
                           .tensor_ranks = placement->tensor_ranks,
                           .tensor_rank = placement->tensor_rank,
                           .with_backward = model->settings.use == RM_MODEL_TRAINING,
                           .split_backward = model->settings.split_backward,
                           .reproducible = model->settings.reproducible,
                           .recompute = model->settings.recompute,
                           .precision = model->formats.experts,
                           .shared_precision = model->formats.dense,
                           .experts_apart = model->settings.experts_apart,
                           .shadows = shadows ? RM_MOST_SHADOWS : 0};
}

/* --- a layer --- */

static void take_normed(ringmoe_model *model, rm_layer_saved *saved)
{
    saved->attention_input =
        RM_TAKE(&model->activations_arena, stream_elements(model), rm_real);
    saved->ffn_input = RM_TAKE(&model->activations_arena, stream_elements(model), rm_real);
}

/* What norms and cuts of heads are made of, and their backward pass. */
static void take_projected(ringmoe_model *model, rm_layer_saved *saved)
{
    rm_arena *arena = &model->activations_arena;
    for (int which = 0; which < 3; which++) {
        rm_heads heads = rm_model_heads(model, model->settings.max_tokens, which);
        if (heads.norm != RINGMOE_QK_NORM_NONE || heads.limit > 0)
            saved->projected[which] =
                RM_TAKE(arena, heads.n_rows * heads.n_heads * heads.head_dim, rm_real);
        if (heads.norm != RINGMOE_QK_NORM_NONE)
            saved->head_rstd[which] = RM_TAKE(arena, rm_heads_rstd_elements(&heads), rm_real);
    }
}

static void take_attention(ringmoe_model *model, rm_layer_saved *saved)
{
    const rm_model_parts *parts = &model->parts;
    rm_arena *arena = &model->activations_arena;
    int64_t n = model->settings.max_tokens;
    saved->q = RM_TAKE(arena, n * parts->query_width, rm_real);
    saved->k = RM_TAKE(arena, n * parts->key_width, rm_real);
    saved->v = RM_TAKE(arena, n * parts->key_width, rm_real);
    saved->attended = RM_TAKE(arena, n * parts->query_width, rm_real);
    take_projected(model, saved);
    saved->logsumexp = RM_TAKE(arena, n * parts->n_heads, rm_real);
    saved->middle = RM_TAKE(arena, stream_elements(model), rm_real);
    saved->attention_rstd = RM_TAKE(arena, n, rm_real);
    saved->ffn_rstd = RM_TAKE(arena, n, rm_real);
}

static rm_swiglu_sizes dense_sizes(const ringmoe_model *model)
{
    return (rm_swiglu_sizes){.n_experts = 1,
                             .n_sources = 1,
                             .max_rows = model->settings.max_tokens,
                             .d_ff = model->parts.dense_d_ff,
                             .borrows_hidden = shares_hidden(&model->settings)};
}

static void take_dense(ringmoe_model *model, rm_layer_saved *saved)
{
    rm_swiglu_saved_layout(&saved->dense, dense_sizes(model),
                           model->settings.use == RM_MODEL_TRAINING, &model->activations_arena);
    if (shares_hidden(&model->settings)) saved->dense.hidden = model->shared.dense.hidden;
}

static void take_moe(ringmoe_model *model, rm_layer_saved *saved, int layer)
{
    rm_moe_layout layout = rm_model_moe_layout(model);
    rm_moe_saved_layout(&saved->moe, model->moe_workspace, &model->layers[layer].settings,
                        &layout, &model->layers_arena, model->exchange, model->moe_expected);
}

static void take_ffn(ringmoe_model *model, rm_layer_saved *saved, int layer)
{
    if (rm_layer_is_dense(&model->config, layer))
        take_dense(model, saved);
    else
        take_moe(model, saved, layer);
}

/* --- what layers share --- */

/* A layer of this rank, dense or not; -1: it has none. */
static int find_layer(const ringmoe_model *model, bool dense)
{
    for (int chunk = 0; chunk < model->n_chunks; chunk++) {
        const rm_stage *stage = &model->stages[chunk];
        for (int i = 0; i < stage->n_layers; i++)
            if (rm_layer_is_dense(&model->config, stage->first_layer + i) == dense)
                return stage->first_layer + i;
    }
    return -1;
}

static void lay_out_shared(ringmoe_model *model, sharing level)
{
    int dense = find_layer(model, true), moe = find_layer(model, false);
    model->shared = (rm_layer_saved){0};
    if (moe >= 0) {
        rm_moe_layout layout = rm_model_moe_layout(model);
        rm_moe_workspace_layout(&model->moe_workspace, &model->layers[moe].settings, &layout,
                                &model->layers_arena, model->exchange, model->moe_expected);
    }
    if (dense >= 0 && shares_hidden(&model->settings))
        model->shared.dense.hidden = RM_TAKE(
            &model->activations_arena, rm_swiglu_hidden_elements(dense_sizes(model)), rm_real);
    if (level >= SHARE_NORMED) take_normed(model, &model->shared);
    if (level < SHARE_ALL_BUT_X) return;
    take_attention(model, &model->shared);
    if (dense >= 0) take_dense(model, &model->shared);
    if (moe >= 0) take_moe(model, &model->shared, moe);
    if (level == SHARE_ALL)
        model->shared.x = RM_TAKE(&model->activations_arena, stream_elements(model), rm_real);
}

/* --- chunks --- */

static void lay_out_layer(ringmoe_model *model, const rm_stage *stage, int index, sharing level,
                          rm_layer_saved *saved)
{
    *saved = model->shared;
    if (level < SHARE_ALL && (index > 0 || stage->is_first))
        saved->x = RM_TAKE(&model->activations_arena, stream_elements(model), rm_real);
    if (level < SHARE_ALL_BUT_X) {
        take_attention(model, saved);
        take_ffn(model, saved, stage->first_layer + index);
    }
    if (level < SHARE_NORMED) take_normed(model, saved);
}

static void lay_out_head(ringmoe_model *model, const rm_stage *stage, rm_head_saved *head)
{
    rm_arena *arena = &model->activations_arena;
    bool training = model->settings.use == RM_MODEL_TRAINING;
    *head = (rm_head_saved){0};
    if (stage->n_layers > 0)
        head->x = training ? RM_TAKE(arena, stream_elements(model), rm_real) : model->shared.x;
    head->input = RM_TAKE(arena, stream_elements(model), rm_real);
    head->rstd = RM_TAKE(arena, model->settings.max_tokens, rm_real);
    if (model->settings.split_backward)
        head->norm = RM_TAKE(arena, model->config.hidden_size, rm_real);
}

static void take_gradients(ringmoe_model *model, rm_layer_gradients *gradients)
{
    rm_arena *arena = &model->activations_arena;
    int64_t n = model->settings.max_tokens;
    gradients->d_q = RM_TAKE(arena, n * model->parts.query_width, rm_real);
    gradients->d_k = RM_TAKE(arena, n * model->parts.key_width, rm_real);
    gradients->d_v = RM_TAKE(arena, n * model->parts.key_width, rm_real);
}

static void lay_out_kept(ringmoe_model *model, const rm_stage *stage, int index,
                         rm_layer_gradients *kept)
{
    rm_arena *arena = &model->activations_arena;
    *kept = (rm_layer_gradients){0};
    take_gradients(model, kept);
    kept->d_middle = RM_TAKE(arena, stream_elements(model), rm_real);
    if (rm_layer_is_dense(&model->config, stage->first_layer + index))
        kept->d_ffn = RM_TAKE(arena, stream_elements(model), rm_real);
    kept->attention_norm = RM_TAKE(arena, model->config.hidden_size, rm_real);
    kept->ffn_norm = RM_TAKE(arena, model->config.hidden_size, rm_real);
    for (int which = 0; which < 2 && model->config.qk_norm != RINGMOE_QK_NORM_NONE; which++) {
        rm_heads heads = rm_model_heads(model, 0, which);
        kept->head_norms[which] = RM_TAKE(arena, rm_heads_weight_elements(&heads), rm_real);
    }
}

static void lay_out_chunk(ringmoe_model *model, const rm_stage *stage, sharing level)
{
    for (int slot = 0; slot < stage->n_slots; slot++) {
        for (int index = 0; index < stage->n_layers; index++) {
            int at = slot * stage->n_layers + index;
            lay_out_layer(model, stage, index, level, &stage->saved[at]);
            if (stage->gradients) lay_out_kept(model, stage, index, &stage->gradients[at]);
        }
        if (stage->is_last) lay_out_head(model, stage, &stage->heads[slot]);
        if (stage->is_first && stage->d_embedded)
            stage->d_embedded[slot] =
                RM_TAKE(&model->activations_arena, stream_elements(model), rm_real);
    }
}

/* --- the rest --- */

static void lay_out_loss(ringmoe_model *model)
{
    const rm_placement *placement = &model->table.placement;
    rm_arena *arena = &model->activations_arena;
    int64_t n = model->settings.max_tokens, vocab = model->config.vocab_size;
    model->logits = RM_TAKE(arena, n * model->parts.vocab.n, rm_real);
    model->losses = RM_TAKE(arena, n, double);
    model->loss_workspace =
        RM_TAKE(arena,
                rm_cross_entropy_workspace(n, vocab, placement->tensor_ranks,
                                           model->settings.reproducible),
                double);
    model->vocab_bounds = RM_TAKE(arena, placement->tensor_ranks + 1, int64_t);
}

static void lay_out_backward(ringmoe_model *model, bool has_first)
{
    const ringmoe_model_config *config = &model->config;
    rm_backward_buffers *backward = &model->backward;
    rm_arena *arena = &model->activations_arena;
    int64_t n = model->settings.max_tokens, d = config->hidden_size;
    if (has_first && !model->settings.split_backward)
        backward->d_stream = RM_TAKE(arena, n * d, rm_real);
    backward->d_input = RM_TAKE(arena, n * d, rm_real);
    backward->d_attended = RM_TAKE(arena, n * model->parts.query_width, rm_real);
    if (!model->settings.split_backward) take_gradients(model, &backward->gradients);
    backward->attention_workspace =
        RM_TAKE(arena, rm_attention_workspace(n, model->parts.n_heads), rm_real);
    backward->norm_partials = RM_TAKE(arena, rm_norm_workspace(n, d), rm_real);
    if (config->qk_norm != RINGMOE_QK_NORM_NONE)
        backward->heads_workspace = RM_TAKE(
            arena, rm_heads_workspace(n, model->parts.n_heads, config->head_dim), rm_real);
    if (has_first)
        backward->embedding_order =
            RM_TAKE(arena, rm_embedding_workspace(n, model->parts.vocab.n), int32_t);
    backward->expert_sinks = RM_TAKE(arena, config->num_local_experts, rm_swiglu_sinks);
}

void rm_activations_layout(ringmoe_model *model)
{
    const ringmoe_model_config *config = &model->config;
    rm_arena *arena = &model->activations_arena;
    sharing level = sharing_of(&model->settings);
    bool has_first = model->stages[0].is_first;
    model->moe_expected[0] = model->moe_expected[1] = 0;
    lay_out_shared(model, level);
    for (int chunk = 0; chunk < model->n_chunks; chunk++)
        lay_out_chunk(model, &model->stages[chunk], level);
    if (model->stages[model->n_chunks - 1].is_last) lay_out_loss(model);
    model->layer_counts = RM_TAKE(arena, config->num_local_experts, int64_t);
    model->layer_losses = RM_TAKE(arena, config->num_hidden_layers, rm_layer_losses);
    for (int i = 0; i < 2 && model->table.placement.partition.n_stages > 1; i++)
        model->passed[i] = RM_TAKE(arena, stream_elements(model), rm_real);
    if (model->settings.use == RM_MODEL_TRAINING) lay_out_backward(model, has_first);
}

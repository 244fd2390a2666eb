/* SPDX-License-Identifier: MIT
 *
 * The forward pass of a stage of a decoder-only transformer with pre-norm residual blocks (see
 * the drawing in model/state.h). A layer whose output is not finite is found by the norm that
 * reads it, which may be in the next stage.
 */
#include <string.h>

#include "model/state.h"
#include "tensor/team.h"

static void note_layer(const rm_walk *walk, bool finite, int layer)
{
    if (!finite && walk->result->first_bad_layer < 0)
        walk->result->first_bad_layer = layer < 0 ? 0 : layer;
}

/* x += the layer before's middle; attention_input = norm(x). The first layer of a stage has
 * nothing to add. */
static void finish_x(const rm_walk *walk, int index)
{
    const rm_layer_saved *saved = rm_walk_saved(walk, index);
    const rm_real *weight = rm_walk_weights(walk, index)->attention_norm;
    rm_norm_shape shape = rm_walk_norm_shape(walk);
    bool finite =
        index == 0 ? rm_norm_forward(walk->compute, shape, rm_walk_x(walk, 0), weight,
                                     saved->attention_input, saved->attention_rstd)
                   : rm_norm_add_forward(walk->compute, shape,
                                         rm_walk_saved(walk, index - 1)->middle, saved->x,
                                         weight, saved->attention_input, saved->attention_rstd);
    note_layer(walk, finite, walk->stage->first_layer + index - 1);
}

/* These matrices' products are soon to come: in a pass of few rows threads that wait read
 * ahead. */
static void announce(const rm_walk *walk, int n, const rm_matrix *const *matrices)
{
    rm_bytes next[RM_MOST_ANNOUNCED];
    if (!walk->decode) return;
    for (int i = 0; i < n; i++)
        next[i] = (rm_bytes){matrices[i]->forward.data,
                             rm_matrix_packed_bytes(walk->compute, matrices[i])};
    rm_team_announce(walk->compute, next, n);
}

/* What comes after the layer's feed-forward part. */
static void announce_after(const rm_walk *walk, int index)
{
    if (index + 1 < walk->stage->n_layers) {
        const rm_layer_weights *next = rm_walk_weights(walk, index + 1);
        announce(walk, 3, (const rm_matrix *[]){&next->query, &next->key, &next->value});
    } else if (walk->stage->is_last) {
        announce(walk, 1, (const rm_matrix *[]){&walk->model->head});
    }
}

/* q, k and v of all tokens in one call, so that threads share the work of all three. */
static void project_queries_keys_values(const rm_walk *walk, const rm_layer_weights *weights,
                                        const rm_layer_saved *saved)
{
    const rm_matrix *matrices[] = {&weights->query, &weights->key, &weights->value};
    rm_product products[3];
    for (int i = 0; i < 3; i++)
        products[i] = (rm_product){.n_rows = walk->n_tokens,
                                   .a = saved->attention_input,
                                   .a_stride = matrices[i]->in,
                                   .b = &matrices[i]->forward,
                                   .c = rm_layer_projected(saved, i),
                                   .c_stride = matrices[i]->out};
    rm_product_grouped(walk->compute, products, 3);
}

static void rotate(const rm_walk *walk, const rm_layer_saved *saved)
{
    const rm_model_parts *parts = &walk->model->parts;
    rm_rope_rows rows = {.n_rows = walk->n_tokens,
                         .seq_len = walk->seq_len,
                         .n_heads = parts->n_heads,
                         .positions = walk->decode ? walk->decode->cache->positions : NULL};
    rm_rope_apply(&walk->model->rope, walk->compute, rows, 1, saved->q);
    rows.n_heads = parts->n_kv_heads;
    rm_rope_apply(&walk->model->rope, walk->compute, rows, 1, saved->k);
}

ringmoe_status rm_layer_attend(const rm_walk *walk, int index)
{
    const rm_layer_saved *saved = rm_walk_saved(walk, index);
    const rm_layer_weights *weights = rm_walk_weights(walk, index);
    int layer = walk->stage->first_layer + index;
    announce(walk, 1, (const rm_matrix *[]){&weights->output});
    project_queries_keys_values(walk, weights, saved);
    RM_TRY(rm_layer_make_heads(walk, index));
    rotate(walk, saved);
    if (walk->decode)
        rm_decode_attend(walk, saved, layer);
    else
        rm_attention_forward(walk->compute, rm_walk_attention_shape(walk), saved->q, saved->k,
                             saved->v, saved->attended, saved->logsumexp);
    announce(walk, 1,
             (const rm_matrix *[]){rm_layer_is_dense(&walk->model->config, layer)
                                       ? &weights->dense.gate
                                       : &weights->moe.router});
    rm_linear(walk->compute, &weights->output, walk->n_tokens, saved->attended, saved->middle,
              false);
    RM_TRY(rm_sum_parts(walk, saved->middle, walk->model->config.hidden_size));
    bool finite = rm_norm_add_forward(walk->compute, rm_walk_norm_shape(walk),
                                      rm_walk_x(walk, index), saved->middle, weights->ffn_norm,
                                      saved->ffn_input, saved->ffn_rstd);
    note_layer(walk, finite, layer);
    return RINGMOE_OK;
}

/* What a MoE layer measured goes to the pass's result and the caller's arrays. */
static void record(const rm_walk *walk, int layer, const ringmoe_moe_stats *stats)
{
    const ringmoe_model *model = walk->model;
    int n_experts = model->config.num_local_experts;
    int n_moe_layers = rm_moe_layer_count(&model->config);
    walk->result->balance_loss += stats->balance_loss / n_moe_layers;
    walk->result->z_loss += stats->z_loss / n_moe_layers;
    walk->result->n_dropped += stats->n_dropped;
    if (walk->layer_losses)
        walk->layer_losses[layer] = (rm_layer_losses){stats->balance_loss, stats->z_loss};
    for (int expert = 0; walk->counts && expert < n_experts; expert++)
        walk->counts[(int64_t)layer * n_experts + expert] += model->layer_counts[expert];
}

/* Experts of this rank that had rows, which are those whose weights were read. */
static int64_t count_used(const ringmoe_model *model)
{
    int n_local = model->config.num_local_experts / model->table.placement.expert_ranks;
    const int64_t *counts = model->layer_counts + model->mesh->expert.rank * (int64_t)n_local;
    int64_t used = 0;
    for (int expert = 0; expert < n_local; expert++) used += counts[expert] > 0;
    return used;
}

static ringmoe_status route_through_experts(const rm_walk *walk, int index, rm_real *y)
{
    const rm_layer_weights *weights = rm_walk_weights(walk, index);
    const rm_layer_saved *saved = rm_walk_saved(walk, index);
    rm_moe_pass pass = rm_walk_moe_pass(walk, index);
    ringmoe_moe_settings settings = weights->settings;
    ringmoe_moe_stats stats;
    if (walk->decode) settings.capacity_factor = 0; /* a text's own, whatever is beside it */
    RM_TRY(rm_moe_layer_forward(walk->model->mesh, &settings, &weights->moe, saved->moe, &pass,
                                walk->n_tokens, saved->ffn_input, y, &stats,
                                walk->model->layer_counts));
    record(walk, pass.label.layer, &stats);
    if (walk->decode) walk->model->experts_used += count_used(walk->model);
    return RINGMOE_OK;
}

ringmoe_status rm_layer_feed_forward(const rm_walk *walk, int index, rm_real *y)
{
    const rm_layer_saved *saved = rm_walk_saved(walk, index);
    int64_t offsets[] = {0, walk->n_tokens};
    announce_after(walk, index);
    if (!rm_layer_is_dense(&walk->model->config, walk->stage->first_layer + index))
        return route_through_experts(walk, index, y);
    rm_swiglu_rows rows = {.n_experts = 1, .offsets = offsets, .x = saved->ffn_input};
    rm_swiglu_forward(walk->compute, &rm_walk_weights(walk, index)->dense, &rows, &saved->dense,
                      y, NULL);
    return rm_sum_parts(walk, y, walk->model->config.hidden_size);
}

/* Where the stream is after a layer, or before the first (index -1); but for the middle that is
 * still to be added. */
static rm_real *stream_after(const rm_walk *walk, int index)
{
    const rm_stage *stage = walk->stage;
    if (index + 1 < stage->n_layers) return rm_walk_saved(walk, index + 1)->x;
    return stage->is_last ? stage->heads[walk->slot].x : walk->output;
}

/* A row of the embedding as it is stored. */
static void read_stored_row(const void *table, int64_t row, rm_real *y)
{
    const rm_walk *walk = table;
    const ringmoe_model *model = walk->model;
    int64_t d = model->config.hidden_size;
    rm_tensor rows = {.dtype = model->settings.embedding, .data = model->stored_embedding};
    rm_tensor_read(walk->compute->kernels, &rows, row * d, d, y);
}

static ringmoe_status embed(const rm_walk *walk)
{
    const ringmoe_model *model = walk->model;
    int64_t d = model->config.hidden_size;
    rm_real *x = stream_after(walk, -1);
    if (model->settings.packed_only)
        rm_embedding_read(walk->compute, walk->n_tokens, d, walk->tokens, model->parts.vocab,
                          read_stored_row, walk, x);
    else
        rm_embedding_forward(walk->compute, walk->n_tokens, d, walk->tokens, model->parts.vocab,
                             model->embedding, x);
    return rm_sum_parts(walk, x, d);
}

/* The stage's output is a finished sum. */
static void finish_output(const rm_walk *walk)
{
    int64_t n = walk->n_tokens * walk->model->config.hidden_size;
    int n_layers = walk->stage->n_layers;
    if (n_layers > 0)
        rm_residual_add(walk->compute, n, rm_walk_saved(walk, n_layers - 1)->middle,
                        walk->output);
    else if (walk->input)
        memcpy(walk->output, walk->input, (size_t)n * sizeof(rm_real));
}

ringmoe_status rm_stage_forward(const rm_walk *walk)
{
    const rm_stage *stage = walk->stage;
    rm_rope_prepare(&walk->model->rope, walk->compute, walk->n_positions);
    rm_walk_enter(walk, -1);
    if (stage->is_first) RM_TRY(embed(walk));
    for (int index = 0; index < stage->n_layers; index++) {
        rm_walk_enter(walk, stage->first_layer + index);
        finish_x(walk, index);
        RM_TRY(rm_layer_attend(walk, index));
        RM_TRY(rm_layer_feed_forward(walk, index, stream_after(walk, index)));
    }
    rm_walk_enter(walk, -1);
    if (!stage->is_last) finish_output(walk);
    return RINGMOE_OK;
}

/* SPDX-License-Identifier: MIT
 *
 * The forward pass of a decoder-only transformer with pre-norm residual blocks (see the drawing
 * in model/state.h). A layer whose output is not finite is found by the norm that reads it.
 */
#include "model/state.h"

#include <string.h>

#include "nn/embedding.h"

rm_real *rm_stream_after(const ringmoe_model *model, int layer)
{
    bool last = layer + 1 == model->config.num_hidden_layers;
    return last ? model->last_x : model->saved[layer + 1].x;
}

rm_norm_shape rm_model_norm_shape(const ringmoe_model *model, int64_t n_tokens)
{
    return (rm_norm_shape){.n_rows = n_tokens,
                           .width = model->config.hidden_size,
                           .eps = (rm_real)model->config.rms_norm_eps};
}

rm_attention_shape rm_model_attention_shape(const ringmoe_model *model, const rm_walk *walk)
{
    return (rm_attention_shape){.n_sequences = walk->n_sequences,
                                .n_queries = walk->seq_len,
                                .n_past = walk->n_past,
                                .n_heads = model->config.num_attention_heads,
                                .n_kv_heads = model->config.num_key_value_heads,
                                .head_dim = model->config.head_dim};
}

rm_moe_pass rm_layer_pass(const ringmoe_model *model, const rm_walk *walk, int layer)
{
    rm_moe_pass pass = walk->moe;
    pass.label.layer = layer;
    if (pass.balance_counts)
        pass.balance_counts += (int64_t)layer * model->config.num_local_experts;
    return pass;
}

static void note_layer(rm_pass_result *result, bool finite, int layer)
{
    if (!finite && result->first_bad_layer < 0) result->first_bad_layer = layer;
}

/* x += previous layer's residual; attention_input = norm(x). The first layer has none before.
 */
static void norm_before_attention(ringmoe_model *model, const rm_compute *compute, int layer,
                                  int64_t n_tokens, rm_pass_result *result)
{
    const rm_layer_saved *saved = &model->saved[layer];
    const rm_real *residual = layer > 0 ? model->saved[layer - 1].middle : NULL;
    bool finite = rm_norm_forward(compute, rm_model_norm_shape(model, n_tokens), residual,
                                  saved->x, model->layers[layer].attention_norm,
                                  saved->attention_input, saved->attention_rstd);
    note_layer(result, finite, layer > 0 ? layer - 1 : 0);
}

/* q, k and v of all tokens in one call, so that threads share the work of all three. */
static void project_queries_keys_values(const rm_compute *compute,
                                        const rm_layer_weights *weights,
                                        const rm_layer_saved *saved, int64_t n_tokens)
{
    const rm_matrix *matrices[] = {&weights->query, &weights->key, &weights->value};
    rm_real *results[] = {saved->q, saved->k, saved->v};
    rm_product products[3];
    for (int i = 0; i < 3; i++)
        products[i] = (rm_product){.n_rows = n_tokens,
                                   .a = saved->attention_input,
                                   .a_stride = matrices[i]->in,
                                   .b = &matrices[i]->forward,
                                   .c = results[i],
                                   .c_stride = matrices[i]->out};
    rm_product_grouped(compute, products, 3);
}

static void rotate(const ringmoe_model *model, const rm_compute *compute, const rm_walk *walk,
                   const rm_layer_saved *saved)
{
    rm_rope_rows rows = {.n_rows = walk->n_sequences * walk->seq_len,
                         .seq_len = walk->seq_len,
                         .first = walk->n_past,
                         .n_heads = model->config.num_attention_heads};
    rm_rope_apply(&model->rope, compute, rows, 1, saved->q);
    rows.n_heads = model->config.num_key_value_heads;
    rm_rope_apply(&model->rope, compute, rows, 1, saved->k);
}

/* Keys and values of the new tokens to their places in the cache. */
static void append_to_cache(const ringmoe_model *model, const rm_walk *walk,
                            const rm_layer_saved *saved, int layer)
{
    int64_t width = (int64_t)model->config.num_key_value_heads * model->config.head_dim;
    size_t bytes = (size_t)(walk->seq_len * width) * sizeof(rm_real);
    memcpy(walk->cache->keys[layer] + walk->n_past * width, saved->k, bytes);
    memcpy(walk->cache->values[layer] + walk->n_past * width, saved->v, bytes);
}

/* middle = attention's part of the residual sum. */
static void attend(ringmoe_model *model, const rm_compute *compute, const rm_walk *walk,
                   int layer)
{
    const rm_layer_saved *saved = &model->saved[layer];
    const rm_real *keys = saved->k, *values = saved->v;
    int64_t n_tokens = walk->n_sequences * walk->seq_len;
    project_queries_keys_values(compute, &model->layers[layer], saved, n_tokens);
    rotate(model, compute, walk, saved);
    if (walk->cache) {
        append_to_cache(model, walk, saved, layer);
        keys = walk->cache->keys[layer];
        values = walk->cache->values[layer];
    }
    rm_attention_forward(compute, rm_model_attention_shape(model, walk), saved->q, keys, values,
                         saved->attended, saved->logsumexp);
    rm_linear(compute, &model->layers[layer].output, n_tokens, saved->attended, saved->middle,
              false);
}

static void add_counts(const ringmoe_model *model, const rm_walk *walk, int layer)
{
    int n_experts = model->config.num_local_experts;
    if (!walk->counts) return;
    int64_t *sums = walk->counts + (int64_t)layer * n_experts;
    for (int expert = 0; expert < n_experts; expert++)
        sums[expert] += model->layer_counts[expert];
}

static ringmoe_status route_through_experts(ringmoe_model *model, const rm_walk *walk,
                                            int layer, rm_pass_result *result)
{
    const rm_layer_weights *weights = &model->layers[layer];
    const rm_layer_saved *saved = &model->saved[layer];
    rm_moe_pass pass = rm_layer_pass(model, walk, layer);
    ringmoe_moe_stats stats;
    RM_TRY(rm_moe_layer_forward(model->mesh, &weights->settings, &weights->moe, saved->moe,
                                &pass, walk->n_sequences * walk->seq_len, saved->ffn_input,
                                rm_stream_after(model, layer), &stats, model->layer_counts));
    add_counts(model, walk, layer);
    int n_moe_layers = rm_moe_layer_count(&model->config);
    result->balance_loss += stats.balance_loss / n_moe_layers;
    result->z_loss += stats.z_loss / n_moe_layers;
    result->n_dropped += stats.n_dropped;
    return RINGMOE_OK;
}

/* The stream after the layer = the feed-forward's part of the residual sum. */
static ringmoe_status feed_forward(ringmoe_model *model, const rm_compute *compute,
                                   const rm_walk *walk, int layer, rm_pass_result *result)
{
    rm_layer_saved *saved = &model->saved[layer];
    int64_t n_tokens = walk->n_sequences * walk->seq_len, offsets[] = {0, n_tokens};
    bool finite =
        rm_norm_forward(compute, rm_model_norm_shape(model, n_tokens), saved->x, saved->middle,
                        model->layers[layer].ffn_norm, saved->ffn_input, saved->ffn_rstd);
    note_layer(result, finite, layer);
    if (!rm_layer_is_dense(&model->config, layer))
        return route_through_experts(model, walk, layer, result);
    rm_swiglu_rows rows = {.n_experts = 1, .offsets = offsets, .x = saved->ffn_input};
    rm_swiglu_forward(compute, &model->layers[layer].dense, &rows, &saved->dense,
                      rm_stream_after(model, layer), NULL);
    return RINGMOE_OK;
}

ringmoe_status rm_model_forward(ringmoe_model *model, const rm_walk *walk,
                                rm_pass_result *result)
{
    const rm_compute *compute = &model->mesh->context->compute;
    int64_t n_tokens = walk->n_sequences * walk->seq_len;
    int n_layers = model->config.num_hidden_layers;
    *result = (rm_pass_result){.first_bad_layer = -1};
    rm_rope_prepare(&model->rope, compute, walk->n_past + walk->seq_len);
    rm_embedding_forward(compute, n_tokens, model->config.hidden_size, walk->tokens,
                         (rm_vocab_rows){0, model->config.vocab_size}, model->embedding,
                         model->saved[0].x);
    for (int layer = 0; layer < n_layers; layer++) {
        norm_before_attention(model, compute, layer, n_tokens, result);
        attend(model, compute, walk, layer);
        RM_TRY(feed_forward(model, compute, walk, layer, result));
    }
    bool finite = rm_norm_forward(compute, rm_model_norm_shape(model, n_tokens),
                                  model->saved[n_layers - 1].middle, model->last_x,
                                  model->final_norm, model->head_input, model->last_rstd);
    note_layer(result, finite, n_layers - 1);
    return RINGMOE_OK;
}

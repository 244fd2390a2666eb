/* SPDX-License-Identifier: MIT
 *
 * A pass of generation: the next tokens of several texts, each at its own position, with the
 * keys and values of what was before in a cache.
 *
 *   rows of a pass   run 0: place 3, tokens 17 18 19 | run 1: place 0, token 240 | ...
 *   cache            place 0: positions 0 .. capacity - 1 | place 1 | ...     for each layer
 *
 * All rows go through the products together; only attention looks at runs.
 */
#include <string.h>

#include "model/expert_cache.h"
#include "model/stage.h"
#include "tensor/team.h"

void rm_kv_cache_layout(rm_kv_cache *cache, const ringmoe_model *model, int n_places,
                        int64_t capacity, rm_arena *arena)
{
    int n_layers = model->config.num_hidden_layers;
    int64_t row = rm_model_kv_width(model);
    *cache = (rm_kv_cache){.n_places = n_places, .capacity = capacity};
    cache->keys = RM_TAKE(arena, n_layers, rm_real *);
    cache->values = RM_TAKE(arena, n_layers, rm_real *);
    cache->positions = RM_TAKE(arena, model->settings.max_tokens, int64_t);
    cache->logit_rows = RM_TAKE(arena, n_places, int32_t);
    cache->views = RM_TAKE(arena, n_places, rm_decode_cache);
    cache->workspace =
        RM_TAKE(arena,
                rm_attention_decode_workspace(n_places, n_places * capacity,
                                              model->parts.n_heads, model->config.head_dim),
                rm_real);
    for (int i = 0; i < n_layers; i++) {
        if (!rm_model_has_layer(model, i)) continue;
        rm_real *keys = RM_TAKE(arena, n_places * capacity * row, rm_real);
        rm_real *values = RM_TAKE(arena, n_places * capacity * row, rm_real);
        if (!arena->base) continue;
        cache->keys[i] = keys;
        cache->values[i] = values;
    }
}

static ringmoe_status check_run(const ringmoe_model *model, const rm_decode_batch *batch,
                                const rm_decode_run *run)
{
    const rm_kv_cache *cache = batch->cache;
    int64_t limit = cache->capacity, most = batch->generated ? 1 : INT64_MAX;
    if (limit > model->config.max_position_embeddings)
        limit = model->config.max_position_embeddings;
    if (run->place >= 0 && run->place < cache->n_places && run->n_past >= 0 &&
        run->n_new >= 1 && run->n_new <= limit && run->n_new <= most &&
        run->n_past <= limit - run->n_new)
        return RINGMOE_OK;
    return rm_fail(&model->mesh->context->error, RINGMOE_ERROR_ARGUMENT,
                   "%lld new tokens after %lld in place %d; at most %lld in all, in places "
                   "0..%d",
                   (long long)run->n_new, (long long)run->n_past, run->place, (long long)limit,
                   cache->n_places - 1);
}

static ringmoe_status check_batch(const ringmoe_model *model, const rm_decode_batch *batch,
                                  int64_t *n_rows)
{
    *n_rows = 0;
    for (int i = 0; i < batch->n_runs; i++) {
        RM_TRY(check_run(model, batch, &batch->runs[i]));
        *n_rows += batch->runs[i].n_new;
        if (*n_rows > model->settings.max_tokens) break;
    }
    if (*n_rows >= 1 && *n_rows <= model->settings.max_tokens) return RINGMOE_OK;
    return rm_fail(&model->mesh->context->error, RINGMOE_ERROR_ARGUMENT,
                   "%lld tokens or more in a pass; this model was made for 1..%lld",
                   (long long)*n_rows, (long long)model->settings.max_tokens);
}

/* Notes each row's position; returns the greatest and 1. */
static int64_t set_positions(const rm_decode_batch *batch)
{
    int64_t *position = batch->cache->positions, end = 0;
    for (int i = 0; i < batch->n_runs; i++) {
        const rm_decode_run *run = &batch->runs[i];
        for (int64_t j = 0; j < run->n_new; j++) *position++ = run->n_past + j;
        if (run->n_past + run->n_new > end) end = run->n_past + run->n_new;
    }
    return end;
}

/* Keys and values of a run's new tokens join those of its place; *view is all of them. */
static void append_run(const rm_walk *walk, const rm_layer_saved *saved, int layer,
                       const rm_decode_run *run, int64_t row, rm_decode_cache *view)
{
    const rm_kv_cache *cache = walk->decode->cache;
    int64_t width = walk->model->parts.key_width;
    rm_real *keys = cache->keys[layer] + run->place * cache->capacity * width;
    rm_real *values = cache->values[layer] + run->place * cache->capacity * width;
    size_t bytes = (size_t)(run->n_new * width) * sizeof(rm_real);
    memcpy(keys + run->n_past * width, saved->k + row * width, bytes);
    memcpy(values + run->n_past * width, saved->v + row * width, bytes);
    *view = (rm_decode_cache){keys, values, run->n_past + run->n_new};
}

/* Prompts: the queries of each run, one run after the other. */
static void attend_prompts(const rm_walk *walk, const rm_layer_saved *saved)
{
    const rm_decode_batch *batch = walk->decode;
    int64_t row = 0, width = walk->model->parts.query_width;
    rm_attention_shape shape = rm_walk_attention_shape(walk);
    for (int i = 0; i < batch->n_runs; row += batch->runs[i++].n_new) {
        const rm_decode_cache *view = &batch->cache->views[i];
        shape.n_queries = batch->runs[i].n_new;
        shape.n_past = batch->runs[i].n_past;
        rm_attention_forward(walk->compute, shape, saved->q + row * width, view->k, view->v,
                             saved->attended + row * width, NULL);
    }
}

void rm_decode_attend(const rm_walk *walk, const rm_layer_saved *saved, int layer)
{
    const rm_decode_batch *batch = walk->decode;
    const rm_model_parts *parts = &walk->model->parts;
    int64_t row = 0;
    for (int i = 0; i < batch->n_runs; row += batch->runs[i++].n_new)
        append_run(walk, saved, layer, &batch->runs[i], row, &batch->cache->views[i]);
    if (!batch->generated) {
        attend_prompts(walk, saved);
        return;
    }
    rm_decode_shape shape = {.n_sequences = batch->n_runs,
                             .n_heads = parts->n_heads,
                             .n_kv_heads = parts->n_kv_heads,
                             .head_dim = walk->model->config.head_dim};
    rm_attention_decode(walk->compute, shape, batch->cache->views, saved->q, saved->attended,
                        batch->cache->workspace);
}

typedef struct decoding {
    const rm_decode_batch *batch;
    int64_t n_rows, n_positions;
    rm_real *logits;
} decoding;

/* A stage's part of a pass, which the threads go through together. */
typedef struct held_stage {
    const rm_walk *walk;
    rm_real *logits;
    ringmoe_status status;
} held_stage;

static ringmoe_status run_stage(const rm_walk *walk, rm_real *logits)
{
    RM_TRY(rm_stage_forward(walk));
    return walk->stage->is_last ? rm_head_decode(walk, logits) : RINGMOE_OK;
}

static void run_held(void *user)
{
    held_stage *held = user;
    held->status = run_stage(held->walk, held->logits);
}

/* Few rows are nothing but products and attention; where experts are brought from a file, that
 * is done in parallel regions. */
static ringmoe_status run_rows(const rm_walk *walk, rm_real *logits)
{
    held_stage held = {.walk = walk, .logits = logits};
    bool is_short = walk->decode->generated && walk->n_tokens <= RM_ROWS_AT_ONCE;
    if (!is_short || walk->model->expert_cache) return run_stage(walk, logits);
    rm_team_hold(walk->compute, run_held, &held);
    return held.status;
}

/* The label's step and microbatch tell where in the texts a rank is. */
static ringmoe_status decode_stage(ringmoe_model *model, const ringmoe_stage_call *call,
                                   void *user)
{
    const decoding *work = user;
    rm_pass_result result = {.first_bad_layer = -1};
    rm_batch rows = {.tokens = work->batch->tokens,
                     .n_sequences = 1,
                     .seq_len = work->n_rows,
                     .step = work->n_positions,
                     .microbatch = (int32_t)work->n_rows,
                     .evaluate = true};
    rm_walk walk = rm_walk_of(model, &rows, call);
    walk.n_positions = work->n_positions;
    walk.decode = work->batch;
    walk.operation = walk.moe.label.operation = RM_OPERATION_GENERATE;
    walk.result = &result;
    RM_TRY(run_rows(&walk, work->logits));
    return rm_expert_cache_settle(model);
}

ringmoe_status rm_model_decode(ringmoe_model *model, const rm_decode_batch *batch,
                               rm_real *logits)
{
    const rm_axis *axis = &model->mesh->pipeline;
    decoding work = {.batch = batch, .logits = logits};
    RM_TRY(check_batch(model, batch, &work.n_rows));
    work.n_positions = set_positions(batch);
    RM_TRY(rm_through_stages(model, work.n_rows, decode_stage, &work));
    if (axis->size == 1) return RINGMOE_OK;
    int64_t n_wanted = 0;
    for (int i = 0; i < batch->n_runs; i++) n_wanted += batch->runs[i].wants_logits;
    return rm_broadcast(axis, logits, n_wanted * model->config.vocab_size, RM_MPI_REAL,
                        axis->size - 1, &model->mesh->context->error);
}

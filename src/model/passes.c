/* SPDX-License-Identifier: MIT
 *
 * The three ways through a model: training, evaluation, and generation with a cache.
 */
#include "model/state.h"

#include <math.h>

#include "nn/loss.h"

static ringmoe_status check_batch(const ringmoe_model *model, const rm_batch *batch)
{
    rm_error *error = &model->mesh->context->error;
    if (batch->seq_len < 1 || batch->seq_len > model->config.max_position_embeddings)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "sequences of %lld tokens; the model takes 1..%d "
                       "(max_position_embeddings)",
                       (long long)batch->seq_len, model->config.max_position_embeddings);
    if (batch->n_sequences < 0 || batch->n_sequences > model->max_tokens / batch->seq_len)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "%lld sequences of %lld tokens in a microbatch; this model was made for "
                       "at most %lld tokens",
                       (long long)batch->n_sequences, (long long)batch->seq_len,
                       (long long)model->max_tokens);
    return RINGMOE_OK;
}

static rm_walk walk_of_batch(const rm_batch *batch, rm_operation operation)
{
    rm_walk walk = {
        .tokens = batch->tokens, .n_sequences = batch->n_sequences, .seq_len = batch->seq_len};
    walk.moe.label = (rm_label){
        .step = batch->step, .microbatch = batch->microbatch, .operation = operation};
    walk.moe.microbatch = batch->global_microbatch;
    return walk;
}

/* Logits and their loss; the logits become the gradients of scale times the loss. */
static void measure_loss(ringmoe_model *model, const rm_batch *batch, rm_real scale,
                         rm_pass_result *result)
{
    const rm_compute *compute = &model->mesh->context->compute;
    int64_t n_tokens = batch->n_sequences * batch->seq_len;
    if (n_tokens == 0) return;
    rm_linear(compute, &model->head, n_tokens, model->head_input, model->logits, false);
    ringmoe_context *context = model->mesh->context;
    rm_loss_shape shape = {.n_tokens = n_tokens,
                           .vocab = model->config.vocab_size,
                           .tensor = &model->mesh->tensor};
    rm_cross_entropy(compute, &shape, batch->targets, scale / (rm_real)n_tokens, model->logits,
                     model->losses, NULL, &context->times, &context->error);
    double sum = 0;
    for (int64_t t = 0; t < n_tokens; t++) sum += model->losses[t];
    result->loss = sum / (double)n_tokens;
    if (!isfinite(result->loss) && result->first_bad_layer < 0)
        result->first_bad_layer = model->config.num_hidden_layers;
}

ringmoe_status rm_model_train_pass(ringmoe_model *model, const rm_batch *batch, rm_real scale,
                                   rm_sink dense, const rm_sink *experts,
                                   const int64_t *balance_counts, int64_t *counts,
                                   rm_pass_result *result)
{
    if (model->use != RM_MODEL_TRAINING)
        return rm_fail(&model->mesh->context->error, RINGMOE_ERROR_STATE,
                       "this model was made for inference and cannot be trained");
    RM_TRY(check_batch(model, batch));
    rm_walk walk = walk_of_batch(batch, RM_OPERATION_DISPATCH);
    walk.moe.train = true;
    walk.moe.balance_counts = balance_counts;
    walk.counts = counts;
    RM_TRY(rm_model_forward(model, &walk, result));
    measure_loss(model, batch, scale, result);
    return rm_model_backward(model, &walk, scale, dense, experts);
}

ringmoe_status rm_model_eval_pass(ringmoe_model *model, const rm_batch *batch,
                                  rm_pass_result *result)
{
    RM_TRY(check_batch(model, batch));
    rm_walk walk = walk_of_batch(batch, RM_OPERATION_EVALUATE);
    RM_TRY(rm_model_forward(model, &walk, result));
    measure_loss(model, batch, 0, result);
    return RINGMOE_OK;
}

static ringmoe_status check_decode(const ringmoe_model *model, const rm_kv_cache *cache,
                                   int64_t n_past, int64_t n_new)
{
    int64_t limit = cache->capacity;
    if (limit > model->config.max_position_embeddings)
        limit = model->config.max_position_embeddings;
    if (n_past >= 0 && n_new >= 1 && n_new <= model->max_tokens && n_past <= limit - n_new)
        return RINGMOE_OK;
    return rm_fail(&model->mesh->context->error, RINGMOE_ERROR_ARGUMENT,
                   "%lld new tokens after %lld; at most %lld at a time and %lld in all",
                   (long long)n_new, (long long)n_past, (long long)model->max_tokens,
                   (long long)limit);
}

/* The label's step and microbatch tell where in the text a rank is. */
ringmoe_status rm_model_decode(ringmoe_model *model, rm_kv_cache *cache, int64_t n_past,
                               const int32_t *tokens, int64_t n_new, rm_real *logits)
{
    RM_TRY(check_decode(model, cache, n_past, n_new));
    rm_walk walk = {
        .tokens = tokens, .n_sequences = 1, .seq_len = n_new, .n_past = n_past, .cache = cache};
    walk.moe.label = (rm_label){
        .step = n_past, .microbatch = (int32_t)n_new, .operation = RM_OPERATION_GENERATE};
    rm_pass_result result;
    RM_TRY(rm_model_forward(model, &walk, &result));
    const rm_real *last = model->head_input + (n_new - 1) * model->config.hidden_size;
    rm_linear(&model->mesh->context->compute, &model->head, 1, last, logits, false);
    return RINGMOE_OK;
}

/* SPDX-License-Identifier: MIT
 *
 * A stage of the pipeline: what a schedule's operations mean for a model.
 *
 *                 first stage              between            last stage
 *   forward       tokens -> layers         input -> layers    input -> layers -> loss
 *                        -> output                -> output
 *   backward      d_output -> embedding    d_output           loss -> d_input
 *                                                 -> d_input
 *
 * A stage of the whole model is first and last at once; a stage without layers passes on what
 * it is given.
 */
#include <assert.h>
#include <string.h>

#include "model/backward.h"
#include "model/expert_cache.h"
#include "model/stage.h"

ringmoe_status rm_batch_check(const ringmoe_model *model, const rm_batch *batch)
{
    rm_error *error = &model->mesh->context->error;
    if (batch->seq_len < 1 || batch->seq_len > model->config.max_position_embeddings)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "sequences of %lld tokens; the model takes 1..%d "
                       "(max_position_embeddings)",
                       (long long)batch->seq_len, model->config.max_position_embeddings);
    if (batch->n_sequences < 0 ||
        batch->n_sequences > model->settings.max_tokens / batch->seq_len)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "%lld sequences of %lld tokens in a microbatch; this model was made for "
                       "at most %lld tokens",
                       (long long)batch->n_sequences, (long long)batch->seq_len,
                       (long long)model->settings.max_tokens);
    return RINGMOE_OK;
}

ringmoe_status rm_training_check(const ringmoe_model *model)
{
    if (model->settings.use == RM_MODEL_TRAINING) return RINGMOE_OK;
    return rm_fail(&model->mesh->context->error, RINGMOE_ERROR_STATE,
                   "this model was made for inference and cannot be trained");
}

rm_walk rm_walk_of(ringmoe_model *model, const rm_batch *batch, const ringmoe_stage_call *call)
{
    assert(call->chunk < model->n_chunks && call->slot < model->stages[call->chunk].n_slots);
    rm_walk walk = {.model = model,
                    .compute = &model->mesh->context->compute,
                    .stage = &model->stages[call->chunk],
                    .slot = call->slot,
                    .input = call->input,
                    .output = call->output,
                    .tokens = batch->tokens,
                    .n_sequences = batch->n_sequences,
                    .seq_len = batch->seq_len,
                    .n_positions = batch->seq_len,
                    .n_tokens = batch->n_sequences * batch->seq_len,
                    .operation = batch->evaluate ? RM_OPERATION_EVALUATE : RM_OPERATION_FORWARD,
                    .layer_losses = batch->layer_losses};
    walk.moe.label = (rm_label){.step = batch->step,
                                .microbatch = batch->microbatch,
                                .operation = batch->evaluate ? RM_OPERATION_EVALUATE
                                                             : RM_OPERATION_DISPATCH};
    walk.moe.microbatch = batch->global_microbatch;
    walk.moe.train = !batch->evaluate;
    return walk;
}

ringmoe_status rm_model_forward_stage(ringmoe_model *model, const rm_batch *batch,
                                      const ringmoe_stage_call *call,
                                      const int64_t *balance_counts, int64_t *counts,
                                      rm_pass_result *result)
{
    *result = (rm_pass_result){.first_bad_layer = -1};
    RM_TRY(rm_batch_check(model, batch));
    rm_walk walk = rm_walk_of(model, batch, call);
    walk.moe.balance_counts = balance_counts;
    walk.counts = counts;
    walk.result = result;
    RM_TRY(rm_stage_forward(&walk));
    if (walk.stage->is_last) RM_TRY(rm_head_forward(&walk, batch));
    return rm_expert_cache_settle(model);
}

/* Where the stream's gradient is kept while it goes through the stage: in the caller's memory
 * but for the first stage, whose weights' half finds it again. */
static rm_real *stream_gradient(const ringmoe_model *model, const rm_stage *stage,
                                const ringmoe_stage_call *call)
{
    if (!stage->is_first) return call->d_input;
    return stage->d_embedded ? stage->d_embedded[call->slot] : model->backward.d_stream;
}

ringmoe_status rm_model_backward_stage(ringmoe_model *model, const rm_batch *batch,
                                       const ringmoe_stage_call *call, rm_sink dense,
                                       const rm_sink *experts, const int64_t *balance_counts)
{
    static const rm_operation operations[] = {
        [RINGMOE_STAGE_BACKWARD] = RM_OPERATION_BACKWARD,
        [RINGMOE_STAGE_BACKWARD_INPUT] = RM_OPERATION_BACKWARD_INPUT,
        [RINGMOE_STAGE_BACKWARD_WEIGHT] = RM_OPERATION_BACKWARD_WEIGHT};
    int n_moe_layers = rm_moe_layer_count(&model->config);
    RM_TRY(rm_training_check(model));
    rm_gradient_pass pass = {
        .walk = rm_walk_of(model, batch, call),
        .batch = batch,
        .part = call->operation,
        .inputs = call->operation != RINGMOE_STAGE_BACKWARD_WEIGHT,
        .weights = call->operation != RINGMOE_STAGE_BACKWARD_INPUT,
        .aux_scale = n_moe_layers ? batch->scale / (rm_real)n_moe_layers : 0,
        .d_stream = stream_gradient(model, &model->stages[call->chunk], call),
        .dense = dense,
        .experts = experts};
    size_t bytes = (size_t)(pass.walk.n_tokens * model->config.hidden_size) * sizeof(rm_real);
    pass.walk.operation = operations[call->operation];
    pass.walk.moe.balance_counts = balance_counts;
    if (call->d_output && pass.inputs) memcpy(pass.d_stream, call->d_output, bytes);
    return rm_stage_backward(&pass);
}

/* SPDX-License-Identifier: MIT */
#include "train/accumulate.h"

#include "base/clock.h"

static int64_t global_microbatch(const ringmoe_trainer *trainer, int local)
{
    int n_local = trainer->n_microbatches / trainer->mesh->dense.size;
    return (int64_t)trainer->mesh->dense.rank * n_local + local;
}

static void load_tokens(ringmoe_trainer *trainer, int64_t microbatch)
{
    int64_t n_sequences = trainer->settings.microbatch;
    for (int64_t row = 0; row < n_sequences; row++)
        rm_batch_buffer_fill(&trainer->batch, row, trainer->data,
                             rm_order_first_token(&trainer->order, trainer->steps_done,
                                                  microbatch * n_sequences + row));
}

/* The microbatch of a call; only the first and the last stage read its tokens. */
static rm_batch batch_of(ringmoe_trainer *trainer, const ringmoe_stage_call *call)
{
    int64_t microbatch = global_microbatch(trainer, call->microbatch);
    bool ends = call->stage == 0 || call->stage == trainer->stages.partition.n_stages - 1;
    if (ends) load_tokens(trainer, microbatch);
    return (rm_batch){
        .tokens = trainer->batch.tokens,
        .targets = trainer->batch.targets,
        .n_sequences = trainer->settings.microbatch,
        .seq_len = trainer->settings.seq_len,
        .step = call->step,
        .microbatch = call->microbatch,
        .global_microbatch = microbatch,
        .scale = (rm_real)1 / (rm_real)trainer->n_microbatches,
        .layer_losses = rm_measures_layers(&trainer->measures, microbatch),
    };
}

static ringmoe_status forward(ringmoe_trainer *trainer, const rm_batch *batch,
                              const ringmoe_stage_call *call)
{
    rm_pass_result result;
    rm_measures *measures = &trainer->measures;
    RM_TRY(rm_model_forward_stage(trainer->model, batch, call, measures->last_counts,
                                  measures->counts, &result));
    rm_measures_record(measures, batch->global_microbatch, &result);
    return RINGMOE_OK;
}

static ringmoe_status backward(ringmoe_trainer *trainer, const rm_batch *batch,
                               const ringmoe_stage_call *call)
{
    rm_gradients *gradients = &trainer->gradients;
    const int64_t *balance_counts = trainer->measures.last_counts;
    if (call->operation == RINGMOE_STAGE_BACKWARD_INPUT)
        return rm_model_backward_stage(trainer->model, batch, call, (rm_sink){0}, NULL,
                                       balance_counts);
    rm_gradients_begin(gradients, call->chunk, call->microbatch);
    RM_TRY(rm_model_backward_stage(trainer->model, batch, call, gradients->dense_sink,
                                   gradients->expert_sinks, balance_counts));
    return rm_gradients_end(gradients, call->chunk, call->microbatch);
}

/* A ringmoe_stage_function. */
static ringmoe_status run_stage(void *user, const ringmoe_stage_call *call)
{
    ringmoe_trainer *trainer = user;
    rm_batch batch = batch_of(trainer, call);
    if (call->operation == RINGMOE_STAGE_FORWARD) return forward(trainer, &batch, call);
    return backward(trainer, &batch, call);
}

void rm_trainer_at(const ringmoe_trainer *trainer, rm_operation operation)
{
    rm_progress_at(&trainer->mesh->context->progress,
                   (rm_label){.step = trainer->steps_done + 1,
                              .layer = -1,
                              .microbatch = -1,
                              .operation = operation});
}

/* All microbatches through this rank's stages. */
static ringmoe_status run_stages(ringmoe_trainer *trainer, ringmoe_step_metrics *metrics)
{
    rm_shadowing *shadowing = &trainer->shadowing;
    rm_trainer_at(trainer, RM_OPERATION_SHADOW);
    RM_TRY(rm_shadowing_begin(shadowing, &trainer->settings, trainer->model,
                              trainer->n_microbatches, trainer->measures.last_counts));
    metrics->shadowed_experts = shadowing->n_experts;
    ringmoe_status status =
        ringmoe_pipeline_run(trainer->stages.pipeline, trainer->steps_done + 1, run_stage,
                             trainer, &trainer->pipeline_times);
    rm_shadowing_end(shadowing, trainer->model, &trainer->mesh->context->times);
    return status;
}

ringmoe_status rm_accumulate(ringmoe_trainer *trainer, ringmoe_step_metrics *metrics)
{
    ringmoe_context *context = trainer->mesh->context;
    rm_measures_clear(&trainer->measures);
    ringmoe_status status = run_stages(trainer, metrics);
    double start = rm_clock_seconds();
    rm_trainer_at(trainer, RM_OPERATION_AGREE);
    RM_TRY(rm_agree(&context->world, status, &context->error));
    context->times.wait += rm_clock_seconds() - start;
    RM_TRY(rm_measures_gather(&trainer->measures, trainer->mesh));
    rm_measures_summarize(&trainer->measures, metrics);
    rm_trainer_at(trainer, RM_OPERATION_REDUCE);
    RM_TRY(rm_gradients_finish(&trainer->gradients));
    return rm_measures_check(&trainer->measures, trainer->steps_done + 1, &context->error);
}

/* SPDX-License-Identifier: MIT
 *
 * One optimizer step, top to bottom:
 *
 *   for each of this rank's microbatches: tokens -> forward, backward -> leaf of the trees
 *   bring losses together, check them    -> all ranks go on or none
 *   finish the trees, gradient norm, check it
 *   AdamW on this rank's shards, which packs them; gather the other ranks' weights and pack
 *   those, move the router biases, keep the experts' counts for the next step's balance loss
 *
 * Nothing before the last line changes weights, moments or biases.
 */
#include <math.h>

#include "base/clock.h"
#include "train/schedule.h"
#include "train/trainer.h"

static void load_microbatch(ringmoe_trainer *trainer, int64_t microbatch)
{
    int64_t n_sequences = trainer->settings.microbatch;
    for (int64_t row = 0; row < n_sequences; row++)
        rm_batch_buffer_fill(&trainer->batch, row, trainer->data,
                             rm_order_first_token(&trainer->order, trainer->steps_done,
                                                  microbatch * n_sequences + row));
}

static ringmoe_status run_microbatch(ringmoe_trainer *trainer, int local, int64_t microbatch)
{
    rm_gradients *gradients = &trainer->gradients;
    rm_pass_result result;
    rm_batch batch = {
        .tokens = trainer->batch.tokens,
        .targets = trainer->batch.targets,
        .n_sequences = trainer->settings.microbatch,
        .seq_len = trainer->settings.seq_len,
        .step = trainer->steps_done + 1,
        .microbatch = local,
        .global_microbatch = microbatch,
        .scale = (rm_real)1 / (rm_real)trainer->n_microbatches,
    };
    load_microbatch(trainer, microbatch);
    rm_gradients_begin(gradients, local);
    RM_TRY(rm_model_train_pass(trainer->model, &batch, gradients->dense_sink,
                               gradients->expert_sinks, trainer->measures.last_counts,
                               trainer->measures.counts, &result));
    rm_gradients_end(gradients);
    rm_measures_record(&trainer->measures, microbatch, &result);
    return RINGMOE_OK;
}

static ringmoe_status run_microbatches(ringmoe_trainer *trainer)
{
    const rm_axis *axis = &trainer->mesh->dense;
    int n_local = trainer->n_microbatches / axis->size;
    for (int i = 0; i < n_local; i++)
        RM_TRY(run_microbatch(trainer, i, (int64_t)axis->rank * n_local + i));
    return RINGMOE_OK;
}

/* All ranks leave with the same status, and with the losses unless a rank failed. */
static ringmoe_status accumulate(ringmoe_trainer *trainer, ringmoe_step_metrics *metrics)
{
    ringmoe_context *context = trainer->mesh->context;
    rm_measures_clear(&trainer->measures);
    ringmoe_status status = run_microbatches(trainer);
    double start = rm_clock_seconds();
    status = rm_agree(&trainer->mesh->dense, status, &context->error);
    context->times.wait += rm_clock_seconds() - start;
    if (status == RINGMOE_OK) status = rm_measures_gather(&trainer->measures, trainer->mesh);
    if (status != RINGMOE_OK) return status;
    rm_measures_summarize(&trainer->measures, metrics);
    return rm_measures_check(&trainer->measures, trainer->steps_done + 1, &context->error);
}

static ringmoe_status check_norm(const ringmoe_trainer *trainer, double norm)
{
    if (isfinite(norm)) return RINGMOE_OK;
    int64_t block = rm_gradients_bad_block(&trainer->gradients);
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    return rm_fail(
        &trainer->mesh->context->error, RINGMOE_ERROR_NUMERIC,
        "step %lld: the gradient norm is %g; the first gradient that is not finite is "
        "of %s; the weights are those before the step: try a lower lr",
        (long long)trainer->steps_done + 1, norm,
        block < 0 ? "no one parameter" : rm_block_parameter(table, block)->name);
}

static void update_router_biases(ringmoe_trainer *trainer)
{
    rm_real *biases = rm_model_router_bias(trainer->model);
    const ringmoe_model_config *config = ringmoe_model_get_config(trainer->model);
    if (!biases) return;
    ringmoe_moe_settings settings;
    ringmoe_moe_settings_default(&settings);
    settings.n_experts = config->num_local_experts;
    settings.top_k = config->num_experts_per_tok;
    settings.bias_rate = (ringmoe_real)config->router_bias_rate;
    for (int layer = 0; layer < config->num_hidden_layers; layer++) {
        int64_t at = (int64_t)layer * settings.n_experts;
        if (!config->is_dense_layer[layer])
            rm_moe_bias_update(&settings, trainer->measures.counts + at, biases + at);
    }
}

static ringmoe_status update_weights(ringmoe_trainer *trainer, double norm)
{
    const ringmoe_train_settings *settings = &trainer->settings;
    rm_optimizer_update(&trainer->optimizer, settings, trainer->steps_done + 1,
                        rm_clip_factor(norm, settings->clip_norm), &trainer->gradients,
                        trainer->shards, trainer->model);
    RM_TRY(rm_weights_gather(trainer->model, trainer->shards));
    rm_optimizer_pack_rest(&trainer->optimizer, trainer->model);
    update_router_biases(trainer);
    rm_measures_finish(&trainer->measures);
    return RINGMOE_OK;
}

/* What is known before the step; the rest tells that it is not known. */
static void begin_metrics(const ringmoe_trainer *trainer, ringmoe_step_metrics *metrics)
{
    const ringmoe_train_settings *settings = &trainer->settings;
    *metrics = (ringmoe_step_metrics){
        .step = trainer->steps_done + 1,
        .loss = NAN,
        .grad_norm = NAN,
        .lr = rm_learning_rate(settings, trainer->steps_done + 1),
        .tokens = settings->global_batch * settings->seq_len,
    };
}

static void fill_times(const ringmoe_trainer *trainer, double step_seconds,
                       double optimizer_seconds, ringmoe_step_metrics *metrics)
{
    const rm_comm_times *times = &trainer->mesh->context->times;
    metrics->tokens_per_s = (double)metrics->tokens / step_seconds;
    metrics->step_ms = 1e3 * step_seconds;
    metrics->exchange_ms = 1e3 * times->exchange;
    metrics->wait_ms = 1e3 * times->wait;
    metrics->optimizer_ms = 1e3 * optimizer_seconds;
    metrics->compute_ms =
        metrics->step_ms - metrics->exchange_ms - metrics->wait_ms - metrics->optimizer_ms;
}

static ringmoe_status step(ringmoe_trainer *trainer, ringmoe_step_metrics *metrics)
{
    rm_comm_times *times = &trainer->mesh->context->times;
    double start = rm_clock_seconds();
    *times = (rm_comm_times){0};
    begin_metrics(trainer, metrics);
    RM_TRY(accumulate(trainer, metrics));
    RM_TRY(rm_gradients_reduce(&trainer->gradients, trainer->shards, &metrics->grad_norm));
    RM_TRY(check_norm(trainer, metrics->grad_norm));
    double update_start = rm_clock_seconds(), exchange_before = times->exchange;
    RM_TRY(update_weights(trainer, metrics->grad_norm));
    double end = rm_clock_seconds(), gather = times->exchange - exchange_before;
    trainer->steps_done++;
    fill_times(trainer, end - start, end - update_start - gather, metrics);
    return RINGMOE_OK;
}

ringmoe_status ringmoe_trainer_step(ringmoe_trainer *trainer, ringmoe_step_metrics *metrics)
{
    ringmoe_step_metrics unwanted;
    if (!trainer) return RINGMOE_ERROR_ARGUMENT;
    ringmoe_status status = step(trainer, metrics ? metrics : &unwanted);
    if (status != RINGMOE_OK) rm_gradients_clear(&trainer->gradients);
    return status;
}

/* SPDX-License-Identifier: MIT
 *
 * One optimizer step, top to bottom:
 *
 *   all microbatches through the stages, forward and backward (accumulate.c): losses, which are
 *   checked, and the sums of gradients  -> all ranks go on or none
 *   a tied head's gradient to the embedding's, gradient norm, check it
 *   a save beside training that has not had all values yet copies them (save.h)
 *   AdamW on this rank's shards, which packs them; gather the other ranks' weights and pack
 *   those, move the router biases, keep the experts' counts for the next step's balance loss
 *
 * Nothing before the last line changes weights, moments or biases.
 */
#include <math.h>

#include "base/clock.h"
#include "train/accumulate.h"
#include "train/schedule.h"

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
        block < 0 ? "no one parameter"
                  : rm_block_parameter(table, trainer->gradients.n_slices, block)->name);
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

/* AdamW on this rank's shards, and everyone's weights to everyone. */
static ringmoe_status update_weights(ringmoe_trainer *trainer, double norm)
{
    const ringmoe_train_settings *settings = &trainer->settings;
    rm_save_keep_values(&trainer->save, trainer->mesh);
    rm_optimizer_update(&trainer->optimizer, settings, trainer->steps_done + 1,
                        rm_clip_factor(norm, settings->clip_norm), &trainer->gradients,
                        trainer->shards, trainer->model);
    double exchange_before = trainer->mesh->context->times.exchange;
    RM_TRY(rm_weights_gather(trainer->model, trainer->shards));
    rm_shadowing_gathered(&trainer->shadowing,
                          trainer->mesh->context->times.exchange - exchange_before,
                          rm_weights_gathered_bytes(trainer->model, trainer->shards));
    RM_TRY(rm_tied_copy_weights(&trainer->tied, trainer->model));
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

/* The sums of gradients are complete: the whole gradient's norm, and what this rank tells the
 * others along with it. */
static ringmoe_status measure_norm(ringmoe_trainer *trainer, ringmoe_step_metrics *metrics)
{
    const rm_comm_times *times = &trainer->mesh->context->times;
    double *figures = trainer->gradients.figures;
    RM_TRY(rm_tied_add_totals(&trainer->tied, trainer->model, &trainer->gradients));
    figures[RM_FIGURE_WAIT_MS] = 1e3 * (times->wait + trainer->pipeline_times.waiting);
    figures[RM_FIGURE_BYTES_WITHIN] = (double)times->bytes_within_node;
    figures[RM_FIGURE_BYTES_BETWEEN] = (double)times->bytes_between_nodes;
    rm_shadowing_tell(&trainer->shadowing, figures);
    RM_TRY(rm_gradients_norm(&trainer->gradients, &metrics->grad_norm));
    rm_shadowing_learn(&trainer->shadowing, figures, trainer->mesh->context->world.size);
    for (int rank = 0; rank < trainer->mesh->context->world.size; rank++) {
        const double *of_rank = figures + (int64_t)rank * RM_N_RANK_FIGURES;
        metrics->bytes_within_nodes += (int64_t)of_rank[RM_FIGURE_BYTES_WITHIN];
        metrics->bytes_between_nodes += (int64_t)of_rank[RM_FIGURE_BYTES_BETWEEN];
    }
    return RINGMOE_OK;
}

ringmoe_status rm_gradients_of_step(ringmoe_trainer *trainer, ringmoe_step_metrics *metrics)
{
    begin_metrics(trainer, metrics);
    RM_TRY(rm_accumulate(trainer, metrics));
    RM_TRY(measure_norm(trainer, metrics));
    return check_norm(trainer, metrics->grad_norm);
}

static void fill_times(const ringmoe_trainer *trainer, double step_seconds,
                       double optimizer_seconds, ringmoe_step_metrics *metrics)
{
    const rm_comm_times *times = &trainer->mesh->context->times;
    metrics->tokens_per_s = (double)metrics->tokens / step_seconds;
    metrics->step_ms = 1e3 * step_seconds;
    metrics->exchange_ms = 1e3 * times->exchange;
    metrics->wait_ms = 1e3 * times->wait;
    metrics->pipeline_wait_ms = 1e3 * trainer->pipeline_times.waiting;
    metrics->optimizer_ms = 1e3 * optimizer_seconds;
    metrics->compute_ms = metrics->step_ms - metrics->exchange_ms - metrics->wait_ms -
                          metrics->pipeline_wait_ms - metrics->optimizer_ms;
}

static ringmoe_status step(ringmoe_trainer *trainer, ringmoe_step_metrics *metrics)
{
    rm_comm_times *times = &trainer->mesh->context->times;
    double start = rm_clock_seconds();
    *times = (rm_comm_times){0};
    RM_TRY(rm_gradients_of_step(trainer, metrics));
    double update_start = rm_clock_seconds(), exchange_before = times->exchange;
    rm_trainer_at(trainer, RM_OPERATION_OPTIMIZER);
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
    RM_TRY(rm_trainer_check_whole(trainer));
    ringmoe_status status = step(trainer, metrics ? metrics : &unwanted);
    if (status != RINGMOE_OK) rm_gradients_clear(&trainer->gradients);
    rm_progress_leave(&trainer->mesh->context->progress);
    return status;
}

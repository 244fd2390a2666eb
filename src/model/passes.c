/* SPDX-License-Identifier: MIT
 *
 * The whole ways through a model: training on one rank of the pipeline, and evaluation.
 */
#include <string.h>

#include "model/stage.h"

ringmoe_status rm_model_train_pass(ringmoe_model *model, const rm_batch *batch, rm_sink dense,
                                   const rm_sink *experts, const int64_t *balance_counts,
                                   int64_t *counts, rm_pass_result *result)
{
    ringmoe_stage_call call = {.operation = RINGMOE_STAGE_FORWARD};
    RM_TRY(rm_training_check(model));
    if (model->table.placement.partition.n_stages > 1)
        return rm_fail(&model->mesh->context->error, RINGMOE_ERROR_STATE,
                       "a model of %d stages is trained stage by stage",
                       model->table.placement.partition.n_stages);
    RM_TRY(rm_model_forward_stage(model, batch, &call, balance_counts, counts, result));
    call.operation = RINGMOE_STAGE_BACKWARD;
    return rm_model_backward_stage(model, batch, &call, dense, experts, balance_counts);
}

/* --- evaluation --- */

typedef struct evaluation {
    rm_batch batch;
    rm_pass_result result; /* of this rank's stages */
} evaluation;

static ringmoe_status evaluate_stage(ringmoe_model *model, const ringmoe_stage_call *call,
                                     void *user)
{
    evaluation *work = user;
    rm_pass_result made;
    RM_TRY(rm_model_forward_stage(model, &work->batch, call, NULL, NULL, &made));
    work->result.loss += made.loss;
    work->result.n_dropped += made.n_dropped;
    if (work->result.first_bad_layer < 0) work->result.first_bad_layer = made.first_bad_layer;
    return RINGMOE_OK;
}

/* All ranks' results become one. Each figure is on one rank and 0 on the others, so sums are
 * exact. */
static ringmoe_status gather_result(ringmoe_model *model, rm_pass_result *result)
{
    const rm_axis *axis = &model->mesh->pipeline;
    rm_error *error = &model->mesh->context->error;
    int bad = result->first_bad_layer < 0 ? INT32_MAX : result->first_bad_layer;
    if (axis->size == 1) return RINGMOE_OK;
    RM_TRY(rm_allreduce(axis, &result->loss, 1, MPI_DOUBLE, MPI_SUM, error));
    RM_TRY(rm_allreduce(axis, &result->n_dropped, 1, MPI_INT64_T, MPI_SUM, error));
    RM_TRY(rm_allreduce(axis, model->layer_losses, 2 * model->config.num_hidden_layers,
                        MPI_DOUBLE, MPI_SUM, error));
    RM_TRY(rm_allreduce(axis, &bad, 1, MPI_INT, MPI_MIN, error));
    result->first_bad_layer = bad == INT32_MAX ? -1 : bad;
    return RINGMOE_OK;
}

ringmoe_status rm_model_eval_pass(ringmoe_model *model, const rm_batch *batch,
                                  rm_pass_result *result)
{
    size_t n_layers = (size_t)model->config.num_hidden_layers;
    evaluation work = {.batch = *batch, .result = {.first_bad_layer = -1}};
    RM_TRY(rm_batch_check(model, batch));
    work.batch.evaluate = true;
    work.batch.layer_losses = model->layer_losses;
    memset(model->layer_losses, 0, n_layers * sizeof *model->layer_losses);
    RM_TRY(
        rm_through_stages(model, batch->n_sequences * batch->seq_len, evaluate_stage, &work));
    RM_TRY(gather_result(model, &work.result));
    int n_moe_layers = rm_moe_layer_count(&model->config);
    for (size_t layer = 0; n_moe_layers > 0 && layer < n_layers; layer++) {
        work.result.balance_loss += model->layer_losses[layer].balance_loss / n_moe_layers;
        work.result.z_loss += model->layer_losses[layer].z_loss / n_moe_layers;
    }
    *result = work.result;
    return RINGMOE_OK;
}

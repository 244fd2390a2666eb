/* SPDX-License-Identifier: MIT
 *
 * A step of the public layer: forward and backward passes, each agreed over the expert axis
 * before rows move, then the reduction of the gradients. Steps and microbatches are counted
 * here; every exchange carries the count.
 */
#include <string.h>

#include "moe/standalone.h"

/* A pass fails on all ranks of the expert and tensor axes or on none, so that nobody waits for
 * rows. */
static ringmoe_status agree(const ringmoe_moe *layer, ringmoe_status status)
{
    const ringmoe_mesh *mesh = layer->mesh;
    status = rm_agree(&mesh->expert, status, &mesh->context->error);
    return rm_agree(&mesh->tensor, status, &mesh->context->error);
}

/* Tensor ranks sum what they make of the same rows. */
static ringmoe_status agree_on_rows(const ringmoe_moe *layer, int64_t n_tokens)
{
    const ringmoe_mesh *mesh = layer->mesh;
    if (mesh->tensor.size == 1) return RINGMOE_OK;
    return agree(layer, rm_agree_equal(&mesh->tensor, &n_tokens, 1, "n_tokens of tensor ranks",
                                       &mesh->context->error));
}

static ringmoe_status check_forward(const ringmoe_moe *layer, int64_t n_tokens,
                                    const rm_real *x, int train, const rm_real *y)
{
    rm_error *error = &layer->mesh->context->error;
    const ringmoe_moe_settings *settings = &layer->settings;
    if (n_tokens < 0 || n_tokens > settings->max_tokens)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "n_tokens is %lld; it must be between 0 and max_tokens, %lld",
                       (long long)n_tokens, (long long)settings->max_tokens);
    if (n_tokens > 0 && (!x || !y || x == y))
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "x and y must be two arrays of %lld rows; one is NULL or they are the "
                       "same",
                       (long long)n_tokens);
    if (train && layer->microbatch == settings->n_microbatches)
        return rm_fail(error, RINGMOE_ERROR_STATE,
                       "this step has had its n_microbatches = %d; call "
                       "ringmoe_moe_reduce_gradients first",
                       settings->n_microbatches);
    return RINGMOE_OK;
}

/* Balance over the whole previous batch, once there is one. */
static rm_moe_pass begin_pass(const ringmoe_moe *layer, int train)
{
    return (rm_moe_pass){
        .label = {.step = layer->step,
                  .layer = layer->settings.layer,
                  .microbatch = layer->microbatch,
                  .operation = train ? RM_OPERATION_DISPATCH : RM_OPERATION_EVALUATE},
        .microbatch = (int64_t)layer->mesh->dense.rank * layer->settings.n_microbatches +
                      layer->microbatch,
        .train = train != 0,
        .balance_counts = layer->step > 0 ? layer->last_counts : NULL};
}

/* Forgets the step's gradients and counts, after a failure on all ranks, whatever each was
 * at. */
static void clear_step(ringmoe_moe *layer)
{
    for (int i = 0; i < RM_MOE_SPACES; i++) rm_tree_clear(layer->spaces[i].tree);
    memset(layer->step_counts, 0,
           (size_t)layer->settings.n_experts * sizeof *layer->step_counts);
    layer->microbatch = 0;
    layer->forward_done = false;
}

ringmoe_status ringmoe_moe_forward(ringmoe_moe *layer, int64_t n_tokens, const ringmoe_real *x,
                                   int train, ringmoe_real *y, ringmoe_moe_stats *stats)
{
    if (!layer) return RINGMOE_ERROR_ARGUMENT;
    RM_TRY(agree(layer, check_forward(layer, n_tokens, x, train, y)));
    RM_TRY(agree_on_rows(layer, n_tokens));
    layer->forward_done = false;
    layer->pass = begin_pass(layer, train);
    layer->x = x;
    ringmoe_status status =
        rm_moe_layer_forward(layer->mesh, &layer->settings, &layer->weights, layer->saved,
                             &layer->pass, n_tokens, x, y, stats, layer->pass_counts);
    rm_progress_leave(&layer->mesh->context->progress);
    if (status != RINGMOE_OK)
        clear_step(layer);
    else
        layer->forward_done = train != 0;
    return status;
}

/* --- backward --- */

static ringmoe_status check_backward(const ringmoe_moe *layer, const rm_real *d_y,
                                     const rm_real *d_x)
{
    rm_error *error = &layer->mesh->context->error;
    if (!layer->forward_done)
        return rm_fail(error, RINGMOE_ERROR_STATE,
                       "there is no forward pass with train = 1 to go back through");
    if (layer->saved->routing.n_tokens > 0 && (!d_y || !d_x || d_y == d_x))
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "d_y and d_x must be two arrays; one is NULL or they are the same");
    return RINGMOE_OK;
}

/* One leaf of every tree. */
static ringmoe_status backward_leaf(ringmoe_moe *layer, const rm_real *d_y, rm_real aux_scale,
                                    rm_real *d_x)
{
    for (int i = 0; i < RM_MOE_SPACES; i++)
        rm_tree_begin(layer->spaces[i].tree, layer->microbatch, layer->spaces[i].leaves);
    rm_moe_parameters_bind_sinks(layer);
    RM_TRY(rm_moe_layer_backward(layer->mesh, &layer->settings, &layer->weights, layer->saved,
                                 &layer->pass, RINGMOE_STAGE_BACKWARD, layer->x, d_y, aux_scale,
                                 &layer->sinks, d_x));
    for (int i = 0; i < RM_MOE_SPACES; i++)
        rm_tree_end(layer->spaces[i].tree, &layer->mesh->context->compute);
    return RINGMOE_OK;
}

ringmoe_status ringmoe_moe_backward(ringmoe_moe *layer, const ringmoe_real *d_y,
                                    ringmoe_real aux_scale, ringmoe_real *d_x)
{
    if (!layer) return RINGMOE_ERROR_ARGUMENT;
    RM_TRY(agree(layer, check_backward(layer, d_y, d_x)));
    ringmoe_status status = backward_leaf(layer, d_y, aux_scale, d_x);
    rm_progress_leave(&layer->mesh->context->progress);
    if (status != RINGMOE_OK) {
        clear_step(layer);
        return status;
    }
    for (int e = 0; e < layer->settings.n_experts; e++)
        layer->step_counts[e] += layer->pass_counts[e];
    layer->microbatch++;
    layer->forward_done = false;
    return RINGMOE_OK;
}

/* --- the end of a step --- */

static ringmoe_status check_reduce(const ringmoe_moe *layer)
{
    if (layer->microbatch == layer->settings.n_microbatches) return RINGMOE_OK;
    return rm_fail(&layer->mesh->context->error, RINGMOE_ERROR_STATE,
                   "this step has had %d of its n_microbatches = %d backward passes",
                   layer->microbatch, layer->settings.n_microbatches);
}

/* Each rank finishes a part of the sum, then all get all of it. */
static ringmoe_status reduce_space(const ringmoe_moe *layer, const rm_moe_space *space)
{
    ringmoe_context *context = layer->mesh->context;
    RM_TRY(rm_tree_reduce(space->tree, space->axis, space->bounds, &context->compute,
                          space->gradients + space->bounds[space->axis->rank], &context->times,
                          &context->error));
    return rm_allgather_parts(space->axis, space->gradients, space->bounds, RM_MPI_REAL,
                              &context->error);
}

/* Counts of the global batch, and the selection bias moved by them. */
static ringmoe_status finish_counts(ringmoe_moe *layer)
{
    const ringmoe_moe_settings *settings = &layer->settings;
    memcpy(layer->last_counts, layer->step_counts,
           (size_t)settings->n_experts * sizeof *layer->last_counts);
    RM_TRY(rm_allreduce(&layer->mesh->dense, layer->last_counts, settings->n_experts,
                        MPI_INT64_T, MPI_SUM, &layer->mesh->context->error));
    if (layer->weights.bias)
        rm_moe_bias_update(settings, layer->last_counts, layer->weights.bias);
    return RINGMOE_OK;
}

ringmoe_status ringmoe_moe_reduce_gradients(ringmoe_moe *layer)
{
    if (!layer) return RINGMOE_ERROR_ARGUMENT;
    const ringmoe_mesh *mesh = layer->mesh;
    rm_error *error = &mesh->context->error;
    ringmoe_status status = rm_agree(&mesh->dense, check_reduce(layer), error);
    RM_TRY(rm_agree(&mesh->tensor, status, error));
    for (int i = 0; i < RM_MOE_SPACES; i++) RM_TRY(reduce_space(layer, &layer->spaces[i]));
    RM_TRY(finish_counts(layer));
    clear_step(layer);
    layer->step++;
    return RINGMOE_OK;
}

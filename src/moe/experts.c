/* SPDX-License-Identifier: MIT
 *
 * The experts of this rank at work on the rows of all ranks, group by group (arrivals.h). With
 * tensor ranks every one of them has the same rows and a part of the inner dimension; what they
 * make is summed here, before it goes back.
 */
#include <string.h>

#include "base/clock.h"
#include "comm/sum.h"
#include "moe/saved.h"

/* Row 0 of what x_rows counts. */
static const rm_real *rows_base(const rm_moe_call *call, const rm_real *x)
{
    const rm_shared *shared = call->saved->workspace->shared;
    return shared ? (const rm_real *)shared->base : x;
}

/* Likewise for rows of d_y, which lie to one another as those of x. */
static const rm_real *gradient_base(const rm_moe_call *call, const rm_real *d_y_block)
{
    const rm_shared *shared = call->saved->workspace->shared;
    if (!shared) return d_y_block;
    int64_t width = call->settings->d_model;
    int64_t distance = rm_shared_row(shared, d_y_block, width) -
                       rm_shared_row(shared, call->saved->x_block, width);
    return (const rm_real *)shared->base + distance * width;
}

static const int64_t *group_offsets(const rm_moe_call *call, int group)
{
    return call->saved->arrivals.offsets + group * ((int64_t)call->n_local + 1);
}

static rm_swiglu_rows group_rows(const rm_moe_call *call, const rm_real *x, int group)
{
    const rm_arrivals *arrivals = &call->saved->arrivals;
    return (rm_swiglu_rows){.n_experts = call->n_local,
                            .offsets = group_offsets(call, group),
                            .x = rows_base(call, x),
                            .x_rows = arrivals->x_rows,
                            .weights = arrivals->weights};
}

/* Sums `width` numbers of each row of a group over the tensor ranks. */
static ringmoe_status sum_group(const rm_moe_call *call, int group, int64_t width,
                                rm_real *numbers)
{
    const int64_t *offsets = group_offsets(call, group);
    ringmoe_context *context = call->mesh->context;
    return rm_sum(&call->mesh->tensor, numbers + offsets[0] * width,
                  (offsets[call->n_local] - offsets[0]) * width, call->compute, &context->times,
                  &context->error);
}

/* All experts, or as many at a time as are brought into memory. */
static void run_experts(const rm_moe_call *call, const rm_swiglu_rows *rows, rm_real *outputs)
{
    const rm_expert_supply *supply = &call->weights->supply;
    for (int first = 0, end; first < rows->n_experts; first = end) {
        rm_swiglu_rows part = *rows;
        end = supply->bring ? supply->bring(supply->user, call->settings->layer, rows->offsets,
                                            first, rows->n_experts)
                            : rows->n_experts;
        part.n_experts = end - first;
        part.offsets += first;
        rm_swiglu_forward(call->compute, call->weights->experts + first, &part,
                          &call->saved->experts, outputs, NULL);
    }
}

static ringmoe_status forward_group(rm_moe_call *call, const rm_real *x, int group)
{
    const rm_moe_saved *saved = call->saved;
    rm_real *outputs = saved->workspace->outputs;
    rm_swiglu_rows rows = group_rows(call, x, group);
    double start = rm_clock_seconds();
    run_experts(call, &rows, outputs);
    call->mesh->context->times.experts += rm_clock_seconds() - start;
    return sum_group(call, group, call->settings->d_model, outputs);
}

static ringmoe_status forward_groups(rm_moe_call *call, const rm_real *x)
{
    rm_real *block = call->saved->x_block;
    ringmoe_status status = rm_dispatch_open(call, call->pass->label.operation, x, block);
    if (status == RINGMOE_OK) status = rm_dispatch_plan(call);
    RM_TRY(rm_dispatch_settle(call, block, status));
    RM_TRY(rm_dispatch_start(call, x, block));
    for (int group = 0; group < call->saved->arrivals.n_groups; group++) {
        RM_TRY(rm_dispatch_await_group(call, block, group));
        RM_TRY(forward_group(call, x, group));
        RM_TRY(rm_dispatch_return_group(call, group));
    }
    rm_shared_mark(call->saved->workspace->shared, RM_COMPUTED);
    return RINGMOE_OK;
}

ringmoe_status rm_experts_forward(rm_moe_call *call, const rm_real *x)
{
    if (call->mesh->expert.size == 1) {
        RM_TRY(rm_dispatch_alone(call));
        return forward_group(call, x, 0);
    }
    return forward_groups(call, x);
}

/* --- backward --- */

static rm_real *gradient_block(const rm_moe_call *call)
{
    rm_real *own = call->saved->d_y_block;
    return own ? own : call->saved->workspace->d_y_block;
}

static ringmoe_status backward_group(rm_moe_call *call, const rm_real *x, const rm_real *d_y,
                                     int group)
{
    const rm_moe_saved *saved = call->saved;
    const rm_moe_workspace *workspace = saved->workspace;
    rm_swiglu_rows rows = group_rows(call, x, group);
    rm_swiglu_gradients gradients = {.d_y = d_y,
                                     .d_y_rows = rows.x_rows,
                                     .d_x = workspace->outputs,
                                     .d_weights = workspace->d_weights};
    rm_comm_times *times = &call->mesh->context->times;
    double start = rm_clock_seconds();
    rm_swiglu_backward_inputs(call->compute, call->weights->experts, &rows, &saved->experts,
                              &gradients);
    times->experts += rm_clock_seconds() - start;
    times->expert_rows += rows.offsets[call->n_local] - rows.offsets[0];
    RM_TRY(sum_group(call, group, call->settings->d_model, workspace->outputs));
    return sum_group(call, group, 1, workspace->d_weights);
}

/* On one rank with the parts of the backward pass apart, d_y must still be there for the second
 * one. */
static const rm_real *keep_gradient(const rm_moe_call *call, const rm_real *d_y)
{
    const rm_moe_saved *saved = call->saved;
    if (!saved->d_y_block) return d_y;
    memcpy(saved->d_y_block, d_y,
           (size_t)(saved->routing.n_tokens * call->settings->d_model) * sizeof *d_y);
    return saved->d_y_block;
}

ringmoe_status rm_experts_backward_inputs(rm_moe_call *call, const rm_real *x,
                                          const rm_real *d_y)
{
    rm_real *block = gradient_block(call);
    if (call->mesh->expert.size == 1)
        return backward_group(call, x, keep_gradient(call, d_y), 0);
    ringmoe_status status = rm_dispatch_open(call, RM_OPERATION_DISPATCH_GRADIENT, d_y, block);
    RM_TRY(rm_dispatch_settle(call, block, status));
    RM_TRY(rm_dispatch_start(call, d_y, block));
    for (int group = 0; group < call->saved->arrivals.n_groups; group++) {
        RM_TRY(rm_dispatch_await_group(call, block, group));
        RM_TRY(backward_group(call, x, gradient_base(call, block), group));
        RM_TRY(rm_dispatch_return_group(call, group));
    }
    rm_shared_mark(call->saved->workspace->shared, RM_COMPUTED);
    return RINGMOE_OK;
}

void rm_experts_backward_weights(const rm_moe_call *call, const rm_real *x, const rm_real *d_y,
                                 const rm_swiglu_sinks *sinks)
{
    const rm_moe_saved *saved = call->saved;
    const rm_arrivals *arrivals = &saved->arrivals;
    bool alone = call->mesh->expert.size == 1;
    if (!alone) d_y = gradient_base(call, gradient_block(call));
    if (alone && saved->d_y_block) d_y = saved->d_y_block;
    rm_swiglu_rows rows = group_rows(call, x, 0);
    const rm_shadows *shadows = &saved->plan.shadows;
    int32_t skipped[RM_MOST_SHADOWS];
    for (int i = 0; i < shadows->n; i++)
        skipped[i] = shadows->experts[i] - call->mesh->expert.rank * call->n_local;
    rm_swiglu_gradients gradients = {.d_y = d_y,
                                     .d_y_rows = rows.x_rows,
                                     .n_skipped = shadows->n,
                                     .skipped = skipped,
                                     .n_sources = arrivals->n_sources,
                                     .run_rows = arrivals->run_rows,
                                     .run_first = arrivals->run_firsts,
                                     .sinks = sinks};
    double start = rm_clock_seconds();
    rm_swiglu_backward_weights(call->compute, call->weights->experts, &rows, &saved->experts,
                               &gradients);
    call->mesh->context->times.experts += rm_clock_seconds() - start;
}

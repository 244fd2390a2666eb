/* SPDX-License-Identifier: MIT
 *
 * Tokens to their experts and back: the count exchange that says what it is for, the exchanges
 * of rows, and those of their weights. On one expert rank the counts are known, no row moves,
 * and weights only change their order.
 */
#include "moe/saved.h"

#include <string.h>

ringmoe_status rm_dispatch_counts(const rm_moe_call *call, rm_operation operation)
{
    rm_route_plan *plan = &call->saved->plan;
    ringmoe_context *context = call->mesh->context;
    const rm_axis *axis = &call->mesh->expert;
    rm_label label = call->pass->label;
    label.operation = operation;
    if (axis->size == 1) {
        memcpy(plan->recv_counts, plan->send_counts,
               (size_t)call->n_local * sizeof *plan->recv_counts);
    } else {
        RM_TRY(rm_exchange_counts(axis, label, call->n_local, plan->send_counts,
                                  plan->recv_counts, plan->workspace, &context->times,
                                  &context->error));
    }
    return rm_route_plan_receive(plan, axis->size, call->n_local, &context->error);
}

rm_swiglu_rows rm_dispatch_rows(const rm_moe_call *call, const rm_real *x)
{
    const rm_moe_saved *saved = call->saved;
    bool alone = call->mesh->expert.size == 1;
    return (rm_swiglu_rows){.n_experts = call->n_local,
                            .offsets = saved->plan.offsets,
                            .x = alone ? x : saved->received,
                            .x_rows = alone ? saved->plan.tokens : saved->plan.order,
                            .weights = saved->row_weights};
}

/* From send order to received order, and the way back. */
static ringmoe_status send_out(const rm_moe_call *call, int64_t width, const rm_real *sent,
                               rm_real *received)
{
    const rm_route_plan *plan = &call->saved->plan;
    ringmoe_context *context = call->mesh->context;
    return rm_exchange_rows(&call->mesh->expert, width, sent, plan->send_rows, received,
                            plan->recv_rows, &context->times, &context->error);
}

static ringmoe_status send_back(const rm_moe_call *call, int64_t width, const rm_real *received,
                                rm_real *sent)
{
    const rm_route_plan *plan = &call->saved->plan;
    ringmoe_context *context = call->mesh->context;
    return rm_exchange_rows(&call->mesh->expert, width, received, plan->recv_rows, sent,
                            plan->send_rows, &context->times, &context->error);
}

ringmoe_status rm_dispatch_to_experts(const rm_moe_call *call, const rm_real *x,
                                      rm_real *received)
{
    const rm_route_plan *plan = &call->saved->plan;
    rm_real *rows = call->saved->workspace->rows;
    int64_t width = call->settings->d_model;
#pragma omp parallel for num_threads(call->compute->n_threads) schedule(dynamic, 16)
    for (int64_t i = 0; i < plan->n_sent; i++)
        memcpy(rows + i * width, x + plan->tokens[i] * width, (size_t)width * sizeof *rows);
    return send_out(call, width, rows, received);
}

ringmoe_status rm_dispatch_from_experts(const rm_moe_call *call)
{
    const rm_moe_workspace *workspace = call->saved->workspace;
    if (call->mesh->expert.size == 1) return RINGMOE_OK;
    return send_back(call, call->settings->d_model, workspace->arriving, workspace->rows);
}

ringmoe_status rm_dispatch_weights(const rm_moe_call *call)
{
    const rm_moe_saved *saved = call->saved;
    const rm_route_plan *plan = &saved->plan;
    bool alone = call->mesh->expert.size == 1;
    rm_real *sent = alone ? saved->row_weights : saved->workspace->sent_weights;
    for (int64_t i = 0; i < saved->routing.n_tokens * call->settings->top_k; i++)
        if (plan->slots[i] >= 0) sent[plan->slots[i]] = saved->routing.weights[i];
    if (alone) return RINGMOE_OK;
    rm_real *received = saved->workspace->received_weights;
    RM_TRY(send_out(call, 1, sent, received));
    for (int64_t i = 0; i < plan->n_received; i++)
        saved->row_weights[i] = received[plan->order[i]];
    return RINGMOE_OK;
}

ringmoe_status rm_dispatch_weight_gradients(const rm_moe_call *call)
{
    const rm_moe_saved *saved = call->saved;
    const rm_route_plan *plan = &saved->plan;
    const rm_real *d_sent = saved->row_weights;
    if (call->mesh->expert.size > 1) {
        rm_real *d_received = saved->workspace->received_weights;
        for (int64_t i = 0; i < plan->n_received; i++)
            d_received[plan->order[i]] = saved->row_weights[i];
        RM_TRY(send_back(call, 1, d_received, saved->workspace->sent_weights));
        d_sent = saved->workspace->sent_weights;
    }
    for (int64_t i = 0; i < saved->routing.n_tokens * call->settings->top_k; i++)
        saved->routing.d_weights[i] = plan->slots[i] < 0 ? 0 : d_sent[plan->slots[i]];
    return RINGMOE_OK;
}

/* SPDX-License-Identifier: MIT
 *
 * Tokens to their experts and back: gathering rows, the count exchange that says what it is
 * for, and the row exchanges. On one expert rank the counts are known and no row moves.
 */
#include "moe/saved.h"

#include <string.h>

void rm_dispatch_gather(const rm_compute *compute, int64_t n_rows, int64_t width,
                        const rm_real *x, const int32_t *indices, rm_real *rows)
{
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, 16)
    for (int64_t i = 0; i < n_rows; i++)
        memcpy(rows + i * width, x + indices[i] * width, (size_t)width * sizeof *rows);
}

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

ringmoe_status rm_dispatch_to_experts(const rm_moe_call *call, const rm_real *send,
                                      rm_real *received)
{
    const rm_route_plan *plan = &call->saved->plan;
    ringmoe_context *context = call->mesh->context;
    return rm_exchange_rows(&call->mesh->expert, call->settings->d_model, send, plan->send_rows,
                            received, plan->recv_rows, &context->times, &context->error);
}

ringmoe_status rm_dispatch_from_experts(const rm_moe_call *call, const rm_real *send,
                                        rm_real *received)
{
    const rm_route_plan *plan = &call->saved->plan;
    ringmoe_context *context = call->mesh->context;
    return rm_exchange_rows(&call->mesh->expert, call->settings->d_model, send, plan->recv_rows,
                            received, plan->send_rows, &context->times, &context->error);
}

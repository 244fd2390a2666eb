/* SPDX-License-Identifier: MIT
 *
 * The forward pass of one MoE layer: route, send the tokens and their weights to the experts,
 * run these, bring the rows back, and add them up token by token in the order of the choices.
 */
#include "moe/saved.h"

#include <string.h>

/* Leaves the weighted outputs of this rank's choices in workspace->rows, in send order. */
static ringmoe_status run_experts(const rm_moe_call *call, const rm_real *x)
{
    const rm_moe_saved *saved = call->saved;
    const rm_route_plan *plan = &saved->plan;
    bool alone = call->mesh->expert.size == 1;
    RM_TRY(rm_dispatch_counts(call, call->pass->label.operation));
    RM_TRY(rm_dispatch_weights(call));
    if (!alone) RM_TRY(rm_dispatch_to_experts(call, x, saved->received));
    rm_swiglu_rows rows = rm_dispatch_rows(call, x);
    rm_swiglu_forward(call->compute, call->weights->experts, &rows, &saved->experts,
                      alone ? saved->workspace->rows : saved->workspace->arriving, plan->order);
    return rm_dispatch_from_experts(call);
}

/* y[t] = its shared output, which is there already, + its choices' outputs. */
static void combine_token(const rm_moe_call *call, int64_t token, rm_real *y)
{
    const rm_moe_saved *saved = call->saved;
    int64_t width = call->settings->d_model, choice = token * call->settings->top_k;
    size_t bytes = (size_t)width * sizeof *y;
    bool begun = call->settings->d_ff_shared > 0;
    for (int64_t i = choice; i < choice + call->settings->top_k; i++) {
        if (saved->plan.slots[i] < 0) continue;
        const rm_real *row = saved->workspace->rows + saved->plan.slots[i] * width;
        if (begun)
            call->compute->kernels->add(width, row, y);
        else
            memcpy(y, row, bytes);
        begun = true;
    }
    if (!begun) memset(y, 0, bytes);
}

ringmoe_status rm_moe_layer_forward(const ringmoe_mesh *mesh,
                                    const ringmoe_moe_settings *settings,
                                    const rm_moe_weights *weights, rm_moe_saved *saved,
                                    const rm_moe_pass *pass, int64_t n_tokens, const rm_real *x,
                                    rm_real *y, ringmoe_moe_stats *stats, int64_t *counts)
{
    const rm_compute *compute = &mesh->context->compute;
    rm_moe_call call = {
        mesh, compute, settings, weights, pass, saved, settings->n_experts / mesh->expert.size};
    ringmoe_moe_stats measured;
    saved->routing.n_tokens = n_tokens;
    rm_router router = {compute, settings, weights, pass, &saved->routing};
    rm_router_forward(&router, x, &measured);
    rm_route_plan_send(&saved->plan, settings, mesh->expert.size, &saved->routing);
    measured.n_dropped = saved->plan.n_dropped;
    RM_TRY(run_experts(&call, x));
    if (settings->d_ff_shared) rm_shared_forward(&call, x, y);
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, 16)
    for (int64_t t = 0; t < n_tokens; t++) combine_token(&call, t, y + t * settings->d_model);
    if (stats) *stats = measured;
    if (counts)
        memcpy(counts, saved->routing.counts, (size_t)settings->n_experts * sizeof *counts);
    return RINGMOE_OK;
}

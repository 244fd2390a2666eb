/* SPDX-License-Identifier: MIT
 *
 * The forward pass of one MoE layer: route, send the tokens to their experts, run the experts,
 * bring the rows back, and add them up token by token in the order of the choices.
 */
#include "moe/saved.h"

#include <string.h>

/* Leaves the outputs of this rank's choices in saved->outputs, in send order. */
static ringmoe_status run_experts(const rm_moe_call *call, const rm_real *x)
{
    rm_moe_saved *saved = call->saved;
    rm_route_plan *plan = &saved->plan;
    const rm_swiglu *experts = call->weights->experts;
    RM_TRY(rm_dispatch_counts(call, call->pass->label.operation));
    if (call->mesh->expert.size == 1) {
        rm_swiglu_forward(call->compute, experts, call->n_local, plan->offsets, x, plan->tokens,
                          &saved->experts, saved->outputs, NULL);
        return RINGMOE_OK;
    }
    rm_dispatch_gather(call->compute, plan->n_sent, call->settings->d_model, x, plan->tokens,
                       saved->travelling);
    RM_TRY(rm_dispatch_to_experts(call, saved->travelling, saved->received));
    rm_swiglu_forward(call->compute, experts, call->n_local, plan->offsets, saved->received,
                      plan->order, &saved->experts, saved->arriving, plan->order);
    return rm_dispatch_from_experts(call, saved->arriving, saved->outputs);
}

/* y[t] = sum of weight * output over its choices, then + gate * shared output. */
static void combine_token(const rm_moe_call *call, int64_t token, rm_real *y)
{
    const rm_moe_saved *saved = call->saved;
    const rm_kernels *kernels = call->compute->kernels;
    int64_t width = call->settings->d_model, choice = token * call->settings->top_k;
    memset(y, 0, (size_t)width * sizeof *y);
    for (int64_t i = choice; i < choice + call->settings->top_k; i++)
        if (saved->plan.slots[i] >= 0)
            kernels->axpy(width, saved->routing.weights[i],
                          saved->outputs + saved->plan.slots[i] * width, y);
    if (call->settings->d_ff_shared == 0) return;
    rm_real gate = call->settings->shared_gate ? saved->gates[token] : 1;
    kernels->axpy(width, gate, saved->shared_outputs + token * width, y);
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
    if (settings->d_ff_shared) rm_shared_forward(&call, x);
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, 16)
    for (int64_t t = 0; t < n_tokens; t++) combine_token(&call, t, y + t * settings->d_model);
    if (stats) *stats = measured;
    if (counts)
        memcpy(counts, saved->routing.counts, (size_t)settings->n_experts * sizeof *counts);
    return RINGMOE_OK;
}

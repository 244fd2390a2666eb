/* SPDX-License-Identifier: MIT
 *
 * The backward pass of one MoE layer, the forward pass mirrored: weighted gradients of the
 * outputs go to the experts, gradients of the inputs come back.
 *
 *   d_weight(t, j) = d_y[t] . output(t, j)        d_output(t, j) = weight(t, j) * d_y[t]
 *   d_x[t] = router's part + sum over the choices + shared expert's part, in this order
 *
 * A dropped choice has no output: its weight gets no gradient here, but still one through the
 * sum the weights are divided by.
 */
#include "moe/saved.h"

/* d_weights, and the gradients of the outputs in send order. */
static void backward_combine_token(const rm_moe_call *call, int64_t token, const rm_real *d_y,
                                   rm_real *d_outputs)
{
    rm_moe_saved *saved = call->saved;
    int64_t width = call->settings->d_model, choice = token * call->settings->top_k;
    for (int64_t i = choice; i < choice + call->settings->top_k; i++) {
        int64_t slot = saved->plan.slots[i];
        saved->routing.d_weights[i] = 0;
        if (slot < 0) continue;
        rm_real *d_output = d_outputs + slot * width, weight = saved->routing.weights[i];
        saved->routing.d_weights[i] =
            call->compute->kernels->dot(width, d_y, saved->outputs + slot * width);
        for (int64_t c = 0; c < width; c++) d_output[c] = weight * d_y[c];
    }
}

static void backward_combine(const rm_moe_call *call, const rm_real *d_y, rm_real *d_outputs)
{
    int64_t width = call->settings->d_model;
#pragma omp parallel for num_threads(call->compute->n_threads) schedule(dynamic, 16)
    for (int64_t t = 0; t < call->saved->routing.n_tokens; t++)
        backward_combine_token(call, t, d_y + t * width, d_outputs);
}

/* Expert gradients; *d_rows gets where the inputs' gradients are, in send order. */
static ringmoe_status backward_experts(const rm_moe_call *call, const rm_real *x,
                                       const rm_real *d_y, const rm_moe_sinks *sinks,
                                       const rm_real **d_rows)
{
    rm_moe_saved *saved = call->saved;
    rm_route_plan *plan = &saved->plan;
    const rm_swiglu *experts = call->weights->experts;
    int ranks = call->mesh->expert.size;
    bool alone = ranks == 1;
    rm_real *d_input = alone ? saved->d_outputs : saved->arriving;
    backward_combine(call, d_y, alone ? saved->d_outputs : saved->travelling);
    if (!alone) {
        RM_TRY(rm_dispatch_counts(call, RM_OPERATION_DISPATCH_GRADIENT));
        RM_TRY(rm_dispatch_to_experts(call, saved->travelling, saved->arriving));
        rm_dispatch_gather(call->compute, plan->n_received, call->settings->d_model,
                           saved->arriving, plan->order, saved->d_outputs);
    }
    rm_swiglu_backward(call->compute, experts, call->n_local, plan->offsets,
                       alone ? x : saved->received, alone ? plan->tokens : plan->order,
                       &saved->experts, saved->d_outputs, d_input, plan->order, ranks,
                       plan->run_rows, sinks->experts);
    *d_rows = alone ? saved->d_outputs : saved->travelling;
    return alone ? RINGMOE_OK
                 : rm_dispatch_from_experts(call, saved->arriving, saved->travelling);
}

/* d_x[t], which holds the router's part, gets the rest. */
static void add_token(const rm_moe_call *call, int64_t token, const rm_real *d_rows,
                      rm_real *d_x)
{
    const rm_moe_saved *saved = call->saved;
    const rm_kernels *kernels = call->compute->kernels;
    int64_t width = call->settings->d_model, choice = token * call->settings->top_k;
    for (int64_t i = choice; i < choice + call->settings->top_k; i++)
        if (saved->plan.slots[i] >= 0)
            kernels->add(width, d_rows + saved->plan.slots[i] * width, d_x);
    if (call->settings->d_ff_shared == 0) return;
    kernels->add(width, saved->shared_outputs + token * width, d_x);
    if (call->settings->shared_gate)
        kernels->axpy(width, saved->gates[token], call->weights->shared_gate, d_x);
}

ringmoe_status rm_moe_layer_backward(const ringmoe_mesh *mesh,
                                     const ringmoe_moe_settings *settings,
                                     const rm_moe_weights *weights, rm_moe_saved *saved,
                                     const rm_moe_pass *pass, const rm_real *x,
                                     const rm_real *d_y, rm_real aux_scale,
                                     const rm_moe_sinks *sinks, rm_real *d_x)
{
    const rm_compute *compute = &mesh->context->compute;
    rm_moe_call call = {
        mesh, compute, settings, weights, pass, saved, settings->n_experts / mesh->expert.size};
    rm_router router = {compute, settings, weights, pass, &saved->routing};
    const rm_real *d_rows;
    RM_TRY(backward_experts(&call, x, d_y, sinks, &d_rows));
    rm_router_backward(&router, x, aux_scale, sinks, d_x);
    if (settings->d_ff_shared) rm_shared_backward(&call, x, d_y, sinks);
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, 16)
    for (int64_t t = 0; t < saved->routing.n_tokens; t++)
        add_token(&call, t, d_rows, d_x + t * settings->d_model);
    return RINGMOE_OK;
}

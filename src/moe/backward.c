/* SPDX-License-Identifier: MIT
 *
 * The backward pass of one MoE layer, the forward pass mirrored: gradients of the outputs go to
 * the experts, where the weights of the rows are; gradients of the inputs and of the weights
 * come back.
 *
 *   d_x[t] = router's part + shared expert's part + sum over the choices, in this order
 *
 * A dropped choice has no output: its weight gets no gradient from the experts, but still one
 * through the sum the weights are divided by.
 */
#include "moe/saved.h"

/* Expert gradients; leaves the inputs' gradients in workspace->rows, in send order, and those
 * of the weights in routing.d_weights. */
static ringmoe_status backward_experts(const rm_moe_call *call, const rm_real *x,
                                       const rm_real *d_y, const rm_moe_sinks *sinks)
{
    const rm_moe_saved *saved = call->saved;
    const rm_route_plan *plan = &saved->plan;
    rm_real *arriving = saved->workspace->arriving;
    bool alone = call->mesh->expert.size == 1;
    if (!alone) {
        RM_TRY(rm_dispatch_counts(call, RM_OPERATION_DISPATCH_GRADIENT));
        RM_TRY(rm_dispatch_to_experts(call, d_y, arriving));
    }
    rm_swiglu_rows rows = rm_dispatch_rows(call, x);
    rm_swiglu_gradients gradients = {.d_y = alone ? d_y : arriving,
                                     .d_y_rows = rows.x_rows,
                                     .d_x = alone ? saved->workspace->rows : arriving,
                                     .d_x_rows = plan->order,
                                     .d_weights = saved->row_weights,
                                     .n_sources = call->mesh->expert.size,
                                     .run_rows = plan->run_rows,
                                     .sinks = sinks->experts};
    rm_swiglu_backward(call->compute, call->weights->experts, &rows, &saved->experts,
                       &gradients);
    RM_TRY(rm_dispatch_weight_gradients(call));
    return rm_dispatch_from_experts(call);
}

/* d_x[t], which holds the other parts, gets those of its choices. */
static void add_token(const rm_moe_call *call, int64_t token, rm_real *d_x)
{
    const rm_moe_saved *saved = call->saved;
    int64_t width = call->settings->d_model, choice = token * call->settings->top_k;
    for (int64_t i = choice; i < choice + call->settings->top_k; i++)
        if (saved->plan.slots[i] >= 0)
            call->compute->kernels->add(
                width, saved->workspace->rows + saved->plan.slots[i] * width, d_x);
}

ringmoe_status rm_moe_layer_backward(const ringmoe_mesh *mesh,
                                     const ringmoe_moe_settings *settings,
                                     const rm_moe_weights *weights, rm_moe_saved *saved,
                                     const rm_moe_pass *pass, ringmoe_stage_operation part,
                                     const rm_real *x, const rm_real *d_y, rm_real aux_scale,
                                     const rm_moe_sinks *sinks, rm_real *d_x)
{
    (void)part;
    const rm_compute *compute = &mesh->context->compute;
    rm_moe_call call = {
        mesh, compute, settings, weights, pass, saved, settings->n_experts / mesh->expert.size};
    rm_router router = {compute, settings, weights, pass, &saved->routing};
    RM_TRY(backward_experts(&call, x, d_y, sinks));
    rm_router_backward(&router, x, aux_scale, sinks, d_x);
    if (settings->d_ff_shared) rm_shared_backward(&call, x, d_y, sinks, d_x);
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, 16)
    for (int64_t t = 0; t < saved->routing.n_tokens; t++)
        add_token(&call, t, d_x + t * settings->d_model);
    return RINGMOE_OK;
}

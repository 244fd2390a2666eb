/* SPDX-License-Identifier: MIT
 *
 * The backward pass of one MoE layer, the forward pass mirrored: gradients of the outputs go to
 * the experts, where the weights of the rows are; gradients of the inputs and of the weights
 * come back. While they do, the gradients of the weights are computed, or later, in a part of
 * their own.
 *
 *   d_x[t] = router's part + shared expert's part + tree sum over the chosen experts
 *
 * A dropped choice has no output: its weight gets no gradient from the experts, but still one
 * through the sum the weights are divided by.
 */
#include "moe/saved.h"

/* d_x[t], which holds the other parts, gets those of its choices. */
static void combine_tokens(const rm_moe_call *call, rm_real *d_x)
{
    int64_t width = call->settings->d_model;
#pragma omp parallel for num_threads(call->compute->n_threads) schedule(dynamic, 16)
    for (int64_t t = 0; t < call->saved->routing.n_tokens; t++) {
        rm_term *terms = rm_combine_terms(call->compute);
        int n = rm_dispatch_terms(call, t, terms);
        if (n > 0) rm_combine(call->compute, width, n, terms, true, d_x + t * width);
    }
}

/* The other weights than the experts' own: the router's need what comes back from the experts,
 * and so do copies of experts, since whoever has that knows that all ranks take part. */
static ringmoe_status backward_weights(const rm_moe_call *call, const rm_router *router,
                                       const rm_real *x, const rm_real *d_y,
                                       const rm_moe_sinks *sinks)
{
    if (call->settings->d_ff_shared) rm_shared_expert_backward_weights(call, x, d_y, sinks);
    rm_router_backward_weights(router, x, sinks);
    return rm_shadows_backward_weights(call, x, d_y, sinks->experts);
}

/* On one part or the first of two. `sinks`: NULL in the latter. */
static ringmoe_status backward(rm_moe_call *call, const rm_router *router, const rm_real *x,
                               const rm_real *d_y, rm_real aux_scale, const rm_moe_sinks *sinks,
                               rm_real *d_x)
{
    RM_TRY(rm_experts_backward_inputs(call, x, d_y));
    RM_TRY(rm_shadows_backward_inputs(call, x, d_y));
    if (sinks) rm_experts_backward_weights(call, x, d_y, sinks->experts);
    if (call->mesh->expert.size > 1) RM_TRY(rm_dispatch_collect(call));
    rm_dispatch_weight_gradients(call);
    rm_router_backward_inputs(router, aux_scale, d_x);
    if (call->settings->d_ff_shared)
        RM_TRY(rm_shared_expert_backward_inputs(call, x, d_y, d_x));
    combine_tokens(call, d_x);
    return sinks ? backward_weights(call, router, x, d_y, sinks) : RINGMOE_OK;
}

/* The second part: reads rows of other ranks of the node; only gradients of copies are sent. */
static ringmoe_status backward_later(rm_moe_call *call, const rm_router *router,
                                     const rm_real *x, const rm_moe_sinks *sinks)
{
    const rm_moe_saved *saved = call->saved;
    rm_shared *shared = saved->workspace->shared;
    if (shared) rm_shared_begin_reading(shared);
    rm_experts_backward_weights(call, x, saved->d_y_block, sinks->experts);
    ringmoe_status status = backward_weights(call, router, x, saved->d_y_block, sinks);
    if (shared) rm_shared_end(shared, status);
    return status;
}

ringmoe_status rm_moe_layer_backward(const ringmoe_mesh *mesh,
                                     const ringmoe_moe_settings *settings,
                                     const rm_moe_weights *weights, rm_moe_saved *saved,
                                     const rm_moe_pass *pass, ringmoe_stage_operation part,
                                     const rm_real *x, const rm_real *d_y, rm_real aux_scale,
                                     const rm_moe_sinks *sinks, rm_real *d_x)
{
    rm_moe_call call = rm_moe_call_of(mesh, settings, weights, saved, pass);
    call.backward = true;
    rm_router router = {call.compute, settings, weights, pass, &saved->routing};
    if (part == RINGMOE_STAGE_BACKWARD_WEIGHT) return backward_later(&call, &router, x, sinks);
    bool whole = part == RINGMOE_STAGE_BACKWARD;
    ringmoe_status status =
        backward(&call, &router, x, d_y, aux_scale, whole ? sinks : NULL, d_x);
    return rm_dispatch_close(&call, status);
}

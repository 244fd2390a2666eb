/* SPDX-License-Identifier: MIT
 *
 * The forward pass of one MoE layer: route, bring the tokens to the experts, run these, and add
 * their outputs up token by token, in the order of moe/combine.h. The shared expert runs while
 * outputs come back.
 *
 *   y[t] = shared expert's output + tree sum over the chosen experts
 */
#include "moe/saved.h"

#include <string.h>

typedef struct combined_tokens {
    const rm_moe_call *call;
    rm_real *y;
} combined_tokens;

/* y[t], which holds its shared output if there is one, gets those of its choices. */
static void combine_token(void *user, int64_t t)
{
    const combined_tokens *tokens = user;
    const rm_moe_call *call = tokens->call;
    int64_t width = call->settings->d_model;
    rm_term *terms = rm_combine_terms(call->compute);
    int n_terms = rm_dispatch_terms(call, t, terms);
    rm_combine(call->compute, width, n_terms, terms, call->settings->d_ff_shared > 0,
               tokens->y + t * width);
}

static void combine_tokens(const rm_moe_call *call, rm_real *y)
{
    combined_tokens tokens = {call, y};
    rm_rows_run(call->compute, call->saved->routing.n_tokens, combine_token, &tokens);
}

static ringmoe_status forward(rm_moe_call *call, const rm_real *x, rm_real *y)
{
    RM_TRY(rm_experts_forward(call, x));
    RM_TRY(rm_shadows_forward(call, x));
    if (call->settings->d_ff_shared) RM_TRY(rm_shared_expert_forward(call, x, y));
    if (call->mesh->expert.size > 1) RM_TRY(rm_dispatch_collect(call));
    combine_tokens(call, y);
    return RINGMOE_OK;
}

ringmoe_status rm_moe_layer_forward(const ringmoe_mesh *mesh,
                                    const ringmoe_moe_settings *settings,
                                    const rm_moe_weights *weights, rm_moe_saved *saved,
                                    const rm_moe_pass *pass, int64_t n_tokens, const rm_real *x,
                                    rm_real *y, ringmoe_moe_stats *stats, int64_t *counts)
{
    rm_moe_call call = rm_moe_call_of(mesh, settings, weights, saved, pass);
    ringmoe_moe_stats measured;
    saved->routing.n_tokens = n_tokens;
    rm_router router = {call.compute, settings, weights, pass, &saved->routing};
    rm_router_forward(&router, x, &measured);
    saved->plan.shadows = weights->shadows;
    rm_route_plan_make(&saved->plan, settings, &saved->routing);
    measured.n_dropped = saved->plan.n_dropped;
    ringmoe_status status = forward(&call, x, y);
    RM_TRY(rm_dispatch_close(&call, status));
    if (stats) *stats = measured;
    if (counts)
        memcpy(counts, saved->routing.counts, (size_t)settings->n_experts * sizeof *counts);
    return RINGMOE_OK;
}

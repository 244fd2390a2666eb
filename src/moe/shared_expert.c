/* SPDX-License-Identifier: MIT
 *
 * The shared expert: a dense SwiGLU every token passes, optionally times sigmoid(w x)
 * (Qwen2-MoE), which is the weight of its row. It needs no exchange: each expert rank has its
 * weights. Tensor ranks have a part of its inner dimension each.
 */
#include "moe/saved.h"

#include <math.h>

#include "comm/sum.h"

static ringmoe_status sum(const rm_moe_call *call, rm_real *numbers, int64_t n)
{
    ringmoe_context *context = call->mesh->context;
    return rm_sum(&call->mesh->tensor, numbers, n, call->compute, &context->times,
                  &context->error);
}

typedef struct gated_tokens {
    const rm_moe_call *call;
    const rm_real *x;
} gated_tokens;

/* gates = sigmoid(w x). */
static void gate_token(void *user, int64_t t)
{
    const gated_tokens *tokens = user;
    const rm_moe_call *call = tokens->call;
    int64_t width = call->settings->d_model;
    rm_real logit =
        call->compute->kernels->dot(width, call->weights->shared_gate, tokens->x + t * width);
    call->saved->gates[t] = (rm_real)(1 / (1 + exp(-(double)logit)));
}

ringmoe_status rm_shared_expert_forward(const rm_moe_call *call, const rm_real *x, rm_real *y)
{
    const rm_moe_saved *saved = call->saved;
    int64_t n = saved->routing.n_tokens, offsets[2] = {0, n};
    rm_swiglu_rows rows = {.n_experts = 1, .offsets = offsets, .x = x, .weights = saved->gates};
    gated_tokens tokens = {call, x};
    if (saved->gates) rm_rows_run(call->compute, n, gate_token, &tokens);
    rm_swiglu_forward(call->compute, &call->weights->shared, &rows, &saved->shared, y, NULL);
    return sum(call, y, n * call->settings->d_model);
}

/* From the gradients of the gates to those of their logits, and of x. */
static void backward_gate(const rm_moe_call *call, int64_t token, rm_real *d_x)
{
    const rm_moe_saved *saved = call->saved;
    rm_real *d_logit = &saved->d_gates[token], gate = saved->gates[token];
    *d_logit *= gate * (1 - gate);
    call->compute->kernels->axpy(call->settings->d_model, *d_logit, call->weights->shared_gate,
                                 d_x);
}

ringmoe_status rm_shared_expert_backward_inputs(const rm_moe_call *call, const rm_real *x,
                                                const rm_real *d_y, rm_real *d_x)
{
    const rm_moe_saved *saved = call->saved;
    rm_real *part = saved->workspace->shared_d_x;
    int64_t n = saved->routing.n_tokens, width = call->settings->d_model, offsets[2] = {0, n};
    rm_swiglu_rows rows = {.n_experts = 1, .offsets = offsets, .x = x, .weights = saved->gates};
    rm_swiglu_gradients gradients = {.d_y = d_y, .d_x = part, .d_weights = saved->d_gates};
    rm_swiglu_backward_inputs(call->compute, &call->weights->shared, &rows, &saved->shared,
                              &gradients);
    RM_TRY(sum(call, part, n * width));
    if (saved->gates) RM_TRY(sum(call, saved->d_gates, n));
#pragma omp parallel for num_threads(call->compute->n_threads) schedule(dynamic, 16)
    for (int64_t t = 0; t < n; t++) {
        call->compute->kernels->add(width, part + t * width, d_x + t * width);
        if (saved->gates) backward_gate(call, t, d_x + t * width);
    }
    return RINGMOE_OK;
}

static void backward_gate_weights(const rm_moe_call *call, const rm_real *x, rm_sink sink)
{
    int64_t width = call->settings->d_model;
    rm_outer term = {.n_rows = call->saved->routing.n_tokens,
                     .d_y = call->saved->d_gates,
                     .d_y_stride = 1,
                     .x = x,
                     .x_stride = width,
                     .sink = sink};
    rm_outer_group group = {1, width, &term, 1};
    rm_outer_grouped(call->compute, RINGMOE_PRECISION_FP32, &group, 1);
}

void rm_shared_expert_backward_weights(const rm_moe_call *call, const rm_real *x,
                                       const rm_real *d_y, const rm_moe_sinks *sinks)
{
    const rm_moe_saved *saved = call->saved;
    int64_t n = saved->routing.n_tokens, offsets[2] = {0, n};
    rm_swiglu_rows rows = {.n_experts = 1, .offsets = offsets, .x = x};
    rm_swiglu_gradients gradients = {
        .d_y = d_y, .n_sources = 1, .run_rows = &n, .sinks = &sinks->shared};
    rm_swiglu_backward_weights(call->compute, &call->weights->shared, &rows, &saved->shared,
                               &gradients);
    if (saved->gates) backward_gate_weights(call, x, sinks->shared_gate);
}

/* SPDX-License-Identifier: MIT
 *
 * The shared expert: a dense SwiGLU every token passes, optionally times sigmoid(w x)
 * (Qwen2-MoE), which is the weight of its row. It needs no exchange: each rank has its weights.
 */
#include "moe/saved.h"

#include <math.h>

/* gates = sigmoid(w x). */
static void forward_gates(const rm_moe_call *call, const rm_real *x)
{
    int64_t width = call->settings->d_model;
    const rm_moe_saved *saved = call->saved;
#pragma omp parallel for num_threads(call->compute->n_threads) schedule(dynamic, 16)
    for (int64_t t = 0; t < saved->routing.n_tokens; t++) {
        rm_real logit =
            call->compute->kernels->dot(width, call->weights->shared_gate, x + t * width);
        saved->gates[t] = (rm_real)(1 / (1 + exp(-(double)logit)));
    }
}

void rm_shared_forward(const rm_moe_call *call, const rm_real *x, rm_real *y)
{
    const rm_moe_saved *saved = call->saved;
    int64_t offsets[2] = {0, saved->routing.n_tokens};
    rm_swiglu_rows rows = {.n_experts = 1, .offsets = offsets, .x = x, .weights = saved->gates};
    if (saved->gates) forward_gates(call, x);
    rm_swiglu_forward(call->compute, &call->weights->shared, &rows, &saved->shared, y, NULL);
}

/* From the gradients of the gates to those of their logits, of w and of x. */
static void backward_gates(const rm_moe_call *call, const rm_real *x, rm_sink sink,
                           rm_real *d_x)
{
    const rm_moe_saved *saved = call->saved;
    int64_t n = saved->routing.n_tokens, width = call->settings->d_model;
    rm_real *d_logits = saved->workspace->d_gates;
#pragma omp parallel for num_threads(call->compute->n_threads) schedule(dynamic, 16)
    for (int64_t t = 0; t < n; t++) {
        d_logits[t] *= saved->gates[t] * (1 - saved->gates[t]);
        call->compute->kernels->axpy(width, d_logits[t], call->weights->shared_gate,
                                     d_x + t * width);
    }
    rm_outer term = {
        .n_rows = n, .d_y = d_logits, .d_y_stride = 1, .x = x, .x_stride = width, .sink = sink};
    rm_outer_group group = {1, width, &term, 1};
    rm_outer_grouped(call->compute, RINGMOE_PRECISION_FP32, &group, 1);
}

void rm_shared_backward(const rm_moe_call *call, const rm_real *x, const rm_real *d_y,
                        const rm_moe_sinks *sinks, rm_real *d_x)
{
    const rm_moe_saved *saved = call->saved;
    int64_t n = saved->routing.n_tokens, offsets[2] = {0, n};
    rm_swiglu_rows rows = {.n_experts = 1, .offsets = offsets, .x = x, .weights = saved->gates};
    rm_swiglu_gradients gradients = {.d_y = d_y,
                                     .d_x = d_x,
                                     .add = true,
                                     .d_weights = saved->workspace->d_gates,
                                     .n_sources = 1,
                                     .run_rows = &n,
                                     .sinks = &sinks->shared};
    rm_swiglu_backward(call->compute, &call->weights->shared, &rows, &saved->shared,
                       &gradients);
    if (saved->gates) backward_gates(call, x, sinks->shared_gate, d_x);
}

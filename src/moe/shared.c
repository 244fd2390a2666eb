/* SPDX-License-Identifier: MIT
 *
 * The shared expert: a dense SwiGLU every token passes, optionally times sigmoid(w x)
 * (Qwen2-MoE). It needs no exchange: each rank has its weights.
 */
#include "moe/saved.h"

#include <math.h>

static void forward_gates(const rm_moe_call *call, const rm_real *x)
{
    int64_t width = call->settings->d_model;
    rm_moe_saved *saved = call->saved;
#pragma omp parallel for num_threads(call->compute->n_threads) schedule(dynamic, 16)
    for (int64_t t = 0; t < saved->routing.n_tokens; t++) {
        rm_real logit =
            call->compute->kernels->dot(width, call->weights->shared_gate, x + t * width);
        saved->gates[t] = (rm_real)(1 / (1 + exp(-(double)logit)));
    }
}

void rm_shared_forward(const rm_moe_call *call, const rm_real *x)
{
    int64_t offsets[2] = {0, call->saved->routing.n_tokens};
    rm_swiglu_forward(call->compute, &call->weights->shared, 1, offsets, x, NULL,
                      &call->saved->shared, call->saved->shared_outputs, NULL);
    if (call->settings->shared_gate) forward_gates(call, x);
}

/* y = gate * output. The output's gradient takes its place, the gate logit's that of the gate.
 */
static void backward_gates(const rm_moe_call *call, const rm_real *d_y)
{
    const rm_kernels *kernels = call->compute->kernels;
    int64_t width = call->settings->d_model;
    rm_moe_saved *saved = call->saved;
#pragma omp parallel for num_threads(call->compute->n_threads) schedule(dynamic, 16)
    for (int64_t t = 0; t < saved->routing.n_tokens; t++) {
        rm_real *output = saved->shared_outputs + t * width, gate = saved->gates[t];
        rm_real d_gate = kernels->dot(width, d_y + t * width, output);
        for (int64_t i = 0; i < width; i++) output[i] = gate * d_y[t * width + i];
        saved->gates[t] = d_gate * gate * (1 - gate);
    }
}

static void gate_weight_gradient(const rm_moe_call *call, const rm_real *x, rm_sink sink)
{
    int64_t width = call->settings->d_model;
    rm_outer term = {.n_rows = call->saved->routing.n_tokens,
                     .d_y = call->saved->gates,
                     .d_y_stride = 1,
                     .x = x,
                     .x_stride = width,
                     .sink = sink};
    rm_outer_group group = {1, width, &term, 1};
    rm_outer_grouped(call->compute, RINGMOE_PRECISION_FP32, &group, 1);
}

void rm_shared_backward(const rm_moe_call *call, const rm_real *x, const rm_real *d_y,
                        const rm_moe_sinks *sinks)
{
    rm_moe_saved *saved = call->saved;
    int64_t n = saved->routing.n_tokens, offsets[2] = {0, n};
    const rm_real *d_output = d_y;
    if (call->settings->shared_gate) {
        backward_gates(call, d_y);
        gate_weight_gradient(call, x, sinks->shared_gate);
        d_output = saved->shared_outputs;
    }
    rm_swiglu_backward(call->compute, &call->weights->shared, 1, offsets, x, NULL,
                       &saved->shared, d_output, saved->shared_outputs, NULL, 1, &n,
                       &sinks->shared);
}

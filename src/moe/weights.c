/* SPDX-License-Identifier: MIT
 *
 * The layer's matrices on one rank: shapes, packed forms, and a list of all of them.
 */
#include "moe/layer.h"

static void swiglu_layout(rm_swiglu *swiglu, const rm_compute *compute, int64_t d_model,
                          int64_t d_ff, bool with_backward, rm_arena *arena)
{
    ringmoe_precision precision = compute->precision;
    rm_matrix_layout(&swiglu->gate, compute, d_ff, d_model, precision, with_backward, arena);
    rm_matrix_layout(&swiglu->up, compute, d_ff, d_model, precision, with_backward, arena);
    rm_matrix_layout(&swiglu->down, compute, d_model, d_ff, precision, with_backward, arena);
}

void rm_moe_weights_layout(rm_moe_weights *weights, const rm_compute *compute,
                           const ringmoe_moe_settings *settings, const rm_moe_layout *layout,
                           rm_arena *arena)
{
    int n_local = settings->n_experts / layout->expert_ranks;
    bool with_backward = layout->with_backward;
    int64_t width = settings->d_model;
    rm_matrix_layout(&weights->router, compute, settings->n_experts, width,
                     RINGMOE_PRECISION_FP32, with_backward, arena);
    if (settings->noise == RINGMOE_NOISE_NOISY_TOPK)
        rm_matrix_layout(&weights->router_noise, compute, settings->n_experts, width,
                         RINGMOE_PRECISION_FP32, with_backward, arena);
    weights->experts = RM_TAKE(arena, n_local, rm_swiglu);
    for (int e = 0; e < n_local; e++) {
        rm_swiglu unused, *expert = weights->experts ? &weights->experts[e] : &unused;
        swiglu_layout(expert, compute, width, settings->d_ff, with_backward, arena);
    }
    if (settings->d_ff_shared)
        swiglu_layout(&weights->shared, compute, width, settings->d_ff_shared, with_backward,
                      arena);
}

/* Appends to a list that may not be wanted. */
static void append(rm_matrix **list, int *n, rm_matrix *matrix)
{
    if (list) list[*n] = matrix;
    ++*n;
}

static void append_swiglu(rm_matrix **list, int *n, rm_swiglu *swiglu)
{
    append(list, n, &swiglu->gate);
    append(list, n, &swiglu->up);
    append(list, n, &swiglu->down);
}

int rm_moe_weights_matrices(rm_moe_weights *weights, const ringmoe_moe_settings *settings,
                            const rm_moe_layout *layout, rm_matrix **list)
{
    int n = 0;
    append(list, &n, &weights->router);
    if (settings->noise == RINGMOE_NOISE_NOISY_TOPK) append(list, &n, &weights->router_noise);
    for (int e = 0; e < settings->n_experts / layout->expert_ranks; e++) {
        rm_swiglu unused, *expert = weights->experts ? &weights->experts[e] : &unused;
        append_swiglu(list, &n, expert);
    }
    if (settings->d_ff_shared) append_swiglu(list, &n, &weights->shared);
    return n;
}

/* SPDX-License-Identifier: MIT
 *
 * The layer's matrices on one rank: shapes, packed forms, and a list of all of them.
 */
#include "moe/layer.h"

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
    rm_swiglu_shape shape = {.d_model = width,
                             .d_ff = settings->d_ff,
                             .tensor_ranks = layout->tensor_ranks,
                             .tensor_rank = layout->tensor_rank,
                             .with_backward = with_backward,
                             .reproducible = layout->reproducible,
                             .precision = layout->precision};
    rm_arena none = {0};
    weights->experts = RM_TAKE(arena, n_local, rm_swiglu);
    for (int e = 0; e < n_local; e++) {
        rm_swiglu unused, *expert = weights->experts ? &weights->experts[e] : &unused;
        rm_swiglu_layout(expert, compute, &shape, layout->experts_apart ? &none : arena);
    }
    weights->shadows = (rm_shadows){0};
    weights->copies = RM_TAKE(arena, layout->shadows, rm_swiglu);
    for (int i = 0; i < layout->shadows; i++) {
        rm_swiglu unused, *copy = weights->copies ? &weights->copies[i] : &unused;
        rm_swiglu_layout(copy, compute, &shape, arena);
    }
    shape.d_ff = settings->d_ff_shared;
    shape.precision = layout->shared_precision;
    if (settings->d_ff_shared) rm_swiglu_layout(&weights->shared, compute, &shape, arena);
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

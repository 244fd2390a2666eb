/* SPDX-License-Identifier: MIT
 *
 * The layout of a microbatch's activations. The worst case of arriving rows is all choices of
 * all ranks that can fall on this rank's experts; its pages are touched only as far as rows
 * arrive, so what a run takes is measured with balanced load instead.
 */
#include "moe/saved.h"

static void row_buffers_layout(rm_moe_saved *saved, const ringmoe_moe_settings *settings,
                               int expert_ranks, int64_t max_received, bool with_backward,
                               rm_arena *activations, rm_arena *exchange)
{
    int64_t width = settings->d_model, sent = settings->max_tokens * settings->top_k * width;
    int64_t received = max_received * width;
    saved->outputs = RM_TAKE(activations, sent, rm_real);
    if (with_backward) saved->d_outputs = RM_TAKE(activations, received, rm_real);
    if (expert_ranks == 1) return;
    saved->travelling = RM_TAKE(exchange, sent, rm_real);
    saved->received = RM_TAKE(exchange, received, rm_real);
    saved->arriving = RM_TAKE(exchange, received, rm_real);
}

static void shared_layout(rm_moe_saved *saved, const ringmoe_moe_settings *settings,
                          bool with_backward, rm_arena *arena)
{
    int64_t n = settings->max_tokens;
    if (settings->d_ff_shared == 0) return;
    rm_swiglu_saved_layout(&saved->shared, n, settings->d_ff_shared, with_backward, arena);
    saved->shared_outputs = RM_TAKE(arena, n * settings->d_model, rm_real);
    if (settings->shared_gate) saved->gates = RM_TAKE(arena, n, rm_real);
}

/* Both arenas may be the same. */
static rm_moe_saved *layout(const ringmoe_moe_settings *settings, int expert_ranks,
                            int64_t max_received, bool with_backward, rm_arena *activations,
                            rm_arena *exchange)
{
    rm_moe_saved unused, *saved = RM_TAKE(activations, 1, rm_moe_saved), *target = saved;
    if (!target) target = &unused;
    *target = (rm_moe_saved){0};
    rm_routing_layout(&target->routing, settings, with_backward, activations);
    rm_route_layout(&target->plan, settings, expert_ranks, max_received, exchange);
    row_buffers_layout(target, settings, expert_ranks, max_received, with_backward, activations,
                       exchange);
    rm_swiglu_saved_layout(&target->experts, max_received, settings->d_ff, with_backward,
                           activations);
    shared_layout(target, settings, with_backward, activations);
    return saved;
}

static int64_t worst_received(const ringmoe_moe_settings *settings, int expert_ranks)
{
    int n_local = settings->n_experts / expert_ranks;
    int most = settings->top_k < n_local ? settings->top_k : n_local;
    return settings->max_tokens * most * expert_ranks;
}

void rm_moe_saved_layout(rm_moe_saved **saved, const ringmoe_moe_settings *settings,
                         int expert_ranks, bool with_backward, rm_arena *arena,
                         int64_t expected[2])
{
    *saved = layout(settings, expert_ranks, worst_received(settings, expert_ranks),
                    with_backward, arena, arena);
    if (!expected) return;
    rm_arena activations = {0}, exchange = {0};
    layout(settings, expert_ranks, settings->max_tokens * settings->top_k, with_backward,
           &activations, &exchange);
    expected[0] += (int64_t)activations.used;
    expected[1] += (int64_t)exchange.used;
}

/* SPDX-License-Identifier: MIT
 *
 * The layout of a microbatch's activations. The worst case of arriving rows is all choices of
 * all ranks that can fall on this rank's experts; its pages are touched only as far as rows
 * arrive, so what a run takes is measured with balanced load instead.
 */
#include "moe/saved.h"

/* Who a layout is for. */
typedef struct layout_sizes {
    const ringmoe_moe_settings *settings;
    int expert_ranks;
    int64_t max_received;
    bool with_backward;
} layout_sizes;

/* Where things go; both may be the same. */
typedef struct layout_arenas {
    rm_arena *activations, *exchange;
} layout_arenas;

static rm_moe_workspace *workspace_layout(const layout_sizes *sizes, layout_arenas arenas)
{
    const ringmoe_moe_settings *settings = sizes->settings;
    int64_t width = settings->d_model, n_sent = settings->max_tokens * settings->top_k;
    rm_moe_workspace unused, *workspace = RM_TAKE(arenas.activations, 1, rm_moe_workspace);
    rm_moe_workspace *target = workspace ? workspace : &unused;
    *target = (rm_moe_workspace){.rows = RM_TAKE(arenas.activations, n_sent * width, rm_real)};
    if (settings->shared_gate && sizes->with_backward)
        target->d_gates = RM_TAKE(arenas.activations, settings->max_tokens, rm_real);
    if (sizes->expert_ranks == 1) return workspace;
    target->arriving = RM_TAKE(arenas.exchange, sizes->max_received * width, rm_real);
    target->sent_weights = RM_TAKE(arenas.exchange, n_sent, rm_real);
    target->received_weights = RM_TAKE(arenas.exchange, sizes->max_received, rm_real);
    return workspace;
}

static void shared_layout(rm_moe_saved *saved, const layout_sizes *sizes, rm_arena *arena)
{
    const ringmoe_moe_settings *settings = sizes->settings;
    if (settings->d_ff_shared == 0) return;
    rm_swiglu_saved_layout(&saved->shared,
                           (rm_swiglu_sizes){.n_experts = 1,
                                             .n_sources = 1,
                                             .max_rows = settings->max_tokens,
                                             .d_ff = settings->d_ff_shared},
                           sizes->with_backward, arena);
    if (settings->shared_gate) saved->gates = RM_TAKE(arena, settings->max_tokens, rm_real);
}

static rm_moe_saved *saved_layout(const layout_sizes *sizes, layout_arenas arenas)
{
    const ringmoe_moe_settings *settings = sizes->settings;
    rm_moe_saved unused, *saved = RM_TAKE(arenas.activations, 1, rm_moe_saved);
    rm_moe_saved *target = saved ? saved : &unused;
    *target = (rm_moe_saved){0};
    rm_routing_layout(&target->routing, settings, sizes->with_backward, arenas.activations);
    rm_route_layout(&target->plan, settings, sizes->expert_ranks, sizes->max_received,
                    arenas.exchange);
    if (sizes->expert_ranks > 1)
        target->received =
            RM_TAKE(arenas.exchange, sizes->max_received * settings->d_model, rm_real);
    rm_swiglu_saved_layout(
        &target->experts,
        (rm_swiglu_sizes){.n_experts = settings->n_experts / sizes->expert_ranks,
                          .n_sources = sizes->expert_ranks,
                          .max_rows = sizes->max_received,
                          .d_ff = settings->d_ff},
        sizes->with_backward, arenas.activations);
    target->row_weights = RM_TAKE(arenas.activations, sizes->max_received, rm_real);
    shared_layout(target, sizes, arenas.activations);
    return saved;
}

/* --- worst and expected sizes --- */

static layout_sizes worst_sizes(const ringmoe_moe_settings *settings, int expert_ranks,
                                bool with_backward)
{
    int n_local = settings->n_experts / expert_ranks;
    int most = settings->top_k < n_local ? settings->top_k : n_local;
    return (layout_sizes){settings, expert_ranks, settings->max_tokens * most * expert_ranks,
                          with_backward};
}

static layout_sizes expected_sizes(layout_sizes sizes)
{
    sizes.max_received = sizes.settings->max_tokens * sizes.settings->top_k;
    return sizes;
}

void rm_moe_workspace_layout(rm_moe_workspace **workspace, const ringmoe_moe_settings *settings,
                             const rm_moe_layout *layout, rm_arena *arena, rm_shared *shared,
                             int64_t expected[2])
{
    layout_sizes sizes = worst_sizes(settings, layout->expert_ranks, layout->with_backward);
    (void)shared;
    *workspace = workspace_layout(&sizes, (layout_arenas){arena, arena});
    if (!expected) return;
    rm_arena activations = {0}, exchange = {0};
    sizes = expected_sizes(sizes);
    workspace_layout(&sizes, (layout_arenas){&activations, &exchange});
    expected[0] += (int64_t)activations.used;
    expected[1] += (int64_t)exchange.used;
}

void rm_moe_saved_layout(rm_moe_saved **saved, const rm_moe_workspace *workspace,
                         const ringmoe_moe_settings *settings, const rm_moe_layout *layout,
                         rm_arena *arena, rm_shared *shared, int64_t expected[2])
{
    layout_sizes sizes = worst_sizes(settings, layout->expert_ranks, layout->with_backward);
    (void)shared;
    *saved = saved_layout(&sizes, (layout_arenas){arena, arena});
    if (*saved) (*saved)->workspace = workspace;
    if (!expected) return;
    rm_arena activations = {0}, exchange = {0};
    sizes = expected_sizes(sizes);
    saved_layout(&sizes, (layout_arenas){&activations, &exchange});
    expected[0] += (int64_t)activations.used;
    expected[1] += (int64_t)exchange.used;
}

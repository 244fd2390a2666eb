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
    const rm_moe_layout *layout;
    int n_local;
    int n_far;              /* ranks that are reached by messages, at most */
    int n_members;          /* ranks that a message is for, at most */
    int64_t max_rows;       /* of this rank's experts */
    int64_t max_sum_rows;   /* of those that are added up here */
    int64_t far_rows;       /* of a message, at most */
    int64_t n_sent_far;     /* choices of experts that are reached by messages, at most */
    int64_t n_received_far; /* rows of experts that this rank takes messages for, at most */
    int64_t shadow_rows;    /* of experts that every rank has a copy of */
    int64_t width, d_ff, d_ff_shared;
} layout_sizes;

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The worst case. With two levels a message may hold all choices of its source. */
static layout_sizes sizes_of(const ringmoe_moe_settings *settings, const rm_moe_layout *layout,
                             bool two_level)
{
    int n_local = settings->n_experts / layout->expert_ranks;
    int64_t first, n_tokens = settings->max_tokens, most = least(settings->top_k, n_local);
    int64_t most_far = two_level ? settings->top_k : most;
    int64_t max_rows = n_tokens * most * layout->expert_ranks;
    int64_t max_sum_rows = n_tokens * most_far * layout->expert_ranks;
    return (layout_sizes){
        .settings = settings,
        .layout = layout,
        .n_local = n_local,
        .n_far = layout->expert_ranks - 1,
        .n_members = two_level ? layout->expert_ranks : 1,
        .max_rows = max_rows,
        .max_sum_rows = max_sum_rows,
        .far_rows = n_tokens + rm_far_notes(n_tokens * most_far, settings->d_model),
        .n_sent_far = n_tokens * settings->top_k,
        .n_received_far = max_sum_rows,
        .shadow_rows = n_tokens * least(settings->top_k, layout->shadows),
        .width = settings->d_model,
        .d_ff = rm_split(settings->d_ff, layout->tensor_ranks, layout->tensor_rank, &first),
        .d_ff_shared =
            rm_split(settings->d_ff_shared, layout->tensor_ranks, layout->tensor_rank, &first)};
}

/* With balanced load, where messages go to `n_far` ranks. With two levels these are fewer and
 * longer, and have no more rows in all. */
static layout_sizes expected_sizes(const ringmoe_moe_settings *settings,
                                   const rm_moe_layout *layout, int n_far, bool two_level)
{
    layout_sizes sizes = sizes_of(settings, layout, two_level);
    int64_t ranks = layout->expert_ranks, n_tokens = settings->max_tokens;
    int64_t n_choices = n_tokens * settings->top_k;
    int64_t of_a_rank = (n_choices + ranks - 1) / ranks;
    sizes.n_far = n_far;
    sizes.max_rows = sizes.max_sum_rows = n_choices;
    sizes.far_rows = least(n_tokens, of_a_rank) + rm_far_notes(of_a_rank, settings->d_model);
    sizes.n_sent_far = sizes.n_received_far = n_far * of_a_rank;
    return sizes;
}

/* --- in shared memory --- */

static rm_real *take_block(const layout_sizes *sizes, rm_shared *shared, rm_arena *arena,
                           int n_far)
{
    return rm_shared_take_rows(
        shared, arena, sizes->settings->max_tokens + n_far * sizes->far_rows, sizes->width);
}

static void share_saved(rm_moe_saved *saved, const layout_sizes *sizes, rm_shared *shared,
                        rm_arena *arena, int n_far)
{
    saved->x_block = take_block(sizes, shared, arena, n_far);
    if (sizes->layout->split_backward)
        saved->d_y_block = take_block(sizes, shared, arena, n_far);
}

static void share_workspace(rm_moe_workspace *workspace, const layout_sizes *sizes,
                            rm_shared *shared, rm_arena *arena, int n_far)
{
    const ringmoe_moe_settings *settings = sizes->settings;
    int64_t n_choices = settings->max_tokens * settings->top_k;
    workspace->notices =
        (rm_notices){.run_firsts = RM_TAKE(arena, settings->n_experts, int64_t),
                     .run_rows = RM_TAKE(arena, settings->n_experts, int64_t),
                     .first_slots = RM_TAKE(arena, settings->n_experts + 1, int32_t),
                     .tokens = RM_TAKE(arena, n_choices, int32_t),
                     .weights = RM_TAKE(arena, n_choices, rm_real)};
    workspace->outputs = rm_shared_take_rows(shared, arena, sizes->max_rows, sizes->width);
    if (!sizes->layout->with_backward) return;
    workspace->d_weights = RM_TAKE(arena, sizes->max_rows, rm_real);
    if (!sizes->layout->split_backward)
        workspace->d_y_block = take_block(sizes, shared, arena, n_far);
}

static bool is_measuring(const rm_shared *shared)
{
    return !shared->base;
}

/* Ranks that are reached through memory, this one among them. One rank shares nothing. */
static int count_near(const rm_shared *shared)
{
    if (!shared) return 1;
    return is_measuring(shared) ? shared->n_near : shared->n_members;
}

/* --- the workspace --- */

static void lay_out_messages(rm_moe_workspace *workspace, const layout_sizes *sizes,
                             rm_arena *arena)
{
    int64_t ranks = sizes->layout->expert_ranks, width = sizes->width;
    int64_t sent = sizes->n_sent_far, received = sizes->n_received_far;
    rm_axis axis = {.size = sizes->layout->expert_ranks};
    int n_counts = sizes->n_local + RM_N_FAR_COUNTS;
    workspace->sent = RM_TAKE(arena, sizes->n_far * sizes->far_rows * width, rm_real);
    workspace->came_back =
        RM_TAKE(arena, (sent + rm_far_gradient_notes(sent, width) + ranks) * width, rm_real);
    workspace->sent_back = RM_TAKE(
        arena, (received + rm_far_gradient_notes(received, width) + ranks) * width, rm_real);
    workspace->counts_out = RM_TAKE(arena, ranks * n_counts, int32_t);
    workspace->counts_in = RM_TAKE(arena, ranks * n_counts, int32_t);
    workspace->counts_room =
        RM_TAKE(arena, rm_exchange_counts_workspace(&axis, n_counts), int32_t);
    workspace->messages = RM_TAKE(arena, 4 * ranks, rm_message);
    workspace->rows_numbers = RM_TAKE(arena, ranks, int);
    workspace->sums_numbers = RM_TAKE(arena, ranks, int);
}

static rm_swiglu_sizes swiglu_sizes(const layout_sizes *sizes)
{
    return (rm_swiglu_sizes){.n_experts = sizes->n_local,
                             .n_sources = sizes->layout->expert_ranks,
                             .max_rows = sizes->max_rows,
                             .d_ff = sizes->d_ff,
                             .borrows_hidden = sizes->layout->with_backward &&
                                               !sizes->layout->split_backward};
}

static rm_swiglu_sizes shared_sizes(const layout_sizes *sizes)
{
    return (rm_swiglu_sizes){.n_experts = 1,
                             .n_sources = 1,
                             .max_rows = sizes->settings->max_tokens,
                             .d_ff = sizes->d_ff_shared,
                             .borrows_hidden = swiglu_sizes(sizes).borrows_hidden};
}

static rm_swiglu_sizes shadow_sizes(const layout_sizes *sizes)
{
    return (rm_swiglu_sizes){.n_experts = sizes->layout->shadows,
                             .n_sources = 1,
                             .max_rows = sizes->shadow_rows,
                             .d_ff = sizes->d_ff,
                             .borrows_hidden = swiglu_sizes(sizes).borrows_hidden};
}

static void lay_out_shadows(rm_moe_workspace *workspace, const layout_sizes *sizes,
                            rm_arena *arena)
{
    int64_t n_leaves = sizes->layout->shadows + 1, n = sizes->width * sizes->d_ff;
    if (swiglu_sizes(sizes).borrows_hidden)
        workspace->shadow_hidden =
            RM_TAKE(arena, rm_swiglu_hidden_elements(shadow_sizes(sizes)), rm_real);
    workspace->shadow_outputs = RM_TAKE(arena, sizes->shadow_rows * sizes->width, rm_real);
    workspace->shadow_d_weights = RM_TAKE(arena, sizes->shadow_rows, rm_real);
    workspace->leaves = RM_TAKE(arena, n_leaves * 3 * n, rm_real);
}

static void lay_out_workspace(rm_moe_workspace *workspace, const layout_sizes *sizes,
                              rm_arena *arena)
{
    const rm_moe_layout *layout = sizes->layout;
    int64_t n_tokens = sizes->settings->max_tokens;
    bool has_shared = sizes->settings->d_ff_shared > 0;
    workspace->outputs_of = RM_TAKE(arena, layout->expert_ranks, const rm_real *);
    if (swiglu_sizes(sizes).borrows_hidden) {
        workspace->hidden =
            RM_TAKE(arena, rm_swiglu_hidden_elements(swiglu_sizes(sizes)), rm_real);
        if (has_shared)
            workspace->shared_hidden =
                RM_TAKE(arena, rm_swiglu_hidden_elements(shared_sizes(sizes)), rm_real);
    }
    if (has_shared && layout->with_backward)
        workspace->shared_d_x = RM_TAKE(arena, n_tokens * sizes->width, rm_real);
    if (layout->shadows) lay_out_shadows(workspace, sizes, arena);
    if (layout->expert_ranks > 1) return;
    workspace->outputs = RM_TAKE(arena, sizes->max_rows * sizes->width, rm_real);
    if (layout->with_backward) workspace->d_weights = RM_TAKE(arena, sizes->max_rows, rm_real);
}

/* `exchange` for what there is on several ranks only; both arenas may be the same. */
static rm_moe_workspace *make_workspace(const layout_sizes *sizes, rm_arena *arena,
                                        rm_arena *exchange, rm_shared *shared)
{
    int ranks = sizes->layout->expert_ranks;
    rm_moe_workspace unused, *workspace = RM_TAKE(arena, 1, rm_moe_workspace);
    rm_moe_workspace *target = workspace ? workspace : &unused;
    *target = (rm_moe_workspace){.shared = shared};
    lay_out_workspace(target, sizes, arena);
    if (ranks == 1) return workspace;
    lay_out_messages(target, sizes, exchange);
    /* Ranks that are reached by messages: as it is, or measured with and without members. */
    if (is_measuring(shared)) share_workspace(target, sizes, shared, &shared->alone, ranks - 1);
    share_workspace(target, sizes, shared, &shared->arena, ranks - count_near(shared));
    return workspace;
}

void rm_moe_workspace_layout(rm_moe_workspace **workspace, const ringmoe_moe_settings *settings,
                             const rm_moe_layout *layout, rm_arena *arena, rm_shared *shared,
                             int64_t expected[2])
{
    layout_sizes sizes = sizes_of(settings, layout, shared && shared->two_level);
    *workspace = make_workspace(&sizes, arena, arena, shared);
    if (!expected) return;
    rm_arena own = {0};
    rm_shared common = {.unit = RM_ARENA_ALIGN, .n_near = count_near(shared)};
    sizes = expected_sizes(settings, layout, layout->expert_ranks - common.n_near,
                           shared && shared->two_level);
    make_workspace(&sizes, &own, &own, &common);
    expected[0] += (int64_t)own.used;
    expected[1] += (int64_t)common.arena.used;
}

/* --- what is saved --- */

static void lay_out_shared_expert(rm_moe_saved *saved, const layout_sizes *sizes,
                                  const rm_moe_workspace *workspace, rm_arena *arena)
{
    const ringmoe_moe_settings *settings = sizes->settings;
    if (settings->d_ff_shared == 0) return;
    rm_swiglu_saved_layout(&saved->shared, shared_sizes(sizes), sizes->layout->with_backward,
                           arena);
    if (workspace && workspace->shared_hidden) saved->shared.hidden = workspace->shared_hidden;
    if (!settings->shared_gate) return;
    saved->gates = RM_TAKE(arena, settings->max_tokens, rm_real);
    if (sizes->layout->with_backward)
        saved->d_gates = RM_TAKE(arena, settings->max_tokens, rm_real);
}

static void save_shadows(rm_moe_saved *saved, const layout_sizes *sizes,
                         const rm_moe_workspace *workspace, rm_arena *arena)
{
    rm_swiglu_saved_layout(&saved->shadows, shadow_sizes(sizes), sizes->layout->with_backward,
                           arena);
    if (workspace && workspace->shadow_hidden) saved->shadows.hidden = workspace->shadow_hidden;
    saved->shadow_weights = RM_TAKE(arena, sizes->shadow_rows, rm_real);
}

static void lay_out_plans(rm_moe_saved *saved, const layout_sizes *sizes, rm_arena *arena)
{
    const ringmoe_moe_settings *settings = sizes->settings;
    int ranks = sizes->layout->expert_ranks;
    rm_route_layout(&saved->plan, settings, arena);
    saved->places = RM_TAKE(arena, settings->max_tokens * settings->top_k, int32_t);
    rm_arrivals_layout(&saved->arrivals, sizes->n_local, ranks, sizes->max_rows, arena);
    if (ranks > 1)
        rm_far_layout(&saved->far, settings, ranks, sizes->n_members, sizes->max_sum_rows,
                      arena);
}

static rm_moe_saved *make_saved(const layout_sizes *sizes, const rm_moe_workspace *workspace,
                                rm_arena *arena, rm_arena *exchange, rm_shared *shared)
{
    const rm_moe_layout *layout = sizes->layout;
    int ranks = layout->expert_ranks;
    rm_moe_saved unused, *saved = RM_TAKE(arena, 1, rm_moe_saved);
    rm_moe_saved *target = saved ? saved : &unused;
    *target = (rm_moe_saved){.workspace = workspace};
    rm_routing_layout(&target->routing, sizes->settings, layout->with_backward, arena);
    lay_out_plans(target, sizes, exchange);
    rm_swiglu_saved_layout(&target->experts, swiglu_sizes(sizes), layout->with_backward, arena);
    if (workspace && workspace->hidden) target->experts.hidden = workspace->hidden;
    lay_out_shared_expert(target, sizes, workspace, arena);
    if (layout->shadows) save_shadows(target, sizes, workspace, arena);
    if (ranks == 1) {
        if (layout->split_backward)
            target->d_y_block =
                RM_TAKE(arena, sizes->settings->max_tokens * sizes->width, rm_real);
        return saved;
    }
    if (is_measuring(shared)) share_saved(target, sizes, shared, &shared->alone, ranks - 1);
    share_saved(target, sizes, shared, &shared->arena, ranks - count_near(shared));
    return saved;
}

void rm_moe_saved_layout(rm_moe_saved **saved, const rm_moe_workspace *workspace,
                         const ringmoe_moe_settings *settings, const rm_moe_layout *layout,
                         rm_arena *arena, rm_shared *shared, int64_t expected[2])
{
    layout_sizes sizes = sizes_of(settings, layout, shared && shared->two_level);
    *saved = make_saved(&sizes, workspace, arena, arena, shared);
    if (!expected) return;
    rm_arena own = {0};
    rm_shared common = {.unit = RM_ARENA_ALIGN, .n_near = count_near(shared)};
    sizes = expected_sizes(settings, layout, layout->expert_ranks - common.n_near,
                           shared && shared->two_level);
    make_saved(&sizes, workspace, &own, &own, &common);
    expected[0] += (int64_t)own.used;
    expected[1] += (int64_t)common.arena.used;
}

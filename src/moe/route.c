/* SPDX-License-Identifier: MIT
 *
 * Building the route plan: capacity, a counting sort of the choices by expert, and the order of
 * received rows. See the drawing in route.h.
 */
#include "moe/route.h"

#include <math.h>
#include <string.h>

void rm_route_layout(rm_route_plan *plan, const ringmoe_moe_settings *settings,
                     int expert_ranks, int64_t max_received, rm_arena *arena)
{
    int64_t n_choices = settings->max_tokens * settings->top_k, ranks = expert_ranks;
    int n_local = settings->n_experts / expert_ranks;
    rm_axis axis = {.size = expert_ranks};
    *plan = (rm_route_plan){.max_received = max_received,
                            .slots = RM_TAKE(arena, n_choices, int32_t),
                            .tokens = RM_TAKE(arena, n_choices, int32_t),
                            .send_counts = RM_TAKE(arena, settings->n_experts, int32_t),
                            .send_rows = RM_TAKE(arena, ranks, int64_t),
                            .recv_counts = RM_TAKE(arena, settings->n_experts, int32_t),
                            .recv_rows = RM_TAKE(arena, ranks, int64_t),
                            .offsets = RM_TAKE(arena, n_local + 1, int64_t),
                            .run_rows = RM_TAKE(arena, settings->n_experts, int64_t)};
    if (expert_ranks == 1) return;
    plan->order = RM_TAKE(arena, max_received, int32_t);
    plan->workspace = RM_TAKE(arena, rm_exchange_counts_workspace(&axis, n_local), int32_t);
}

/* A factor such as 1.1 is not exact in binary; its rounding must not add a place. */
int64_t rm_route_capacity(const ringmoe_moe_settings *settings, int64_t n_tokens)
{
    static const double rounding = 2e-7;
    if (settings->capacity_factor <= 0) return INT64_MAX;
    double mean = (double)n_tokens * settings->top_k / settings->n_experts;
    return (int64_t)ceil((double)settings->capacity_factor * mean * (1 - rounding));
}

/* Counts the choices each expert takes and marks the others, -1, in slots. Priority: the first
 * choices of all tokens, then the second ones, and so on. */
static void take_choices(rm_route_plan *plan, const ringmoe_moe_settings *settings,
                         const rm_routing *routing)
{
    int64_t capacity = rm_route_capacity(settings, routing->n_tokens);
    int k = settings->top_k;
    plan->n_dropped = 0;
    memset(plan->send_counts, 0, (size_t)settings->n_experts * sizeof *plan->send_counts);
    for (int j = 0; j < k; j++) {
        for (int64_t i = j; i < routing->n_tokens * k; i += k) {
            int32_t *count = &plan->send_counts[routing->chosen[i]];
            bool taken = *count < capacity;
            plan->slots[i] = taken ? 0 : -1;
            *count += taken;
            plan->n_dropped += !taken;
        }
    }
}

/* Where each expert's rows begin in send order: first the offsets in place of the counts, then,
 * as rows are handed out, the ends. The counts are restored from neighbouring ends. */
static void hand_out_slots(rm_route_plan *plan, const ringmoe_moe_settings *settings,
                           const rm_routing *routing)
{
    int32_t *next = plan->send_counts, start = 0;
    for (int e = 0; e < settings->n_experts; e++) {
        int32_t count = next[e];
        next[e] = start;
        start += count;
    }
    for (int64_t i = 0; i < routing->n_tokens * settings->top_k; i++) {
        if (plan->slots[i] < 0) continue;
        int32_t slot = next[routing->chosen[i]]++;
        plan->slots[i] = slot;
        plan->tokens[slot] = (int32_t)(i / settings->top_k);
    }
    for (int e = settings->n_experts - 1; e > 0; e--) next[e] -= next[e - 1];
    plan->n_sent = start;
}

void rm_route_plan_send(rm_route_plan *plan, const ringmoe_moe_settings *settings,
                        int expert_ranks, const rm_routing *routing)
{
    int n_local = settings->n_experts / expert_ranks;
    take_choices(plan, settings, routing);
    hand_out_slots(plan, settings, routing);
    for (int r = 0; r < expert_ranks; r++) {
        plan->send_rows[r] = 0;
        for (int e = 0; e < n_local; e++)
            plan->send_rows[r] += plan->send_counts[r * n_local + e];
    }
}

/* Runs and offsets from the counts; returns the rows received. */
static int64_t lay_out_runs(rm_route_plan *plan, int expert_ranks, int n_local)
{
    int64_t row = 0;
    for (int e = 0; e < n_local; e++) {
        plan->offsets[e] = row;
        for (int s = 0; s < expert_ranks; s++) {
            int64_t run = plan->recv_counts[s * n_local + e];
            plan->run_rows[e * expert_ranks + s] = run;
            row += run;
        }
    }
    plan->offsets[n_local] = row;
    return row;
}

/* Walks the received order and notes each row at its place in expert order. */
static void order_rows(rm_route_plan *plan, int expert_ranks, int n_local)
{
    int32_t received = 0;
    for (int s = 0; s < expert_ranks; s++) {
        for (int e = 0; e < n_local; e++) {
            int64_t row = plan->offsets[e];
            for (int before = 0; before < s; before++)
                row += plan->run_rows[e * expert_ranks + before];
            for (int64_t i = 0; i < plan->run_rows[e * expert_ranks + s]; i++)
                plan->order[row + i] = received++;
        }
    }
}

ringmoe_status rm_route_plan_receive(rm_route_plan *plan, int expert_ranks, int n_local,
                                     rm_error *error)
{
    for (int s = 0; s < expert_ranks; s++) {
        plan->recv_rows[s] = 0;
        for (int e = 0; e < n_local; e++)
            plan->recv_rows[s] += plan->recv_counts[s * n_local + e];
    }
    plan->n_received = lay_out_runs(plan, expert_ranks, n_local);
    if (plan->n_received > plan->max_received)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "%lld rows arrive at this rank's experts, more than the %lld that "
                       "max_tokens allows; give every rank the same max_tokens",
                       (long long)plan->n_received, (long long)plan->max_received);
    if (plan->order) order_rows(plan, expert_ranks, n_local);
    return RINGMOE_OK;
}

/* SPDX-License-Identifier: MIT
 *
 * Building the route plan: capacity, a counting sort of the choices by expert, and another by
 * token. See the drawing in route.h.
 */
#include "moe/route.h"

#include <math.h>
#include <string.h>

void rm_route_layout(rm_route_plan *plan, const ringmoe_moe_settings *settings, rm_arena *arena)
{
    int64_t n_choices = settings->max_tokens * settings->top_k;
    *plan = (rm_route_plan){.slots = RM_TAKE(arena, n_choices, int32_t),
                            .tokens = RM_TAKE(arena, n_choices, int32_t),
                            .experts = RM_TAKE(arena, n_choices, int32_t),
                            .first_slots = RM_TAKE(arena, settings->n_experts + 1, int32_t),
                            .token_firsts =
                                RM_TAKE(arena, (int64_t)settings->max_tokens + 1, int32_t),
                            .token_slots = RM_TAKE(arena, n_choices, int32_t)};
}

int rm_shadow_number(const rm_shadows *shadows, int expert)
{
    for (int i = 0; i < shadows->n; i++)
        if (shadows->experts[i] == expert) return i;
    return -1;
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
                         const rm_routing *routing, int32_t *counts)
{
    int64_t capacity = rm_route_capacity(settings, routing->n_tokens);
    int k = settings->top_k;
    plan->n_dropped = 0;
    memset(counts, 0, (size_t)settings->n_experts * sizeof *counts);
    for (int j = 0; j < k; j++) {
        for (int64_t i = j; i < routing->n_tokens * k; i += k) {
            int32_t *count = &counts[routing->chosen[i]];
            bool taken = *count < capacity;
            plan->slots[i] = taken ? 0 : -1;
            *count += taken;
            plan->n_dropped += !taken;
        }
    }
}

/* In place of n counts the running sums before them, and the total behind. */
static void counts_to_firsts(int64_t n, int32_t *counts)
{
    int32_t start = 0;
    for (int64_t i = 0; i < n; i++) {
        int32_t count = counts[i];
        counts[i] = start;
        start += count;
    }
    counts[n] = start;
}

/* After every entry i has been advanced to its end, which is the next one's beginning. */
static void ends_to_firsts(int64_t n, int32_t *ends)
{
    for (int64_t i = n - 1; i > 0; i--) ends[i] = ends[i - 1];
    if (n > 0) ends[0] = 0;
}

/* From the counts to the first slots: choices that stay here come last. */
static void lay_out_slots(rm_route_plan *plan, int n_experts)
{
    int32_t *firsts = plan->first_slots, *shadows = plan->first_shadow_slots;
    for (int i = 0; i < plan->shadows.n; i++) {
        int32_t *count = &firsts[plan->shadows.experts[i]];
        shadows[i] = *count;
        *count = 0;
    }
    counts_to_firsts(n_experts, firsts);
    counts_to_firsts(plan->shadows.n, shadows);
    plan->n_away = firsts[n_experts];
    for (int i = 0; i <= plan->shadows.n; i++) shadows[i] += firsts[n_experts];
    plan->n_sent = shadows[plan->shadows.n];
}

static void hand_out_slots(rm_route_plan *plan, const ringmoe_moe_settings *settings,
                           const rm_routing *routing)
{
    int32_t *next = plan->first_slots;
    int32_t *next_shadows = plan->first_shadow_slots;
    lay_out_slots(plan, settings->n_experts);
    for (int64_t i = 0; i < routing->n_tokens * settings->top_k; i++) {
        if (plan->slots[i] < 0) continue;
        int shadow = rm_shadow_number(&plan->shadows, routing->chosen[i]);
        int32_t slot = shadow < 0 ? next[routing->chosen[i]]++ : next_shadows[shadow]++;
        plan->slots[i] = slot;
        plan->tokens[slot] = (int32_t)(i / settings->top_k);
        plan->experts[slot] = routing->chosen[i];
    }
    ends_to_firsts(settings->n_experts, next);
    if (plan->shadows.n == 0) return;
    ends_to_firsts(plan->shadows.n, next_shadows);
    next_shadows[0] = (int32_t)plan->n_away;
}

/* Expert after expert, so each token's slots come in the order of its experts. */
static void sort_by_token(rm_route_plan *plan, int n_experts, int64_t n_tokens)
{
    int32_t *next = plan->token_firsts;
    memset(next, 0, (size_t)(n_tokens + 1) * sizeof *next);
    for (int64_t slot = 0; slot < plan->n_sent; slot++) next[plan->tokens[slot]]++;
    counts_to_firsts(n_tokens, next);
    for (int expert = 0; expert < n_experts; expert++) {
        int shadow = rm_shadow_number(&plan->shadows, expert);
        const int32_t *firsts =
            shadow < 0 ? plan->first_slots + expert : plan->first_shadow_slots + shadow;
        for (int32_t slot = firsts[0]; slot < firsts[1]; slot++)
            plan->token_slots[next[plan->tokens[slot]]++] = slot;
    }
    ends_to_firsts(n_tokens, next);
}

void rm_route_plan_make(rm_route_plan *plan, const ringmoe_moe_settings *settings,
                        const rm_routing *routing)
{
    take_choices(plan, settings, routing, plan->first_slots);
    hand_out_slots(plan, settings, routing);
    sort_by_token(plan, settings->n_experts, routing->n_tokens);
}

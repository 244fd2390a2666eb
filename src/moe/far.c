/* SPDX-License-Identifier: MIT */
#include "moe/far.h"

#include <string.h>

#include "moe/combine.h"

void rm_far_layout(rm_far *far, const ringmoe_moe_settings *settings, int n_ranks,
                   int n_members, int64_t max_rows, rm_arena *arena)
{
    int64_t n_tokens = settings->max_tokens;
    int64_t n_runs = (int64_t)n_members * settings->n_experts;
    *far = (rm_far){.n_ranks = n_ranks,
                    .is_far = RM_TAKE(arena, n_ranks, bool),
                    .through = RM_TAKE(arena, n_ranks, int),
                    .takers = RM_TAKE(arena, n_ranks, int),
                    .partners = RM_TAKE(arena, n_ranks, rm_partner),
                    .slot_rows = RM_TAKE(arena, n_tokens * settings->top_k, int32_t),
                    .row_tokens = RM_TAKE(arena, n_tokens * n_ranks, int32_t),
                    .sum_firsts = RM_TAKE(arena, max_rows + 1, int32_t),
                    .sum_rows = RM_TAKE(arena, max_rows, int32_t),
                    .sum_experts = RM_TAKE(arena, max_rows, int32_t),
                    .output_rows = RM_TAKE(arena, n_members, int64_t),
                    .run_firsts = RM_TAKE(arena, n_runs, int64_t),
                    .run_rows = RM_TAKE(arena, n_runs, int64_t),
                    .counts = RM_TAKE(arena, n_tokens + 1, int32_t)};
}

/* --- ways --- */

/* The ranks of another node, [*first, *end), that `rank` is one of; they are neighbours. */
static void find_node(const rm_axis *axis, int rank, int *first, int *end)
{
    int node = rm_axis_node(axis, rank);
    *first = rank;
    *end = rank + 1;
    while (*first > 0 && rm_axis_node(axis, *first - 1) == node) --*first;
    while (*end < axis->size && rm_axis_node(axis, *end) == node) ++*end;
}

void rm_far_find_ways(rm_far *far, const rm_shared *shared, int rank)
{
    const rm_axis *axis = shared->axis;
    far->relays = shared->two_level && shared->is_made && shared->n_members < far->n_ranks;
    far->first_rank = rank;
    far->end_rank = rank + 1;
    if (far->relays) find_node(axis, rank, &far->first_rank, &far->end_rank);
    for (int r = 0; r < far->n_ranks; r++) {
        int first = r, end = r + 1;
        far->is_far[r] = shared->places[r] < 0;
        if (far->relays && far->is_far[r]) find_node(axis, r, &first, &end);
        far->through[r] = first + rank % (end - first);
        far->takers[r] = far->first_rank + r % (far->end_rank - far->first_rank);
        if (far->through[r] != r) end = first;
        far->partners[r] =
            (rm_partner){.far = far->is_far[r], .first_rank = first, .end_rank = end};
    }
}

static int64_t rows_for(int64_t bytes, int64_t width)
{
    int64_t row = width * (int64_t)sizeof(rm_real);
    return (bytes + row - 1) / row;
}

int64_t rm_far_notes(int64_t n_slots, int64_t width)
{
    return rows_for(n_slots * (int64_t)(sizeof(rm_real) + sizeof(int32_t)), width);
}

int64_t rm_far_gradient_notes(int64_t n_slots, int64_t width)
{
    return rows_for(n_slots * (int64_t)sizeof(rm_real), width);
}

/* The node of a choice's sum: the largest within the ranks of a message that has no expert
 * whose rows stay at home, since those are missing in what is added up there. */
static int32_t node_of(const rm_far *far, int32_t expert, int first, int last, int n_experts)
{
    for (int i = 0; i < far->shadows.n; i++) {
        int shadow = far->shadows.experts[i];
        if (shadow < expert && shadow >= first) first = shadow + 1;
        if (shadow > expert && shadow < last) last = shadow;
    }
    return rm_combine_node(expert, first, last, n_experts);
}

/* --- out --- */

/* The choices of one token, in the order of their experts. */
static void plan_token(rm_far *far, const rm_route_plan *plan, int n_experts,
                       int64_t max_tokens, int64_t token, int32_t *places)
{
    int n_local = n_experts / far->n_ranks, last_rank = -1;
    int32_t last_node = -1;
    for (int32_t i = plan->token_firsts[token]; i < plan->token_firsts[token + 1]; i++) {
        int32_t slot = plan->token_slots[i], expert = plan->experts[slot];
        int rank = far->through[expert / n_local];
        rm_partner *partner = &far->partners[rank];
        if (!partner->far || slot >= plan->n_away) continue;
        int32_t node = node_of(far, expert, partner->first_rank * n_local,
                               partner->end_rank * n_local, n_experts);
        bool is_new = rank != last_rank;
        if (is_new) far->row_tokens[rank * max_tokens + partner->rows++] = (int32_t)token;
        far->slot_rows[slot] = (int32_t)(partner->rows - 1);
        places[slot] = is_new || node != last_node ? (int32_t)partner->sums++ : -1;
        last_rank = rank;
        last_node = node;
    }
}

void rm_far_plan_out(rm_far *far, const rm_route_plan *plan, int n_experts, int64_t n_tokens,
                     int64_t max_tokens, int64_t width, int32_t *places)
{
    int n_local = n_experts / far->n_ranks;
    int64_t rows_at = 0, sums_at = 0;
    far->shadows = plan->shadows;
    for (int r = 0; r < far->n_ranks; r++) {
        rm_partner *partner = &far->partners[r];
        partner->rows = partner->sums = 0;
        partner->slots = plan->first_slots[partner->end_rank * n_local] -
                         plan->first_slots[partner->first_rank * n_local];
    }
    for (int64_t token = 0; token < n_tokens; token++)
        plan_token(far, plan, n_experts, max_tokens, token, places);
    for (int r = 0; r < far->n_ranks; r++) {
        rm_partner *partner = &far->partners[r];
        if (!partner->far) continue;
        partner->rows_at = rows_at;
        partner->sums_at = sums_at;
        rows_at += partner->rows + rm_far_notes(partner->slots, width);
        sums_at += partner->sums + rm_far_gradient_notes(partner->slots, width);
    }
}

/* --- in --- */

/* Where what one rank here takes lies in its memory, and, if that is this one, what goes back.
 */
static void place_messages(rm_far *far, int taker, bool is_here, int64_t width)
{
    int64_t rows_at = 0, sums_at = 0;
    for (int s = 0; s < far->n_ranks; s++) {
        rm_partner *partner = &far->partners[s];
        if (!partner->far || far->takers[s] != taker) continue;
        partner->got_rows_at = rows_at;
        rows_at += partner->got_rows + rm_far_notes(partner->got_slots, width);
        if (!is_here) continue;
        partner->got_sums_at = sums_at;
        sums_at += partner->got_slots + rm_far_gradient_notes(partner->got_slots, width);
    }
}

void rm_far_plan_in(rm_far *far, const rm_arrivals *arrivals, int rank, int64_t width)
{
    far->n_sums = 0;
    far->sum_firsts[0] = 0;
    for (int s = 0; s < far->n_ranks; s++) {
        rm_partner *partner = &far->partners[s];
        if (!partner->far) continue;
        partner->got_rows = rm_arrivals_far_count(arrivals, s, RM_COUNT_ROWS);
        partner->got_slots = rm_arrivals_far_count(arrivals, s, RM_COUNT_SLOTS);
        partner->got_before = rm_arrivals_far_count(arrivals, s, RM_COUNT_BEFORE);
    }
    for (int taker = far->first_rank; taker < far->end_rank; taker++)
        place_messages(far, taker, taker == rank, width);
}

static const int32_t *row_numbers(const rm_partner *partner, const rm_real *notes)
{
    return (const int32_t *)(notes + partner->got_slots);
}

void rm_far_read_notes(const rm_far *far, rm_arrivals *arrivals, int source,
                       const rm_real *notes, int64_t first_row)
{
    const rm_partner *partner = &far->partners[source];
    const int32_t *slot_rows = row_numbers(partner, notes);
    int64_t slot = partner->got_before;
    for (int e = 0; e < arrivals->n_local; e++) {
        int64_t run = (int64_t)e * arrivals->n_sources + source;
        for (int64_t i = 0; i < arrivals->run_rows[run]; i++, slot++) {
            int64_t row = arrivals->run_firsts[run] + i;
            arrivals->x_rows[row] = (int32_t)(first_row + slot_rows[slot]);
            arrivals->weights[row] = notes[slot];
        }
    }
}

/* --- sums --- */

/* Sorts the source's choices by row of the message; they come in the order of experts, of which
 * each rank has n_local. The sorted ones lie in sum_rows and sum_experts from `start` on; row
 * r's end at counts[r]. */
static void sort_by_row(rm_far *far, int source, const int32_t *slot_rows, int32_t start,
                        int n_local)
{
    const rm_partner *partner = &far->partners[source];
    int32_t *next = far->counts, at = start;
    memset(next, 0, (size_t)partner->got_rows * sizeof *next);
    for (int64_t i = 0; i < partner->got_slots; i++) next[slot_rows[i]]++;
    for (int64_t row = 0; row < partner->got_rows; row++) {
        int32_t n = next[row];
        next[row] = at;
        at += n;
    }
    int64_t slot = 0;
    for (int e = 0; e < (far->end_rank - far->first_rank) * n_local; e++) {
        int64_t run = (int64_t)e * far->n_ranks + source;
        int64_t first = far->output_rows[e / n_local] + far->run_firsts[run];
        for (int64_t i = 0; i < far->run_rows[run]; i++, slot++) {
            int32_t place = next[slot_rows[slot]]++;
            far->sum_rows[place] = (int32_t)(first + i);
            far->sum_experts[place] = far->first_rank * n_local + e;
        }
    }
}

/* Cuts each row's choices where a new node begins. */
static void cut_into_sums(rm_far *far, int source, int32_t start, int n_local, int n_experts)
{
    rm_partner *partner = &far->partners[source];
    partner->got_sums = 0;
    int32_t place = start;
    for (int64_t row = 0; row < partner->got_rows; row++) {
        int32_t last_node = -1;
        for (; place < far->counts[row]; place++) {
            int32_t node = node_of(far, far->sum_experts[place], far->first_rank * n_local,
                                   far->end_rank * n_local, n_experts);
            if (node != last_node) {
                far->sum_firsts[far->n_sums++] = place;
                partner->got_sums++;
            }
            last_node = node;
        }
    }
    far->sum_firsts[far->n_sums] = place;
}

void rm_far_plan_sums(rm_far *far, int source, int n_experts, const rm_real *notes)
{
    rm_partner *partner = &far->partners[source];
    int32_t start = far->sum_firsts[far->n_sums];
    int n_local = n_experts / far->n_ranks;
    partner->first_sum = far->n_sums;
    sort_by_row(far, source, row_numbers(partner, notes), start, n_local);
    cut_into_sums(far, source, start, n_local, n_experts);
}

/* SPDX-License-Identifier: MIT */
#include "moe/arrivals.h"

#include "comm/shared.h"

void rm_arrivals_layout(rm_arrivals *arrivals, int n_local, int n_sources, int64_t max_rows,
                        rm_arena *arena)
{
    int64_t n_runs = (int64_t)n_local * n_sources;
    *arrivals = (rm_arrivals){
        .n_local = n_local,
        .n_sources = n_sources,
        .max_rows = max_rows,
        .counts = RM_TAKE(arena, n_runs + RM_N_FAR_COUNTS * (int64_t)n_sources, int32_t),
        .groups = RM_TAKE(arena, n_sources, int),
        .offsets = RM_TAKE(arena, RM_MOST_GROUPS * ((int64_t)n_local + 1), int64_t),
        .run_firsts = RM_TAKE(arena, n_runs, int64_t),
        .run_rows = RM_TAKE(arena, n_runs, int64_t),
        .x_rows = RM_TAKE(arena, max_rows, int32_t),
        .weights = RM_TAKE(arena, max_rows, rm_real)};
}

void rm_arrivals_group(rm_arrivals *arrivals, int rank, const int *ways, bool overlap,
                       bool two_level)
{
    int n = arrivals->n_sources, n_far = 0, seen = 0;
    for (int s = 0; s < n; s++) n_far += ways[s] != RM_WAY_MEMORY;
    int most_groups = two_level ? 1 : RM_MOST_FAR_GROUPS;
    int n_far_groups = n_far < most_groups ? n_far : most_groups;
    bool several = overlap && n_far > 0;
    arrivals->n_groups = several ? n_far_groups + (two_level ? 1 : 2) : 1;
    for (int distance = 0; distance < n; distance++) {
        int source = (rank - distance + n) % n;
        if (!several)
            arrivals->groups[source] = 0;
        else if (ways[source] != RM_WAY_MEMORY)
            arrivals->groups[source] = 1 + seen++ * n_far_groups / n_far;
        else
            arrivals->groups[source] = two_level ? 0 : RM_NEAR;
    }
}

static int group_of(const rm_arrivals *arrivals, int expert, int source)
{
    if (arrivals->groups[source] != RM_NEAR) return arrivals->groups[source];
    return expert < (arrivals->n_local + 1) / 2 ? 0 : arrivals->n_groups - 1;
}

static int64_t count_stride(const rm_arrivals *arrivals)
{
    return (int64_t)arrivals->n_local + RM_N_FAR_COUNTS;
}

int32_t rm_arrivals_far_count(const rm_arrivals *arrivals, int source, rm_far_count which)
{
    return arrivals->counts[source * count_stride(arrivals) + arrivals->n_local + (int)which];
}

/* The runs of one expert in one group, from `row` on; returns where they end. */
static int64_t lay_out_runs(rm_arrivals *arrivals, int group, int expert, int64_t row)
{
    for (int s = 0; s < arrivals->n_sources; s++) {
        if (group_of(arrivals, expert, s) != group) continue;
        int64_t run = (int64_t)expert * arrivals->n_sources + s;
        int64_t n = arrivals->counts[s * count_stride(arrivals) + expert];
        arrivals->run_firsts[run] = row;
        arrivals->run_rows[run] = n;
        row += n;
    }
    return row;
}

ringmoe_status rm_arrivals_plan(rm_arrivals *arrivals, rm_error *error)
{
    int64_t row = 0;
    for (int group = 0; group < arrivals->n_groups; group++) {
        int64_t *offsets = arrivals->offsets + group * ((int64_t)arrivals->n_local + 1);
        for (int e = 0; e < arrivals->n_local; e++) {
            offsets[e] = row;
            row = lay_out_runs(arrivals, group, e, row);
        }
        offsets[arrivals->n_local] = row;
    }
    arrivals->n_rows = row;
    if (row <= arrivals->max_rows) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                   "%lld rows arrive at this rank's experts, more than the %lld that "
                   "max_tokens allows; give every rank the same max_tokens",
                   (long long)row, (long long)arrivals->max_rows);
}

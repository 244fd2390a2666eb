/* SPDX-License-Identifier: MIT */
#include "train/shadow_costs.h"

/* Part of a layer's seconds that another set of copies must gain. */
static const double margin = 0.04;

static bool is_shadow(const rm_shadows *shadows, int expert)
{
    for (int i = 0; i < shadows->n; i++)
        if (shadows->experts[i] == expert) return true;
    return false;
}

/* In ascending order. */
static void add_shadow(rm_shadows *shadows, int32_t expert)
{
    int at = shadows->n++;
    for (; at > 0 && shadows->experts[at - 1] > expert; at--)
        shadows->experts[at] = shadows->experts[at - 1];
    shadows->experts[at] = expert;
}

/* The expert in [first, end) with most rows that is none yet; -1: there is none. */
static int hottest_of(int first, int end, const double *counts, const rm_shadows *shadows)
{
    int hottest = -1;
    double most = 0;
    for (int expert = first; expert < end; expert++) {
        if (counts[expert] <= most || is_shadow(shadows, expert)) continue;
        most = counts[expert];
        hottest = expert;
    }
    return hottest;
}

/* Rows of a rank's experts that are no shadows. */
static double rows_of(const rm_shadow_costs *costs, const double *counts,
                      const rm_shadows *shadows, int rank)
{
    int n_local = costs->n_experts / costs->expert_ranks;
    double rows = 0;
    for (int expert = rank * n_local; expert < (rank + 1) * n_local; expert++)
        if (!is_shadow(shadows, expert)) rows += counts[expert] / costs->n_replicas;
    return rows;
}

double rm_shadow_seconds(const rm_shadow_costs *costs, const double *counts,
                         const rm_shadows *shadows)
{
    int ranks = costs->expert_ranks;
    double most_rows = 0, at_home = 0;
    for (int i = 0; i < shadows->n; i++)
        at_home += counts[shadows->experts[i]] / costs->n_replicas / ranks;
    for (int rank = 0; rank < ranks; rank++) {
        double rows = rows_of(costs, counts, shadows, rank);
        if (rows > most_rows) most_rows = rows;
    }
    double most_fetched = most_rows * (ranks - 1) / ranks;
    double travels = (1.0 + costs->n_microbatches) * (ranks - 1);
    return 3 * costs->row_seconds * (most_rows + at_home) +
           4 * costs->row_bytes * costs->byte_seconds * most_fetched +
           travels * costs->expert_bytes * costs->copied_byte_seconds * shadows->n;
}

/* The hottest expert of the rank with most rows; -1: there is none. */
static int next_of_fullest(const rm_shadow_costs *costs, const double *counts,
                           const rm_shadows *shadows)
{
    int n_local = costs->n_experts / costs->expert_ranks, fullest = 0;
    double most = -1;
    for (int rank = 0; rank < costs->expert_ranks; rank++) {
        double rows = rows_of(costs, counts, shadows, rank);
        if (rows <= most) continue;
        most = rows;
        fullest = rank;
    }
    return hottest_of(fullest * n_local, (fullest + 1) * n_local, counts, shadows);
}

static bool is_known(const rm_shadow_costs *costs)
{
    return costs->row_seconds > 0 && costs->byte_seconds > 0 && costs->copied_byte_seconds > 0;
}

rm_shadows rm_shadows_best(const rm_shadow_costs *costs, const double *counts)
{
    rm_shadows best = {0}, more = {0};
    if (!is_known(costs)) return best;
    double least = rm_shadow_seconds(costs, counts, &best);
    while (more.n < RM_MOST_SHADOWS) {
        int next = next_of_fullest(costs, counts, &more);
        if (next < 0) break;
        add_shadow(&more, next);
        double seconds = rm_shadow_seconds(costs, counts, &more);
        if (seconds >= least) continue;
        best = more;
        least = seconds;
    }
    return best;
}

rm_shadows rm_shadows_worthwhile(const rm_shadow_costs *costs, const double *counts,
                                 const rm_shadows *current)
{
    const rm_shadows none = {0};
    if (!is_known(costs)) return none;
    rm_shadows best = rm_shadows_best(costs, counts);
    double gain =
        rm_shadow_seconds(costs, counts, current) - rm_shadow_seconds(costs, counts, &best);
    return gain > margin * rm_shadow_seconds(costs, counts, &none) ? best : *current;
}

rm_shadows rm_shadows_hottest(int n_experts, const double *counts)
{
    rm_shadows shadows = {0};
    while (shadows.n < RM_MOST_SHADOWS) {
        int hottest = hottest_of(0, n_experts, counts, &shadows);
        if (hottest < 0) break;
        add_shadow(&shadows, hottest);
    }
    return shadows;
}

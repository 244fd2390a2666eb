/* SPDX-License-Identifier: MIT */
#include "train/shadow_costs.h"

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

/* The expert with most rows that is none yet; -1: there is none. */
static int next_hottest(int n_experts, const int64_t *counts, const rm_shadows *shadows)
{
    int hottest = -1;
    int64_t most = 0;
    for (int expert = 0; expert < n_experts; expert++) {
        if (counts[expert] <= most || is_shadow(shadows, expert)) continue;
        most = counts[expert];
        hottest = expert;
    }
    return hottest;
}

double rm_shadow_seconds(const rm_shadow_costs *costs, const int64_t *counts,
                         const rm_shadows *shadows)
{
    int ranks = costs->expert_ranks, n_local = costs->n_experts / ranks;
    double most_rows = 0, most_fetched = 0, at_home = 0;
    for (int i = 0; i < shadows->n; i++)
        at_home += (double)counts[shadows->experts[i]] / costs->n_replicas / ranks;
    for (int rank = 0; rank < ranks; rank++) {
        double rows = 0;
        for (int expert = rank * n_local; expert < (rank + 1) * n_local; expert++)
            if (!is_shadow(shadows, expert)) rows += (double)counts[expert] / costs->n_replicas;
        double fetched = rows * (ranks - 1) / ranks;
        if (fetched > most_fetched) most_fetched = fetched;
        if (rows + at_home > most_rows) most_rows = rows + at_home;
    }
    double travels = (1.0 + costs->n_microbatches) * (ranks - 1);
    return 3 * costs->row_seconds * most_rows +
           4 * costs->row_bytes * costs->byte_seconds * most_fetched +
           travels * costs->expert_bytes * costs->byte_seconds * shadows->n;
}

rm_shadows rm_shadows_worthwhile(const rm_shadow_costs *costs, const int64_t *counts)
{
    rm_shadows shadows = {0};
    if (!(costs->row_seconds > 0) || !(costs->byte_seconds > 0)) return shadows;
    double seconds = rm_shadow_seconds(costs, counts, &shadows);
    while (shadows.n < RM_MOST_SHADOWS) {
        rm_shadows more = shadows;
        int hottest = next_hottest(costs->n_experts, counts, &shadows);
        if (hottest < 0) break;
        add_shadow(&more, hottest);
        double with_more = rm_shadow_seconds(costs, counts, &more);
        if (with_more >= seconds) break;
        shadows = more;
        seconds = with_more;
    }
    return shadows;
}

rm_shadows rm_shadows_hottest(int n_experts, const int64_t *counts)
{
    rm_shadows shadows = {0};
    while (shadows.n < RM_MOST_SHADOWS) {
        int hottest = next_hottest(n_experts, counts, &shadows);
        if (hottest < 0) break;
        add_shadow(&shadows, hottest);
    }
    return shadows;
}

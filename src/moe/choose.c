/* SPDX-License-Identifier: MIT
 *
 * The choice of a token's experts: the k best selection scores, if asked only out of the best
 * groups (DeepSeek-V2 and -V3). Equal scores go to the lower index, so the choice is a function
 * of the scores alone; scores that are not numbers still give k different experts.
 */
#include "moe/router.h"

#include <string.h>

/* Keeps best[0..n_kept) sorted while index i is offered. Returns the new n_kept. Indices come
 * in rising order, so an equal score stays behind those already there. */
static int offer(const rm_real *scores, int32_t i, int k, int n_kept, int32_t *best)
{
    if (n_kept == k && !(scores[i] > scores[best[k - 1]])) return n_kept;
    int place = n_kept < k ? n_kept : k - 1;
    for (; place > 0 && scores[i] > scores[best[place - 1]]; place--)
        best[place] = best[place - 1];
    best[place] = i;
    return n_kept < k ? n_kept + 1 : k;
}

void rm_choose_best(int n, const rm_real *scores, const bool *allowed, int block, int k,
                    int32_t *best)
{
    int n_kept = 0;
    for (int32_t i = 0; i < n; i++)
        if (!allowed || allowed[i / block]) n_kept = offer(scores, i, k, n_kept, best);
}

/* Scratch of a choice among groups, one array after the other. */
typedef struct group_scratch {
    rm_real *scores; /* [n_groups] */
    int32_t *best;   /* [n_groups] */
    bool *allowed;   /* [n_groups] */
} group_scratch;

static size_t group_scratch_layout(const ringmoe_moe_settings *settings, void *base,
                                   group_scratch *scratch)
{
    rm_arena arena = {.base = base, .reserved = SIZE_MAX / 4};
    *scratch = (group_scratch){.scores = RM_TAKE(&arena, settings->n_groups, rm_real),
                               .best = RM_TAKE(&arena, settings->n_groups, int32_t),
                               .allowed = RM_TAKE(&arena, settings->n_groups, bool)};
    return arena.used;
}

size_t rm_choose_scratch_bytes(const ringmoe_moe_settings *settings)
{
    group_scratch unused;
    return group_scratch_layout(settings, NULL, &unused);
}

static rm_real group_score(const ringmoe_moe_settings *settings, const rm_real *scores,
                           int size)
{
    int32_t best[2];
    bool two = settings->group_score == RINGMOE_GROUP_SCORE_TOP2_SUM && size > 1;
    rm_choose_best(size, scores, NULL, 1, two ? 2 : 1, best);
    return two ? scores[best[0]] + scores[best[1]] : scores[best[0]];
}

void rm_choose_experts(const ringmoe_moe_settings *settings, const rm_real *scores,
                       void *scratch, int32_t *chosen)
{
    int n = settings->n_experts, n_groups = settings->n_groups, size = n / n_groups;
    if (settings->top_groups == n_groups) {
        rm_choose_best(n, scores, NULL, 1, settings->top_k, chosen);
        return;
    }
    group_scratch groups;
    group_scratch_layout(settings, scratch, &groups);
    for (int g = 0; g < n_groups; g++)
        groups.scores[g] = group_score(settings, scores + (int64_t)g * size, size);
    rm_choose_best(n_groups, groups.scores, NULL, 1, settings->top_groups, groups.best);
    memset(groups.allowed, 0, (size_t)n_groups * sizeof *groups.allowed);
    for (int i = 0; i < settings->top_groups; i++) groups.allowed[groups.best[i]] = true;
    rm_choose_best(n, scores, groups.allowed, size, settings->top_k, chosen);
}

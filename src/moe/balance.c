/* SPDX-License-Identifier: MIT
 *
 * Balance of the experts: counts of choices, the auxiliary losses and the selection bias.
 *
 *   balance loss   E / (k T^2) * sum_e n_e sum_t p_te   =   E / T * sum_t sum_e f_e p_te
 *
 *   z-loss         mean over t of logsumexp(l_t)^2             (ST-MoE, Zoph et al. 2022)
 *
 *   bias           b_e += rate * sign(mean(n) - n_e)           (DeepSeek-V3)
 *
 * f_e = n_e / (k T), of this microbatch or of a whole global batch: units no layout changes.
 */
#include "moe/router.h"

#include <string.h>

void rm_balance_count(const ringmoe_moe_settings *settings, rm_routing *routing)
{
    memset(routing->counts, 0, (size_t)settings->n_experts * sizeof *routing->counts);
    for (int64_t i = 0; i < routing->n_tokens * settings->top_k; i++)
        routing->counts[routing->chosen[i]]++;
}

void rm_balance_fractions(const ringmoe_moe_settings *settings, const int64_t *global,
                          rm_routing *routing)
{
    int n = settings->n_experts;
    int64_t total = 0;
    for (int e = 0; global && e < n; e++) total += global[e];
    const int64_t *counts = total > 0 ? global : routing->counts;
    if (counts != global) total = routing->n_tokens * settings->top_k;
    for (int e = 0; e < n; e++)
        routing->fractions[e] = total > 0 ? (double)counts[e] / (double)total : 0;
}

typedef struct balanced_tokens {
    const ringmoe_moe_settings *settings;
    rm_routing *routing;
} balanced_tokens;

static void balance_token(void *user, int64_t t)
{
    const balanced_tokens *tokens = user;
    const ringmoe_moe_settings *settings = tokens->settings;
    const rm_real *scores = tokens->routing->scores + t * settings->n_experts;
    double sum = 0;
    for (int e = 0; e < settings->n_experts; e++)
        sum += tokens->routing->fractions[e] * (double)scores[e];
    tokens->routing->token_balance[t] = sum * rm_scores_probability_factor(settings, scores);
}

static double load_max_over_mean(const ringmoe_moe_settings *settings, const int64_t *counts,
                                 int64_t n_choices)
{
    int64_t largest = 0;
    for (int e = 0; e < settings->n_experts; e++)
        if (counts[e] > largest) largest = counts[e];
    return n_choices ? (double)largest * settings->n_experts / (double)n_choices : 0;
}

void rm_balance_losses(const rm_compute *compute, const ringmoe_moe_settings *settings,
                       rm_routing *routing, ringmoe_moe_stats *stats)
{
    int64_t n = routing->n_tokens;
    int n_experts = settings->n_experts;
    balanced_tokens tokens = {settings, routing};
    rm_rows_run(compute, n, balance_token, &tokens);
    double balance = 0, squares = 0;
    for (int64_t t = 0; t < n; t++) {
        balance += routing->token_balance[t];
        squares += (double)routing->log_sums[t] * (double)routing->log_sums[t];
    }
    stats->balance_loss = n ? balance * n_experts / (double)n : 0;
    stats->z_loss = n ? squares / (double)n : 0;
    stats->n_choices = n * settings->top_k;
    stats->load_max_over_mean = load_max_over_mean(settings, routing->counts, stats->n_choices);
}

void rm_moe_bias_update(const ringmoe_moe_settings *settings, const int64_t *counts,
                        rm_real *bias)
{
    int n = settings->n_experts;
    int64_t total = 0;
    for (int e = 0; e < n; e++) total += counts[e];
    for (int e = 0; e < n; e++) {
        int64_t below_mean = total - counts[e] * n;
        if (below_mean > 0) bias[e] += settings->bias_rate;
        if (below_mean < 0) bias[e] -= settings->bias_rate;
    }
}

/* SPDX-License-Identifier: MIT
 *
 * Layers of every kind, for the tests that must hold for all of them. A test sets the sizes;
 * there are 8 experts.
 */
#ifndef MOE_VARIANTS_H
#define MOE_VARIANTS_H

#include <ringmoe/moe.h>

typedef struct moe_variant {
    const char *name;
    void (*change)(ringmoe_moe_settings *settings);
} moe_variant;

static void plain(ringmoe_moe_settings *settings)
{
    (void)settings;
}

static void not_renormalized(ringmoe_moe_settings *settings)
{
    settings->renormalize = 0;
    settings->routed_scale = 1.7;
    settings->top_k = 3;
}

static void softmax_chosen(ringmoe_moe_settings *settings)
{
    settings->score = RINGMOE_SCORE_SOFTMAX_CHOSEN;
    settings->routed_scale = 0.6;
    settings->top_k = 3;
}

static void sigmoid(ringmoe_moe_settings *settings)
{
    settings->score = RINGMOE_SCORE_SIGMOID;
    settings->routed_scale = 2.5;
}

static void sigmoid_not_renormalized(ringmoe_moe_settings *settings)
{
    settings->score = RINGMOE_SCORE_SIGMOID;
    settings->renormalize = 0;
}

static void deepseek(ringmoe_moe_settings *settings)
{
    settings->score = RINGMOE_SCORE_SIGMOID;
    settings->routed_scale = 2.5;
    settings->n_groups = 4;
    settings->top_groups = 2;
    settings->top_k = 3;
    settings->group_score = RINGMOE_GROUP_SCORE_TOP2_SUM;
    settings->bias_rate = 0.01;
    settings->d_ff_shared = 4;
}

static void groups_by_best(ringmoe_moe_settings *settings)
{
    settings->n_groups = 4;
    settings->top_groups = 2;
    settings->d_ff_shared = 7;
    settings->shared_gate = 1;
}

static void chosen_with_bias(ringmoe_moe_settings *settings)
{
    settings->score = RINGMOE_SCORE_SOFTMAX_CHOSEN;
    settings->bias_rate = 0.05;
}

static void noisy(ringmoe_moe_settings *settings)
{
    settings->noise = RINGMOE_NOISE_NOISY_TOPK;
    settings->score = RINGMOE_SCORE_SOFTMAX_CHOSEN;
}

static void noisy_sigmoid_dropping(ringmoe_moe_settings *settings)
{
    settings->noise = RINGMOE_NOISE_NOISY_TOPK;
    settings->score = RINGMOE_SCORE_SIGMOID;
    settings->capacity_factor = 0.8;
}

static void jitter(ringmoe_moe_settings *settings)
{
    settings->noise = RINGMOE_NOISE_JITTER;
    settings->jitter = 0.3;
    settings->d_ff_shared = 3;
}

static void dropping(ringmoe_moe_settings *settings)
{
    settings->capacity_factor = 0.6;
    settings->d_ff_shared = 4;
    settings->shared_gate = 1;
}

static void dropping_not_renormalized(ringmoe_moe_settings *settings)
{
    settings->capacity_factor = 0.6;
    settings->renormalize = 0;
    settings->noise = RINGMOE_NOISE_JITTER;
}

static void dropping_chosen(ringmoe_moe_settings *settings)
{
    settings->capacity_factor = 0.6;
    settings->score = RINGMOE_SCORE_SOFTMAX_CHOSEN;
}

static void global_balance(ringmoe_moe_settings *settings)
{
    settings->balance_scope = RINGMOE_BALANCE_GLOBAL;
}

static void global_balance_sigmoid(ringmoe_moe_settings *settings)
{
    settings->balance_scope = RINGMOE_BALANCE_GLOBAL;
    settings->score = RINGMOE_SCORE_SIGMOID;
}

static void all_experts(ringmoe_moe_settings *settings)
{
    settings->top_k = settings->n_experts;
}

static void one_choice(ringmoe_moe_settings *settings)
{
    settings->top_k = 1;
    settings->renormalize = 0;
}

static void no_auxiliary_losses(ringmoe_moe_settings *settings)
{
    settings->balance_coefficient = settings->z_coefficient = 0;
}

static const moe_variant moe_variants[] = {
    {"softmax over all", plain},
    {"not renormalised, scaled, k = 3", not_renormalized},
    {"softmax over the chosen", softmax_chosen},
    {"sigmoid", sigmoid},
    {"sigmoid, not renormalised", sigmoid_not_renormalized},
    {"DeepSeek-V3: groups, bias, shared expert", deepseek},
    {"groups by best expert, gated shared expert", groups_by_best},
    {"softmax over the chosen, bias", chosen_with_bias},
    {"noisy top-k", noisy},
    {"noisy sigmoid, capacity", noisy_sigmoid_dropping},
    {"jitter, shared expert", jitter},
    {"capacity, gated shared expert", dropping},
    {"capacity, not renormalised, jitter", dropping_not_renormalized},
    {"capacity, softmax over the chosen", dropping_chosen},
    {"balance over the global batch", global_balance},
    {"the same with sigmoid", global_balance_sigmoid},
    {"k = n_experts", all_experts},
    {"k = 1, not renormalised", one_choice},
    {"no auxiliary losses", no_auxiliary_losses},
};

enum { N_MOE_VARIANTS = sizeof moe_variants / sizeof *moe_variants };

#endif

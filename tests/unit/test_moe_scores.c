/* SPDX-License-Identifier: MIT
 *
 * Weights of the chosen experts against the formulas, for every kind of score.
 */
#include <math.h>

#include "moe_fixture.h"

enum { N = 4 };

static const rm_real logits[N] = {0.5, 2, -1, 1};

/* Weights of the two best of `logits`, experts 1 and 3. */
static void weigh(const ringmoe_moe_settings *settings, double weights[2])
{
    moe_fixture *fixture = moe_fixture_create(settings);
    moe_fixture_route(fixture, 1, logits);
    assert_choice(fixture->routing.chosen, 1, 3);
    weights[0] = (double)fixture->routing.weights[0];
    weights[1] = (double)fixture->routing.weights[1];
    moe_fixture_destroy(fixture);
}

static double softmax(int e)
{
    double sum = 0;
    for (int i = 0; i < N; i++) sum += exp((double)logits[i]);
    return exp((double)logits[e]) / sum;
}

static double sigmoid(int e)
{
    return 1 / (1 + exp(-(double)logits[e]));
}

static void assert_weights(const ringmoe_moe_settings *settings, double first, double second)
{
    double weights[2];
    weigh(settings, weights);
    assert_near(weights[0], first, 1e-6);
    assert_near(weights[1], second, 1e-6);
}

static void softmax_over_all(void **state)
{
    ringmoe_moe_settings settings = moe_fixture_settings(N, 2);
    double sum = softmax(1) + softmax(3);
    assert_weights(&settings, softmax(1) / sum, softmax(3) / sum);
    settings.renormalize = 0;
    assert_weights(&settings, softmax(1), softmax(3));
    settings.routed_scale = 3;
    assert_weights(&settings, 3 * softmax(1), 3 * softmax(3));
}

/* The same numbers as softmax over all and renormalising, by another way; scaled too. */
static void softmax_over_the_chosen(void **state)
{
    ringmoe_moe_settings settings = moe_fixture_settings(N, 2);
    double share = exp(2.) / (exp(2.) + exp(1.));
    settings.score = RINGMOE_SCORE_SOFTMAX_CHOSEN;
    assert_weights(&settings, share, 1 - share);
    settings.renormalize = 0;
    settings.routed_scale = (rm_real)0.5;
    assert_weights(&settings, share / 2, (1 - share) / 2);
}

static void sigmoid_scores(void **state)
{
    ringmoe_moe_settings settings = moe_fixture_settings(N, 2);
    double sum = sigmoid(1) + sigmoid(3);
    settings.score = RINGMOE_SCORE_SIGMOID;
    settings.routed_scale = (rm_real)2.5;
    assert_weights(&settings, 2.5 * sigmoid(1) / sum, 2.5 * sigmoid(3) / sum);
    settings.renormalize = 0;
    assert_weights(&settings, 2.5 * sigmoid(1), 2.5 * sigmoid(3));
}

/* Sigmoids of -200 are 0 in fp32: weights of 0, not 0 / 0. */
static void scores_of_zero_do_not_divide(void **state)
{
    const rm_real far_below[2] = {-200, -200};
    ringmoe_moe_settings settings = moe_fixture_settings(2, 2);
    settings.score = RINGMOE_SCORE_SIGMOID;
    moe_fixture *fixture = moe_fixture_create(&settings);
    moe_fixture_route(fixture, 1, far_below);
    assert_true(isfinite((double)fixture->routing.weights[0]));
    assert_true(isfinite(fixture->stats.balance_loss));
    moe_fixture_destroy(fixture);
}

/* Logits of any size: the largest is taken off first. */
static void large_logits_stay_finite(void **state)
{
    const rm_real large[4] = {30000, 29999, -30000, 0};
    for (int score = 0; score <= RINGMOE_SCORE_SIGMOID; score++) {
        ringmoe_moe_settings settings = moe_fixture_settings(4, 2);
        settings.score = (ringmoe_router_score)score;
        moe_fixture *fixture = moe_fixture_create(&settings);
        moe_fixture_route(fixture, 1, large);
        assert_choice(fixture->routing.chosen, 0, 1);
        double sum = (double)fixture->routing.weights[0] + (double)fixture->routing.weights[1];
        assert_near(sum, 1, 1e-6);
        assert_near(fixture->routing.log_sums[0] / 30000, 1, 1e-4);
        moe_fixture_destroy(fixture);
    }
}

static void one_expert_has_weight_one(void **state)
{
    const rm_real logit[1] = {-3};
    ringmoe_moe_settings settings = moe_fixture_settings(1, 1);
    moe_fixture *fixture = moe_fixture_create(&settings);
    moe_fixture_route(fixture, 1, logit);
    assert_choice(fixture->routing.chosen, 0);
    assert_true(fixture->routing.weights[0] == 1);
    assert_near(fixture->stats.balance_loss, 1, 1e-12);
    assert_near(fixture->stats.z_loss, 9, 1e-5);
    moe_fixture_destroy(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(softmax_over_all),
        cmocka_unit_test(softmax_over_the_chosen),
        cmocka_unit_test(sigmoid_scores),
        cmocka_unit_test(scores_of_zero_do_not_divide),
        cmocka_unit_test(large_logits_stay_finite),
        cmocka_unit_test(one_expert_has_weight_one),
    };
    return cmocka_run_group_tests_name("moe scores", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * The auxiliary losses at hand-made loads, and the selection bias.
 */
#include <math.h>

#include "moe_fixture.h"

enum { N = 4 };

static moe_fixture *create(int score, int top_k, ringmoe_balance_scope scope)
{
    ringmoe_moe_settings settings = moe_fixture_settings(N, top_k);
    settings.score = (ringmoe_router_score)score;
    settings.balance_scope = scope;
    return moe_fixture_create(&settings);
}

/* Token t likes experts t, t+1, ... (mod N) in this order, so every expert has the same share
 * of choices and of probability: the loss is 1 whatever k and whatever the score. */
static void perfect_balance_gives_one(void **state)
{
    rm_real logits[N * N];
    for (int t = 0; t < N; t++)
        for (int i = 0; i < N; i++) logits[t * N + (t + i) % N] = (rm_real)(2 - i);
    for (int score = 0; score <= RINGMOE_SCORE_SIGMOID; score++) {
        for (int k = 1; k <= N; k++) {
            moe_fixture *fixture = create(score, k, RINGMOE_BALANCE_MICROBATCH);
            moe_fixture_route(fixture, N, logits);
            assert_near(fixture->stats.balance_loss, 1, 1e-6);
            assert_near(fixture->stats.load_max_over_mean, 1, 1e-12);
            assert_int_equal(fixture->stats.n_choices, N * k);
            moe_fixture_destroy(fixture);
        }
    }
}

/* All tokens to expert 0: E * p_0 for k = 1. */
static void collapse_is_seen(void **state)
{
    const rm_real logits[2 * N] = {3, 0, 0, 0, 3, 0, 0, 0};
    moe_fixture *fixture = create(RINGMOE_SCORE_SOFTMAX_ALL, 1, RINGMOE_BALANCE_MICROBATCH);
    moe_fixture_route(fixture, 2, logits);
    assert_near(fixture->stats.balance_loss, N * exp(3) / (exp(3) + 3), 1e-6);
    assert_near(fixture->stats.load_max_over_mean, N, 1e-12);
    double log_sum = log(exp(3) + 3);
    assert_near(fixture->stats.z_loss, log_sum * log_sum, 1e-5);
    moe_fixture_destroy(fixture);
}

/* Probabilities of sigmoid scores are their shares. */
static void sigmoid_probabilities_are_shares(void **state)
{
    const rm_real logits[N] = {1, 0, 0, 0};
    double first = 1 / (1 + exp(-1.));
    moe_fixture *fixture = create(RINGMOE_SCORE_SIGMOID, 1, RINGMOE_BALANCE_MICROBATCH);
    moe_fixture_route(fixture, 1, logits);
    assert_near(fixture->stats.balance_loss, N * first / (first + 1.5), 1e-6);
    moe_fixture_destroy(fixture);
}

static void counts_of_a_global_batch(void **state)
{
    const rm_real logits[N] = {1, 0, 0, 0};
    const int64_t counts[N] = {1, 1, 0, 2}, none[N] = {0};
    double all = exp(1) + 3, first = exp(1) / all, other = 1 / all;
    moe_fixture *fixture = create(RINGMOE_SCORE_SOFTMAX_ALL, 1, RINGMOE_BALANCE_GLOBAL);
    fixture->pass.balance_counts = counts;
    moe_fixture_route(fixture, 1, logits);
    assert_near(fixture->stats.balance_loss, N * (first / 4 + other / 4 + other / 2), 1e-6);
    fixture->pass.balance_counts = none;
    moe_fixture_route(fixture, 1, logits);
    assert_near(fixture->stats.balance_loss, N * first, 1e-6);
    fixture->pass.balance_counts = NULL;
    moe_fixture_route(fixture, 1, logits);
    assert_near(fixture->stats.balance_loss, N * first, 1e-6);
    moe_fixture_destroy(fixture);
}

static void no_tokens_have_no_losses(void **state)
{
    moe_fixture *fixture = create(RINGMOE_SCORE_SOFTMAX_ALL, 2, RINGMOE_BALANCE_MICROBATCH);
    moe_fixture_route(fixture, 0, NULL);
    assert_true(fixture->stats.balance_loss == 0 && fixture->stats.z_loss == 0);
    assert_true(fixture->stats.load_max_over_mean == 0 && fixture->stats.n_choices == 0);
    moe_fixture_destroy(fixture);
}

static void bias_moves_towards_balance(void **state)
{
    ringmoe_moe_settings settings = moe_fixture_settings(N, 1);
    const int64_t counts[N] = {3, 1, 2, 2};
    rm_real bias[N] = {0, 0, 0, 1};
    settings.bias_rate = (rm_real)0.25;
    rm_moe_bias_update(&settings, counts, bias);
    const rm_real expected[N] = {(rm_real)-0.25, (rm_real)0.25, 0, 1};
    assert_memory_equal(bias, expected, sizeof bias);
}

/* 4 experts, 10 choices: the mean is 2.5, so 2 is below and 3 above it. */
static void bias_compares_with_the_exact_mean(void **state)
{
    ringmoe_moe_settings settings = moe_fixture_settings(N, 1);
    const int64_t counts[N] = {3, 3, 2, 2};
    rm_real bias[N] = {0};
    settings.bias_rate = 1;
    rm_moe_bias_update(&settings, counts, bias);
    assert_true(bias[0] == -1 && bias[1] == -1 && bias[2] == 1 && bias[3] == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(perfect_balance_gives_one),
        cmocka_unit_test(collapse_is_seen),
        cmocka_unit_test(sigmoid_probabilities_are_shares),
        cmocka_unit_test(counts_of_a_global_batch),
        cmocka_unit_test(no_tokens_have_no_losses),
        cmocka_unit_test(bias_moves_towards_balance),
        cmocka_unit_test(bias_compares_with_the_exact_mean),
    };
    return cmocka_run_group_tests_name("moe balance", tests, NULL, NULL);
}

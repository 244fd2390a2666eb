/* SPDX-License-Identifier: MIT
 *
 * Router noise: its statistics, and what its numbers depend on.
 */
#include <math.h>

#include "moe_fixture.h"

enum { N = 16, TOKENS = MOST_TOKENS };

static const double softplus_of_zero = 0.69314718055994531;

static moe_fixture *create(ringmoe_router_noise noise, bool train)
{
    ringmoe_moe_settings settings = moe_fixture_settings(N, 2);
    settings.noise = noise;
    settings.jitter = (rm_real)0.1;
    moe_fixture *fixture = moe_fixture_create(&settings);
    fixture->pass.train = train;
    return fixture;
}

static void mean_and_deviation(const rm_real *values, int64_t n, double *mean,
                               double *deviation)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)values[i];
    *mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) squares += pow((double)values[i] - *mean, 2);
    *deviation = sqrt(squares / (double)n);
}

/* Logits 0 and spread 0: noise of deviation softplus(0). */
static void noisy_logits_are_normal(void **state)
{
    moe_fixture *fixture = create(RINGMOE_NOISE_NOISY_TOPK, true);
    rm_real *zeros = test_calloc(TOKENS * N, sizeof *zeros);
    double mean, deviation, errors = 5 / sqrt(TOKENS * N);
    moe_fixture_route(fixture, TOKENS, zeros);
    mean_and_deviation(fixture->routing.logits, TOKENS * N, &mean, &deviation);
    assert_near(mean, 0, errors);
    assert_near(deviation, softplus_of_zero, errors);
    test_free(zeros);
    moe_fixture_destroy(fixture);
}

static void jitter_is_uniform_round_one(void **state)
{
    moe_fixture *fixture = create(RINGMOE_NOISE_JITTER, true);
    rm_real *ones = test_calloc(TOKENS * N, sizeof *ones);
    double mean, deviation;
    for (int i = 0; i < TOKENS * N; i++) ones[i] = 1;
    moe_fixture_route(fixture, TOKENS, ones);
    mean_and_deviation(fixture->routing.logits, TOKENS * N, &mean, &deviation);
    assert_near(mean, 1, 5 * 0.1 / sqrt(TOKENS * N));
    assert_near(deviation, 0.1 / sqrt(3), 1e-3);
    for (int i = 0; i < TOKENS * N; i++) assert_near(fixture->routing.logits[i], 1, 0.1 + 1e-6);
    test_free(ones);
    moe_fixture_destroy(fixture);
}

static void there_is_none_without_training(void **state)
{
    rm_real logits[N];
    for (int e = 0; e < N; e++) logits[e] = (rm_real)e;
    for (int noise = RINGMOE_NOISE_JITTER; noise <= RINGMOE_NOISE_NOISY_TOPK; noise++) {
        moe_fixture *fixture = create((ringmoe_router_noise)noise, false);
        moe_fixture_route(fixture, 1, logits);
        assert_memory_equal(fixture->routing.logits, logits, sizeof logits);
        moe_fixture_destroy(fixture);
    }
}

/* First logit of a token's noise under changed circumstances. */
static rm_real noise_of(ringmoe_router_noise noise, int64_t seed, int layer, rm_label label,
                        int64_t microbatch, int64_t n_tokens, int64_t token, int n_threads)
{
    rm_real ones[8 * N], value;
    moe_fixture *fixture = create(noise, true);
    fixture->settings.seed = seed;
    fixture->settings.layer = layer;
    fixture->pass.label = label;
    fixture->pass.microbatch = microbatch;
    fixture->compute.n_threads = n_threads;
    for (int i = 0; i < 8 * N; i++) ones[i] = 1;
    moe_fixture_route(fixture, n_tokens, ones);
    value = fixture->routing.logits[token * N];
    moe_fixture_destroy(fixture);
    return value;
}

/* The rank's own microbatch index, the operation, the tokens beside it and the threads do not
 * matter; seed, layer, step, global microbatch and token do. */
static void numbers_depend_on_global_indices_alone(void **state)
{
    const rm_label plain = {.step = 4, .microbatch = 1};
    const rm_label later = {.step = 5, .microbatch = 1};
    const rm_label elsewhere = {.step = 4, .microbatch = 0, .operation = RM_OPERATION_DISPATCH};
    for (int kind = RINGMOE_NOISE_JITTER; kind <= RINGMOE_NOISE_NOISY_TOPK; kind++) {
        ringmoe_router_noise noise = (ringmoe_router_noise)kind;
        rm_real value = noise_of(noise, 1, 2, plain, 3, 4, 2, 2);
        assert_true(value == noise_of(noise, 1, 2, elsewhere, 3, 4, 2, 2));
        assert_true(value == noise_of(noise, 1, 2, plain, 3, 8, 2, 1));
        assert_true(value != noise_of(noise, 2, 2, plain, 3, 4, 2, 2));
        assert_true(value != noise_of(noise, 1, 1, plain, 3, 4, 2, 2));
        assert_true(value != noise_of(noise, 1, 2, later, 3, 4, 2, 2));
        assert_true(value != noise_of(noise, 1, 2, plain, 4, 4, 2, 2));
        assert_true(value != noise_of(noise, 1, 2, plain, 3, 4, 3, 2));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noisy_logits_are_normal),
        cmocka_unit_test(jitter_is_uniform_round_one),
        cmocka_unit_test(there_is_none_without_training),
        cmocka_unit_test(numbers_depend_on_global_indices_alone),
    };
    return cmocka_run_group_tests_name("moe noise", tests, NULL, NULL);
}

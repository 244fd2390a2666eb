/* SPDX-License-Identifier: MIT
 *
 * Sampling: each cut alone against hand-made distributions, all of them against a plain sort
 * and against what transformers makes of the same logits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <math.h>

#include "base/random.h"
#include "infer/sample.h"
#include "sampling_cases.h"

enum { MAX_VOCAB = 1000 };

/* Asked for once, since a virtual machine is slow to tell what its processor can do. */
static const rm_kernels *kernels;

static ringmoe_generate_settings plain(void)
{
    return (ringmoe_generate_settings){.temperature = 1, .top_p = 1, .repetition_penalty = 1};
}

static int32_t draw(const ringmoe_generate_settings *settings, const rm_real *logits, int n,
                    int64_t position)
{
    rm_candidate pool[MAX_VOCAB];
    rm_real used[MAX_VOCAB];
    rm_error error = {""};
    int32_t token = -1;
    rm_sampling sampling = {.settings = settings, .position = position};
    memcpy(used, logits, (size_t)n * sizeof *used);
    if (rm_sample(&sampling, kernels, n, used, pool, &token, &error) != RINGMOE_OK)
        fail_msg("%s", error.text);
    assert_in_range(token, 0, n - 1);
    return token;
}

static void zero_temperature_is_the_likeliest(void **state)
{
    static const rm_real logits[] = {1, 7, -3, 7, 2}, one[] = {-5};
    ringmoe_generate_settings settings = plain();
    settings.temperature = 0;
    assert_int_equal(draw(&settings, logits, 5, 0), 1);
    assert_int_equal(draw(&settings, one, 1, 0), 0);
    settings = plain();
    settings.top_k = 1;
    for (int64_t i = 0; i < 100; i++) assert_int_equal(draw(&settings, logits, 5, i), 1);
    settings = plain();
    settings.top_p = 1e-12;
    for (int64_t i = 0; i < 100; i++) assert_int_equal(draw(&settings, logits, 5, i), 1);
    settings = plain();
    settings.temperature = 1e-300;
    for (int64_t i = 0; i < 100; i++) assert_true(draw(&settings, logits, 5, i) % 2 == 1);
}

/* How often each of n tokens comes up, as shares. */
static void frequencies(const ringmoe_generate_settings *settings, const rm_real *logits, int n,
                        double *shares)
{
    enum { N_DRAWS = 40000 };
    memset(shares, 0, (size_t)n * sizeof *shares);
    for (int64_t i = 0; i < N_DRAWS; i++) shares[draw(settings, logits, n, i)] += 1.0 / N_DRAWS;
}

static void assert_shares(const ringmoe_generate_settings *settings, const rm_real *logits,
                          int n, const double *expected)
{
    double shares[8];
    frequencies(settings, logits, n, shares);
    for (int i = 0; i < n; i++) {
        if (expected[i] == 0) assert_true(shares[i] == 0);
        if (fabs(shares[i] - expected[i]) > 0.012)
            fail_msg("token %d: share %g, expected %g", i, shares[i], expected[i]);
    }
}

static void follows_the_probabilities(void **state)
{
    /* Probabilities 0.1, 0.4, 0.2, 0.3. */
    rm_real logits[4];
    static const double probability[4] = {0.1, 0.4, 0.2, 0.3};
    for (int i = 0; i < 4; i++) logits[i] = (rm_real)(log(probability[i]) + 20);
    ringmoe_generate_settings settings = plain();
    assert_shares(&settings, logits, 4, probability);
    settings.seed = 99;
    assert_shares(&settings, logits, 4, probability);

    settings = plain();
    settings.top_k = 2;
    assert_shares(&settings, logits, 4, (double[]){0, 4 / 7.0, 0, 3 / 7.0});
    settings.top_k = 100;
    assert_shares(&settings, logits, 4, probability);

    /* 0.4 + 0.3 is less than 0.75, with 0.2 it is enough. */
    settings = plain();
    settings.top_p = 0.75;
    assert_shares(&settings, logits, 4, (double[]){0, 4 / 9.0, 2 / 9.0, 3 / 9.0});
    settings.top_p = 0.65;
    assert_shares(&settings, logits, 4, (double[]){0, 4 / 7.0, 0, 3 / 7.0});

    /* The nucleus is taken of what top_k left: 0.4 of 0.9 and 0.3 of 0.9 hold 0.77. */
    settings.top_k = 3;
    settings.top_p = 0.77;
    assert_shares(&settings, logits, 4, (double[]){0, 4 / 7.0, 0, 3 / 7.0});

    settings = plain();
    settings.temperature = 0.5;
    assert_shares(&settings, logits, 4, (double[]){1 / 30.0, 16 / 30.0, 4 / 30.0, 9 / 30.0});
}

/* What is at least half as likely as the likeliest. */
static void min_p_is_relative(void **state)
{
    rm_real logits[4];
    static const double probability[4] = {0.1, 0.4, 0.2, 0.3};
    for (int i = 0; i < 4; i++) logits[i] = (rm_real)log(probability[i]);
    ringmoe_generate_settings settings = plain();
    settings.min_p = 0.49;
    assert_shares(&settings, logits, 4, (double[]){0, 4 / 9.0, 2 / 9.0, 3 / 9.0});
    settings.min_p = 0.6;
    assert_shares(&settings, logits, 4, (double[]){0, 4 / 7.0, 0, 3 / 7.0});
    settings.min_p = 1;
    assert_shares(&settings, logits, 4, (double[]){0, 1, 0, 0});
}

/* Logits of tokens that were there move towards less likely, whatever their sign. */
static void repetition_is_penalised(void **state)
{
    rm_real logits[70] = {[0] = 4, [1] = 3, [69] = 2.5};
    uint64_t seen[2] = {1, (uint64_t)1 << 5};
    ringmoe_generate_settings settings = {
        .top_p = 1, .temperature = 0, .repetition_penalty = 2};
    rm_sampling sampling = {.settings = &settings, .seen = seen};
    int32_t token;
    for (int i = 2; i < 69; i++) logits[i] = -1;
    assert_int_equal(rm_sample(&sampling, kernels, 70, logits, NULL, &token, NULL), RINGMOE_OK);
    assert_int_equal(token, 1);
    assert_true(logits[0] == 2 && logits[1] == 3 && logits[69] == 1.25);
    seen[0] = 4;
    rm_sample(&sampling, kernels, 70, logits, NULL, &token, NULL);
    assert_true(logits[2] == -2);
}

static void ties_keep_the_lower_id(void **state)
{
    static const rm_real logits[] = {0, 3, 3, 3, 3};
    ringmoe_generate_settings settings = plain();
    settings.top_k = 2;
    assert_shares(&settings, logits, 5, (double[]){0, 0.5, 0.5, 0, 0});
}

static void position_and_seed_decide(void **state)
{
    rm_real logits[MAX_VOCAB];
    ringmoe_generate_settings settings = plain(), other = plain();
    int n_same_position = 0, n_same_seed = 0;
    memset(logits, 0, sizeof logits);
    other.seed = 1;
    for (int64_t i = 0; i < 200; i++) {
        int32_t token = draw(&settings, logits, MAX_VOCAB, i);
        assert_int_equal(token, draw(&settings, logits, MAX_VOCAB, i));
        n_same_position += token == draw(&settings, logits, MAX_VOCAB, i + 1);
        n_same_seed += token == draw(&other, logits, MAX_VOCAB, i);
    }
    assert_true(n_same_position < 10 && n_same_seed < 10);
}

/* The tokens that transformers leaves, and no others, as often as it says. */
static void agrees_with_transformers(void **state)
{
    enum { N_DRAWS = 20000, N_CASES = sizeof sampling_cases / sizeof sampling_cases[0] };
    for (int i = 0; i < N_CASES; i++) {
        const struct sampling_case *wanted = &sampling_cases[i];
        ringmoe_generate_settings settings = {.temperature = wanted->temperature,
                                              .top_k = wanted->top_k,
                                              .top_p = wanted->top_p,
                                              .min_p = wanted->min_p,
                                              .repetition_penalty = wanted->repetition_penalty};
        int counts[CASE_TOKENS] = {0};
        for (int64_t position = 0; position < N_DRAWS; position++) {
            rm_sampling sampling = {&settings, &case_seen, i, position};
            rm_candidate pool[CASE_TOKENS];
            rm_real logits[CASE_TOKENS];
            rm_error error = {""};
            int32_t token;
            for (int k = 0; k < CASE_TOKENS; k++) logits[k] = (rm_real)case_logits[k];
            if (rm_sample(&sampling, kernels, CASE_TOKENS, logits, pool, &token, &error) !=
                RINGMOE_OK)
                fail_msg("%s", error.text);
            counts[token]++;
        }
        for (int k = 0; k < CASE_TOKENS; k++) {
            double p = wanted->probabilities[k], share = (double)counts[k] / N_DRAWS;
            if (fabs(share - p) > 4 * sqrt(p * (1 - p) / N_DRAWS))
                fail_msg("case %d: token %d has the share %g, not %g", i, k, share, p);
        }
    }
}

static const double *sorted_weights;

static int compare_ids(const void *a, const void *b)
{
    int left = *(const int *)a, right = *(const int *)b;
    double x = sorted_weights[left], y = sorted_weights[right];
    return x != y ? (x < y) - (x > y) : left - right;
}

/* The same choice by a plain sort of everything. */
static int32_t draw_by_sorting(const ringmoe_generate_settings *settings, const rm_real *logits,
                               int n, int64_t position)
{
    double weights[MAX_VOCAB], total = 0, kept_weight = 0, largest = logits[0];
    int order[MAX_VOCAB], kept = 0, most = n;
    for (int i = 0; i < n; i++) largest = logits[i] > largest ? logits[i] : largest;
    for (int i = 0; i < n; i++) {
        weights[i] = exp((logits[i] - largest) / settings->temperature);
        order[i] = i;
        total += weights[i];
    }
    sorted_weights = weights;
    bool all = settings->top_k == 0 && settings->top_p == 1 && settings->min_p == 0;
    if (!all) qsort(order, (size_t)n, sizeof *order, compare_ids);
    if (settings->top_k && settings->top_k < n) {
        most = settings->top_k, total = 0;
        for (int i = 0; i < most; i++) total += weights[order[i]];
    }
    while (kept < most && kept_weight < settings->top_p * total &&
           weights[order[kept]] >= settings->min_p)
        kept_weight += weights[order[kept++]];
    rm_random_key key = {(uint64_t)settings->seed, rm_random_stream("sample")};
    double left = rm_random_uniform(key, (uint64_t)position) * kept_weight;
    int at = 0;
    while (at < kept - 1 && left >= weights[order[at]]) left -= weights[order[at++]];
    return order[at];
}

static void agrees_with_sorting(void **state)
{
    rm_real logits[MAX_VOCAB];
    rm_random_key key = {7, 8};
    for (uint64_t trial = 0; trial < 500; trial++) {
        uint32_t words[4];
        rm_random_words(key, trial, words);
        int n = 1 + (int)(words[0] % MAX_VOCAB);
        rm_random_fill_normal(key, trial * MAX_VOCAB, n, 3, logits);
        for (int i = 0; i < n; i += 3) logits[i] = (rm_real)floor((double)logits[i]);
        ringmoe_generate_settings settings = {
            .temperature = 0.1 + words[1] % 20 / 10.0,
            .top_k = words[2] % 3 ? (int)(words[2] >> 8) % 50 : 0,
            .top_p = (1 + words[3] % 100) / 100.0,
            .min_p = words[0] >> 16 & 1 ? (words[3] >> 16) % 30 / 100.0 : 0,
            .repetition_penalty = 1,
            .seed = (int64_t)trial,
        };
        assert_int_equal(draw(&settings, logits, n, 5),
                         draw_by_sorting(&settings, logits, n, 5));
    }
}

static void refuses_bad_numbers(void **state)
{
    rm_real logits[3] = {0, (rm_real)NAN, 1};
    ringmoe_generate_settings settings = plain();
    rm_candidate pool[3];
    rm_error error = {""};
    int32_t token;
    rm_sampling sampling = {.settings = &settings};
    assert_int_equal(rm_sample(&sampling, kernels, 3, logits, pool, &token, &error),
                     RINGMOE_ERROR_NUMERIC);
    assert_non_null(strstr(error.text, "token 1"));
    logits[1] = (rm_real)INFINITY;
    assert_int_equal(rm_sample(&sampling, kernels, 3, logits, pool, &token, &error),
                     RINGMOE_ERROR_NUMERIC);
    logits[1] = (rm_real)-INFINITY;
    assert_int_not_equal(draw(&settings, logits, 3, 0), 1);
    for (int i = 0; i < 3; i++) logits[i] = (rm_real)-INFINITY;
    assert_int_equal(rm_sample(&sampling, kernels, 3, logits, pool, &token, &error),
                     RINGMOE_ERROR_NUMERIC);
}

/* A vocabulary that is looked through in several stretches, the last one shorter. */
static void finds_the_likeliest_of_many(void **state)
{
    enum { N = MAX_VOCAB, N_PLACES = 7 };
    static const int places[N_PLACES] = {0, 1, 511, 512, 700, N - 2, N - 1};
    rm_real logits[N];
    rm_candidate pool[N];
    ringmoe_generate_settings settings = plain();
    settings.temperature = 0;
    for (int i = 0; i < N_PLACES; i++)
        for (int other = i; other < N_PLACES; other++) {
            for (int j = 0; j < N; j++) logits[j] = (rm_real)(-1 - j % 7);
            logits[places[i]] = logits[places[other]] = 2;
            assert_int_equal(draw(&settings, logits, N, 0), places[i]);
        }
    logits[700] = (rm_real)NAN;
    rm_sampling sampling = {.settings = &settings};
    rm_error error = {""};
    int32_t token;
    assert_int_equal(rm_sample(&sampling, kernels, N, logits, pool, &token, &error),
                     RINGMOE_ERROR_NUMERIC);
    assert_non_null(strstr(error.text, "token 700"));
}

static void checks_settings(void **state)
{
    static const struct {
        ringmoe_generate_settings settings;
        const char *message;
    } cases[] = {
        {{.temperature = -1, .top_p = 1}, "temperature is -1"},
        {{.temperature = NAN, .top_p = 1}, "temperature is"},
        {{.temperature = INFINITY, .top_p = 1}, "temperature is inf"},
        {{.temperature = 1, .top_p = 0}, "top_p is 0"},
        {{.temperature = 1, .top_p = 1.01}, "top_p is 1.01"},
        {{.temperature = 1, .top_p = NAN}, "top_p is"},
        {{.temperature = 1, .top_p = 1, .top_k = -1}, "top_k is -1"},
        {{.temperature = 1, .top_p = 1, .min_p = 1.5}, "min_p is 1.5"},
        {{.temperature = 1, .top_p = 1, .min_p = NAN}, "min_p is"},
        {{.temperature = 1, .top_p = 1}, "repetition_penalty is 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rm_error error = {""};
        assert_int_equal(rm_sample_check(&cases[i].settings, &error), RINGMOE_ERROR_ARGUMENT);
        assert_non_null(strstr(error.text, cases[i].message));
    }
    ringmoe_generate_settings settings = plain();
    assert_int_equal(rm_sample_check(&settings, NULL), RINGMOE_OK);
}

int main(void)
{
    kernels = rm_kernels_best();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_temperature_is_the_likeliest),
        cmocka_unit_test(follows_the_probabilities),
        cmocka_unit_test(min_p_is_relative),
        cmocka_unit_test(repetition_is_penalised),
        cmocka_unit_test(ties_keep_the_lower_id),
        cmocka_unit_test(position_and_seed_decide),
        cmocka_unit_test(agrees_with_transformers),
        cmocka_unit_test(agrees_with_sorting),
        cmocka_unit_test(refuses_bad_numbers),
        cmocka_unit_test(finds_the_likeliest_of_many),
        cmocka_unit_test(checks_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

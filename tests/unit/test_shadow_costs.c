/* SPDX-License-Identifier: MIT
 *
 * The cost model of copied experts: its sum, what it chooses, and that it stays with a choice
 * however noisy the rates and counts are that it is fed with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "base/random.h"
#include "train/shadow_costs.h"
#include "train/shadow_rates.h"

static const double hot[] = {10, 900, 20, 30, 20, 20};

static rm_shadow_costs costs_of(double row_seconds, double byte_seconds)
{
    return (rm_shadow_costs){.n_experts = 6,
                             .expert_ranks = 3,
                             .n_replicas = 2,
                             .n_microbatches = 4,
                             .row_bytes = 100,
                             .expert_bytes = 1000,
                             .row_seconds = row_seconds,
                             .byte_seconds = byte_seconds,
                             .copied_byte_seconds = 2 * byte_seconds};
}

static void close_to(double value, double expected)
{
    if (fabs(value - expected) > 1e-12 * fabs(expected))
        fail_msg("%g, not %g", value, expected);
}

/* Without copies rank 0 computes (10 + 900) / 2 rows and fetches two thirds of them. With a
 * copy of expert 1 rank 1 has most, 25 and a third of 450, and fetches two thirds of 25. */
static void sum_is_the_slowest_ranks_and_the_copies(void **state)
{
    rm_shadow_costs costs = costs_of(1, 0.125);
    const rm_shadows none = {0}, one = {1, {1}};
    close_to(rm_shadow_seconds(&costs, hot, &none), 3 * 455 + 4 * 12.5 * 455 * 2 / 3);
    close_to(rm_shadow_seconds(&costs, hot, &one),
             3 * (25 + 150) + 4 * 12.5 * 25 * 2 / 3 + 5 * 2 * 250);
}

static void hot_expert_is_copied_where_rows_cost_more_than_weights(void **state)
{
    rm_shadow_costs costs = costs_of(1, 1e-6);
    rm_shadows shadows = rm_shadows_best(&costs, hot);
    assert_true(shadows.n >= 1);
    assert_true(shadows.experts[0] == 1 || shadows.experts[1] == 1);
    costs.expert_bytes = 1e12;
    assert_int_equal(rm_shadows_best(&costs, hot).n, 0);
}

static void nothing_is_copied_without_rates_or_need(void **state)
{
    static const double even[] = {5, 5, 5, 5, 5, 5}, nothing[6];
    rm_shadow_costs costs = costs_of(1, 1e-3);
    assert_int_equal(rm_shadows_best(&costs, even).n, 0);
    assert_int_equal(rm_shadows_best(&costs, nothing).n, 0);
    costs.row_seconds = 0;
    assert_int_equal(rm_shadows_best(&costs, hot).n, 0);
    costs = costs_of(1, NAN);
    assert_int_equal(rm_shadows_best(&costs, hot).n, 0);
}

/* Experts 0 and 1 of rank 0 have most rows, expert 2 of rank 1 is the hottest of all: it is no
 * use to copy that one, whose rank waits for rank 0 anyway. */
static void fullest_rank_is_relieved(void **state)
{
    static const double counts[] = {300, 290, 310, 5, 5, 5};
    rm_shadow_costs costs = costs_of(1, 1e-6);
    rm_shadows shadows = rm_shadows_best(&costs, counts);
    assert_true(shadows.n >= 1);
    assert_int_equal(shadows.experts[0], 0);
}

static void choice_stays_within_the_margin(void **state)
{
    static const double nearly[] = {30, 30, 30, 30, 37, 37};
    rm_shadow_costs costs = costs_of(1, 1e-9);
    const rm_shadows none = {0}, one = {1, {4}};
    assert_true(rm_shadows_best(&costs, nearly).n > 0);
    assert_int_equal(rm_shadows_worthwhile(&costs, nearly, &none).n, 0);
    assert_int_equal(rm_shadows_worthwhile(&costs, nearly, &one).n, 1);
    assert_true(rm_shadows_worthwhile(&costs, hot, &none).n > 0);
    costs.copied_byte_seconds = 1;
    assert_int_equal(rm_shadows_worthwhile(&costs, nearly, &one).n, 0);
}

/* --- rates --- */

static void slowest_partner_is_not_the_rate(void **state)
{
    rm_shadow_rates rates = {.row.n_steps = 0};
    rm_shadow_step step = {.expert_rows = 0};
    const rm_shadow_sample first = {6, 2, 8, 4, 0, 0, 3, 3}, waited = {3, 1, 80, 4, 0, 0, 9, 3};
    rm_shadow_step_add(&step, &waited);
    rm_shadow_step_add(&step, &first);
    rm_shadow_rates_learn(&rates, &step);
    close_to(rates.row.seconds, 1);
    close_to(rates.byte.seconds, 2);
    close_to(rates.gathered_byte.seconds, 1);
    assert_int_equal(rates.copied_byte.n_steps, 0);
    close_to(rm_shadow_rates_copied_byte(&rates), 2);
    step.copied_byte = 5;
    rm_shadow_rates_learn(&rates, &step);
    close_to(rm_shadow_rates_copied_byte(&rates), 5);
    rm_shadow_rates_learn(&rates, &(rm_shadow_step){0});
    close_to(rates.byte.seconds, 2);
}

/* Of a known rate, which a noise of up to three times either way hides. */
static double noisy(rm_random_key key, uint64_t i, double seconds)
{
    return seconds * exp(log(3) * (2 * rm_random_uniform(key, i) - 1));
}

/* Times and counts of 300 steps of six experts on three ranks. Returns how often the choice
 * changed. */
static int changes_of(const double *counts, uint64_t seed, rm_shadows *current)
{
    rm_random_key key = {seed, rm_random_stream("noise of rates")};
    rm_shadow_rates rates = {.row.n_steps = 0};
    int changes = 0;
    *current = (rm_shadows){0};
    for (uint64_t i = 0; i < 300; i++) {
        rm_shadow_step step = {.expert_seconds = noisy(key, 12 * i, 3e-3),
                               .expert_rows = 1000,
                               .byte = noisy(key, 12 * i + 1, 2e-10),
                               .copied_byte = noisy(key, 12 * i + 2, 1e-9),
                               .gathered_byte = noisy(key, 12 * i + 3, 5e-10)};
        rm_shadow_rates_learn(&rates, &step);
        rm_shadow_costs costs = costs_of(rates.row.seconds, rates.byte.seconds);
        costs.copied_byte_seconds = rm_shadow_rates_copied_byte(&rates);
        costs.expert_bytes = 2000;
        double noisy_counts[6];
        for (uint64_t e = 0; e < 6; e++)
            noisy_counts[e] = counts[e] * (0.9 + 0.2 * rm_random_uniform(key, 12 * i + 4 + e));
        rm_shadows next = rm_shadows_worthwhile(&costs, noisy_counts, current);
        changes += next.n != current->n || next.experts[0] != current->experts[0];
        *current = next;
    }
    return changes;
}

static void noise_changes_no_choice(void **state)
{
    static const double even[] = {160, 170, 165, 175, 170, 160};
    for (uint64_t seed = 0; seed < 20; seed++) {
        rm_shadows last;
        assert_in_range(changes_of(hot, seed, &last), 1, 2);
        assert_true(last.n >= 1);
        assert_int_equal(changes_of(even, seed, &last), 0);
    }
}

static void hottest_are_in_ascending_order(void **state)
{
    static const double nothing[6], single[] = {0, 0, 7, 0, 0, 0};
    static const double later[] = {1, 5, 2, 9, 9, 0};
    rm_shadows shadows = rm_shadows_hottest(6, later);
    assert_int_equal(shadows.n, 2);
    assert_int_equal(shadows.experts[0], 3);
    assert_int_equal(shadows.experts[1], 4);
    shadows = rm_shadows_hottest(6, hot);
    assert_int_equal(shadows.experts[0], 1);
    assert_int_equal(shadows.experts[1], 3);
    assert_int_equal(rm_shadows_hottest(6, single).n, 1);
    assert_int_equal(rm_shadows_hottest(6, nothing).n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sum_is_the_slowest_ranks_and_the_copies),
        cmocka_unit_test(hot_expert_is_copied_where_rows_cost_more_than_weights),
        cmocka_unit_test(nothing_is_copied_without_rates_or_need),
        cmocka_unit_test(fullest_rank_is_relieved),
        cmocka_unit_test(choice_stays_within_the_margin),
        cmocka_unit_test(slowest_partner_is_not_the_rate),
        cmocka_unit_test(noise_changes_no_choice),
        cmocka_unit_test(hottest_are_in_ascending_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * The cost model of copied experts: its sum, and what it chooses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "train/shadow_costs.h"

static const int64_t hot[] = {10, 900, 20, 30, 20, 20};

static rm_shadow_costs costs_of(double row_seconds, double byte_seconds)
{
    return (rm_shadow_costs){.n_experts = 6,
                             .expert_ranks = 3,
                             .n_replicas = 2,
                             .n_microbatches = 4,
                             .row_bytes = 100,
                             .expert_bytes = 1000,
                             .row_seconds = row_seconds,
                             .byte_seconds = byte_seconds};
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
             3 * (25 + 150) + 4 * 12.5 * 25 * 2 / 3 + 5 * 2 * 125);
}

static void hot_expert_is_copied_where_rows_cost_more_than_weights(void **state)
{
    rm_shadow_costs costs = costs_of(1, 1e-6);
    rm_shadows shadows = rm_shadows_worthwhile(&costs, hot);
    assert_true(shadows.n >= 1);
    assert_true(shadows.experts[0] == 1 || shadows.experts[1] == 1);
    costs.expert_bytes = 1e12;
    assert_int_equal(rm_shadows_worthwhile(&costs, hot).n, 0);
}

static void nothing_is_copied_without_rates_or_need(void **state)
{
    static const int64_t even[] = {5, 5, 5, 5, 5, 5}, nothing[6];
    rm_shadow_costs costs = costs_of(1, 1e-3);
    assert_int_equal(rm_shadows_worthwhile(&costs, even).n, 0);
    assert_int_equal(rm_shadows_worthwhile(&costs, nothing).n, 0);
    costs.row_seconds = 0;
    assert_int_equal(rm_shadows_worthwhile(&costs, hot).n, 0);
    costs = costs_of(1, NAN);
    assert_int_equal(rm_shadows_worthwhile(&costs, hot).n, 0);
}

static void hottest_are_in_ascending_order(void **state)
{
    static const int64_t nothing[6], single[] = {0, 0, 7, 0, 0, 0};
    static const int64_t later[] = {1, 5, 2, 9, 9, 0};
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
        cmocka_unit_test(hottest_are_in_ascending_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

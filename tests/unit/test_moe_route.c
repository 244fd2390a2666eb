/* SPDX-License-Identifier: MIT
 *
 * The route plan: send order, the order by token, capacity and what it drops.
 */
#include <math.h>

#include "moe_fixture.h"

/* A routing with the choices written down. */
static moe_fixture *with_choices(ringmoe_moe_settings settings, int64_t n_tokens,
                                 const int32_t *chosen)
{
    moe_fixture *fixture = moe_fixture_create(&settings);
    fixture->routing.n_tokens = n_tokens;
    memcpy(fixture->routing.chosen, chosen,
           (size_t)(n_tokens * settings.top_k) * sizeof *chosen);
    rm_route_plan_make(&fixture->plan, &settings, &fixture->routing);
    return fixture;
}

static void rows_are_sent_by_expert_then_token(void **state)
{
    const int32_t chosen[10] = {3, 1, 0, 2, 3, 0, 1, 3, 0, 3};
    moe_fixture *fixture = with_choices(moe_fixture_settings(4, 2), 5, chosen);
    const rm_route_plan *plan = &fixture->plan;
    assert_int_equal(plan->n_sent, 10);
    assert_int_equal(plan->n_dropped, 0);
    assert_choice(plan->first_slots, 0, 3, 5, 6, 10);
    assert_choice(plan->experts, 0, 0, 0, 1, 1, 2, 3, 3, 3, 3);
    assert_choice(plan->tokens, 1, 2, 4, 0, 3, 1, 0, 2, 3, 4);
    assert_choice(plan->slots, 6, 3, 0, 5, 7, 1, 4, 8, 2, 9);
    assert_choice(plan->token_firsts, 0, 2, 4, 6, 8, 10);
    assert_choice(plan->token_slots, 3, 6, 0, 5, 1, 7, 4, 8, 2, 9);
    moe_fixture_destroy(fixture);
}

static void capacity_is_rounded_up(void **state)
{
    ringmoe_moe_settings settings = moe_fixture_settings(4, 2);
    assert_true(rm_route_capacity(&settings, 1000) == INT64_MAX);
    settings.capacity_factor = 1;
    assert_int_equal(rm_route_capacity(&settings, 8), 4);
    assert_int_equal(rm_route_capacity(&settings, 9), 5);
    assert_int_equal(rm_route_capacity(&settings, 0), 0);
    settings.capacity_factor = (rm_real)1.25;
    assert_int_equal(rm_route_capacity(&settings, 10), 7);
    settings.capacity_factor = (rm_real)1.1; /* a little more than 1.1 in binary */
    assert_int_equal(rm_route_capacity(&settings, 200), 110);
    settings.capacity_factor = (rm_real)0.7; /* a little less */
    assert_int_equal(rm_route_capacity(&settings, 20), 7);
}

/* Capacity 2 each: first choices of all tokens come before any second choice. */
static void first_choices_go_before_second_ones(void **state)
{
    const int32_t chosen[8] = {1, 0, 1, 0, 0, 1, 0, 2};
    ringmoe_moe_settings settings = moe_fixture_settings(4, 2);
    settings.capacity_factor = 1;
    moe_fixture *fixture = with_choices(settings, 4, chosen);
    const rm_route_plan *plan = &fixture->plan;
    assert_choice(plan->first_slots, 0, 2, 4, 5, 5);
    assert_choice(plan->token_firsts, 0, 1, 2, 3, 5);
    assert_choice(plan->token_slots, 2, 3, 0, 1, 4);
    assert_choice(plan->slots, 2, -1, 3, -1, 0, -1, 1, 4);
    assert_choice(plan->tokens, 2, 3, 0, 1, 3);
    assert_int_equal(plan->n_dropped, 3);
    assert_int_equal(plan->n_sent, 5);
    moe_fixture_destroy(fixture);
}

/* Capacity 1: of the same rank of choice the lower token goes first. */
static void lower_tokens_go_first(void **state)
{
    const int32_t chosen[4] = {2, 2, 2, 2};
    ringmoe_moe_settings settings = moe_fixture_settings(4, 1);
    settings.capacity_factor = 1;
    moe_fixture *fixture = with_choices(settings, 4, chosen);
    assert_choice(fixture->plan.slots, 0, -1, -1, -1);
    assert_int_equal(fixture->plan.n_dropped, 3);
    moe_fixture_destroy(fixture);
}

static void no_tokens_make_an_empty_plan(void **state)
{
    const int32_t none[1] = {0};
    moe_fixture *fixture = with_choices(moe_fixture_settings(4, 2), 0, none);
    rm_route_plan *plan = &fixture->plan;
    assert_int_equal(plan->n_sent, 0);
    assert_choice(plan->first_slots, 0, 0, 0, 0, 0);
    assert_int_equal(plan->token_firsts[0], 0);
    moe_fixture_destroy(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_sent_by_expert_then_token),
        cmocka_unit_test(capacity_is_rounded_up),
        cmocka_unit_test(first_choices_go_before_second_ones),
        cmocka_unit_test(lower_tokens_go_first),
        cmocka_unit_test(no_tokens_make_an_empty_plan),
    };
    return cmocka_run_group_tests_name("moe route", tests, NULL, NULL);
}

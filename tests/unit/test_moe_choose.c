/* SPDX-License-Identifier: MIT
 *
 * The choice of experts: order, ties, groups, bias, and scores that are not numbers.
 */
#include <math.h>

#include "moe_fixture.h"

static void best_come_first_and_ties_go_to_the_lower(void **state)
{
    const rm_real scores[6] = {1, 3, 2, 3, 0, 3};
    int32_t best[6];
    rm_choose_best(6, scores, NULL, 1, 2, best);
    assert_choice(best, 1, 3);
    rm_choose_best(6, scores, NULL, 1, 6, best);
    assert_choice(best, 1, 3, 5, 2, 0, 4);
    const rm_real equal[4] = {7, 7, 7, 7};
    rm_choose_best(4, equal, NULL, 1, 3, best);
    assert_choice(best, 0, 1, 2);
}

static void only_allowed_blocks_take_part(void **state)
{
    const rm_real scores[6] = {9, 8, 1, 2, 7, 3};
    const bool allowed[3] = {false, true, true};
    int32_t best[3];
    rm_choose_best(6, scores, allowed, 2, 3, best);
    assert_choice(best, 4, 5, 3);
}

static void not_numbers_give_different_experts(void **state)
{
    const rm_real scores[4] = {NAN, NAN, NAN, NAN}, mixed[4] = {NAN, 1, NAN, 2};
    int32_t best[4];
    rm_choose_best(4, scores, NULL, 1, 3, best);
    assert_choice(best, 0, 1, 2);
    rm_choose_best(4, mixed, NULL, 1, 4, best);
    int seen = 0;
    for (int i = 0; i < 4; i++) seen |= 1 << best[i];
    assert_int_equal(seen, 15);
}

static void choose(const ringmoe_moe_settings *settings, const rm_real *scores, int32_t *chosen)
{
    void *scratch = test_malloc(rm_choose_scratch_bytes(settings));
    rm_choose_experts(settings, scores, scratch, chosen);
    test_free(scratch);
}

static void groups_by_their_best_expert(void **state)
{
    ringmoe_moe_settings settings = moe_fixture_settings(8, 2);
    const rm_real scores[8] = {5, 0, 4, 4, 1, 6, 3, 3};
    int32_t chosen[2];
    settings.n_groups = 4;
    settings.top_groups = 2;
    choose(&settings, scores, chosen);
    assert_choice(chosen, 5, 0);
    settings.top_groups = 1;
    choose(&settings, scores, chosen);
    assert_choice(chosen, 5, 4);
}

static void groups_by_their_two_best(void **state)
{
    ringmoe_moe_settings settings = moe_fixture_settings(8, 3);
    const rm_real scores[8] = {5, 0, 4, 4, 1, 6, 3, 3};
    int32_t chosen[3];
    settings.n_groups = 4;
    settings.top_groups = 2;
    settings.group_score = RINGMOE_GROUP_SCORE_TOP2_SUM;
    choose(&settings, scores, chosen); /* sums 5 8 7 6 */
    assert_choice(chosen, 5, 2, 3);
}

static void equal_groups_go_to_the_lower(void **state)
{
    ringmoe_moe_settings settings = moe_fixture_settings(6, 2);
    const rm_real scores[6] = {1, 2, 3, 0, 0, 3};
    int32_t chosen[2];
    settings.n_groups = 3;
    settings.top_groups = 1;
    choose(&settings, scores, chosen);
    assert_choice(chosen, 2, 3);
    settings.group_score = RINGMOE_GROUP_SCORE_TOP2_SUM;
    choose(&settings, scores, chosen); /* sums 3 3 3 */
    assert_choice(chosen, 1, 0);
}

static void groups_of_one_expert(void **state)
{
    ringmoe_moe_settings settings = moe_fixture_settings(4, 2);
    const rm_real scores[4] = {1, 4, 2, 3};
    int32_t chosen[2];
    settings.n_groups = 4;
    settings.top_groups = 2;
    settings.group_score = RINGMOE_GROUP_SCORE_TOP2_SUM;
    choose(&settings, scores, chosen);
    assert_choice(chosen, 1, 3);
}

/* The bias moves the choice of every kind of score; weights stay those of the plain scores. */
static void bias_is_in_the_choice_alone(void **state)
{
    const rm_real logits[4] = {2, 1, 0, -1};
    for (int score = 0; score <= RINGMOE_SCORE_SIGMOID; score++) {
        ringmoe_moe_settings settings = moe_fixture_settings(4, 2);
        settings.score = (ringmoe_router_score)score;
        settings.renormalize = 0;
        settings.bias_rate = 1;
        moe_fixture *fixture = moe_fixture_create(&settings);
        fixture->bias[3] = 10;
        moe_fixture_route(fixture, 1, logits);
        assert_choice(fixture->routing.chosen, 3, 0);
        const rm_real *weights = fixture->routing.weights;
        double of_sigmoid = 1 / (1 + exp(1)), all = exp(2) + exp(1) + 1 + exp(-1);
        double expected[3] = {exp(-1) / all, exp(-1) / (exp(-1) + exp(2)), of_sigmoid};
        assert_near(weights[0], expected[score], 1e-6);
        assert_true(weights[1] > weights[0]);
        moe_fixture_destroy(fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(best_come_first_and_ties_go_to_the_lower),
        cmocka_unit_test(only_allowed_blocks_take_part),
        cmocka_unit_test(not_numbers_give_different_experts),
        cmocka_unit_test(groups_by_their_best_expert),
        cmocka_unit_test(groups_by_their_two_best),
        cmocka_unit_test(equal_groups_go_to_the_lower),
        cmocka_unit_test(groups_of_one_expert),
        cmocka_unit_test(bias_is_in_the_choice_alone),
    };
    return cmocka_run_group_tests_name("moe choose", tests, NULL, NULL);
}

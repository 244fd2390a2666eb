/* SPDX-License-Identifier: MIT
 *
 * The order of the rows of a rank's experts, and what a message holds: that both ends of it,
 * from what each of them knows, come to the same plan.
 */
#include "comm/shared.h"
#include "moe/arrivals.h"
#include "moe/combine.h"
#include "moe/far.h"
#include "moe_fixture.h"

static rm_arena lay_out(rm_arrivals *arrivals, int n_local, int n_sources, int64_t max_rows)
{
    rm_arena arena = {0};
    rm_arrivals_layout(arrivals, n_local, n_sources, max_rows, &arena);
    assert_int_equal(rm_arena_reserve(&arena, arena.used, NULL), RINGMOE_OK);
    rm_arrivals_layout(arrivals, n_local, n_sources, max_rows, &arena);
    return arena;
}

/* Two experts; rank 1 of three; ranks 0 and 1 are near. */
static const int32_t three_sources[15] = {1, 2, 0, 0, 0, 3, 4, 0, 0, 0, 5, 6, 0, 0, 0};
static const int third_is_far[3] = {RM_WAY_MEMORY, RM_WAY_MEMORY, RM_WAY_NODES};
static const int both_are_far[2] = {RM_WAY_NODES, RM_WAY_NODES};

static void near_rows_surround_far_ones(void **state)
{
    rm_arrivals arrivals;
    rm_arena arena = lay_out(&arrivals, 2, 3, 21);
    memcpy(arrivals.counts, three_sources, sizeof three_sources);
    rm_arrivals_group(&arrivals, 1, third_is_far, true, false);
    assert_int_equal(arrivals.n_groups, 3);
    assert_int_equal(rm_arrivals_plan(&arrivals, NULL), RINGMOE_OK);
    const int64_t firsts[6] = {0, 1, 4, 15, 17, 9}, rows[6] = {1, 3, 5, 2, 4, 6};
    const int64_t offsets[9] = {0, 4, 4, 4, 9, 15, 15, 15, 21};
    assert_memory_equal(arrivals.run_firsts, firsts, sizeof firsts);
    assert_memory_equal(arrivals.run_rows, rows, sizeof rows);
    assert_memory_equal(arrivals.offsets, offsets, sizeof offsets);
    rm_arena_free(&arena);
}

static void without_overlap_there_is_one_group(void **state)
{
    rm_arrivals arrivals;
    rm_arena arena = lay_out(&arrivals, 2, 3, 21);
    memcpy(arrivals.counts, three_sources, sizeof three_sources);
    rm_arrivals_group(&arrivals, 1, third_is_far, false, false);
    assert_int_equal(arrivals.n_groups, 1);
    assert_int_equal(rm_arrivals_plan(&arrivals, NULL), RINGMOE_OK);
    const int64_t firsts[6] = {0, 1, 4, 9, 11, 15}, offsets[3] = {0, 9, 21};
    assert_memory_equal(arrivals.run_firsts, firsts, sizeof firsts);
    assert_memory_equal(arrivals.offsets, offsets, sizeof offsets);
    rm_arena_free(&arena);
}

static void far_groups_are_in_ring_order(void **state)
{
    rm_arrivals arrivals;
    int ways[8];
    rm_arena arena = lay_out(&arrivals, 1, 8, 8);
    for (int r = 0; r < 8; r++) ways[r] = r == 2 ? RM_WAY_MEMORY : RM_WAY_NODES;
    rm_arrivals_group(&arrivals, 2, ways, true, false);
    const int groups[8] = {1, 1, RM_NEAR, 4, 3, 3, 2, 2};
    assert_int_equal(arrivals.n_groups, RM_MOST_GROUPS);
    assert_memory_equal(arrivals.groups, groups, sizeof groups);
    rm_arena_free(&arena);
}

static void too_many_rows_are_refused(void **state)
{
    rm_arrivals arrivals;
    rm_error error = {""};
    rm_arena arena = lay_out(&arrivals, 2, 3, 20);
    memcpy(arrivals.counts, three_sources, sizeof three_sources);
    rm_arrivals_group(&arrivals, 1, third_is_far, true, false);
    assert_int_equal(rm_arrivals_plan(&arrivals, &error), RINGMOE_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "max_tokens"));
    rm_arena_free(&arena);
}

/* --- messages --- */

/* Tokens 0, 1, 2 choose among 6 experts on 2 ranks: what rank 0 sends to rank 1. */
static const int32_t choices[12] = {4, 3, 5, 0, 1, 2, 0, 5, 5, 4, 1, 3};

typedef struct far_fixture {
    moe_fixture *router;
    rm_far far;
    rm_arrivals arrivals;
    rm_arena arena;
    int32_t places[12];
} far_fixture;

static void lay_out_far(far_fixture *fixture)
{
    rm_far_layout(&fixture->far, &fixture->router->settings, 2, 1, 24, &fixture->arena);
    rm_arrivals_layout(&fixture->arrivals, 3, 2, 24, &fixture->arena);
}

static far_fixture *far_create(void)
{
    far_fixture *fixture = test_calloc(1, sizeof *fixture);
    ringmoe_moe_settings settings = moe_fixture_settings(6, 4);
    settings.max_tokens = 3;
    fixture->router = moe_fixture_create(&settings);
    fixture->router->routing.n_tokens = 3;
    memcpy(fixture->router->routing.chosen, choices, sizeof choices);
    rm_route_plan_make(&fixture->router->plan, &settings, &fixture->router->routing);
    lay_out_far(fixture);
    assert_int_equal(rm_arena_reserve(&fixture->arena, fixture->arena.used, NULL), RINGMOE_OK);
    lay_out_far(fixture);
    return fixture;
}

/* As one of two ranks on two nodes. */
static void find_ways(rm_far *far, int rank)
{
    int places[2] = {-1, -1};
    places[rank] = 0;
    rm_axis axis = {.size = 2, .rank = rank};
    rm_far_find_ways(far, &(rm_shared){.axis = &axis, .places = places, .n_members = 1}, rank);
}

static void far_destroy(far_fixture *fixture)
{
    moe_fixture_destroy(fixture->router);
    rm_arena_free(&fixture->arena);
    test_free(fixture);
}

static void a_token_travels_once(void **state)
{
    far_fixture *fixture = far_create();
    find_ways(&fixture->far, 0);
    rm_far_plan_out(&fixture->far, &fixture->router->plan, 6, 3, 3, 8, fixture->places);
    const rm_partner *partner = &fixture->far.partners[1];
    assert_int_equal(partner->slots, 7);
    assert_int_equal(partner->rows, 3);
    assert_choice(fixture->far.row_tokens + 3, 0, 1, 2);
    /* e3: t0 t2 | e4: t0 t2 | e5: t0 t1 t2, behind the 5 slots of rank 0; nodes {3}, {4, 5} */
    assert_choice(fixture->far.slot_rows + 5, 0, 2, 0, 2, 0, 1, 2);
    assert_choice(fixture->places + 5, 0, 3, 1, 4, -1, 2, -1);
    assert_int_equal(partner->sums, 5);
    far_destroy(fixture);
}

static void both_ends_agree(void **state)
{
    far_fixture *fixture = far_create();
    rm_far *far = &fixture->far;
    rm_arrivals *arrivals = &fixture->arrivals;
    const int32_t counts[12] = {2, 2, 3, 3, 7};
    rm_real notes[7 + 7] = {10, 11, 12, 13, 14, 15, 16};
    const int32_t slot_rows[7] = {0, 2, 0, 2, 0, 1, 2};
    find_ways(far, 1);
    memcpy(arrivals->counts, counts, sizeof counts);
    memcpy(notes + 7, slot_rows, sizeof slot_rows);
    rm_far_plan_out(far, &fixture->router->plan, 6, 3, 3, 8, fixture->places);
    rm_arrivals_group(arrivals, 1, both_are_far, true, false);
    assert_int_equal(rm_arrivals_plan(arrivals, NULL), RINGMOE_OK);
    rm_far_plan_in(far, arrivals, 1, 8);
    rm_far_read_notes(far, arrivals, 0, notes, 100);
    far->output_rows[0] = 0;
    memcpy(far->run_firsts, arrivals->run_firsts, 6 * sizeof *far->run_firsts);
    memcpy(far->run_rows, arrivals->run_rows, 6 * sizeof *far->run_rows);
    rm_far_plan_sums(far, 0, 6, notes);
    assert_choice(arrivals->x_rows, 100, 102, 100, 102, 100, 101, 102);
    assert_true(arrivals->weights[0] == 10 && arrivals->weights[6] == 16);
    assert_int_equal(far->partners[0].got_rows, 3);
    assert_int_equal(far->partners[0].got_sums, 5);
    assert_choice(far->sum_firsts, 0, 1, 3, 4, 5, 7);
    assert_choice(far->sum_rows, 0, 2, 4, 5, 1, 3, 6);
    assert_choice(far->sum_experts, 3, 4, 5, 5, 3, 4, 5);
    far_destroy(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_rows_surround_far_ones),
        cmocka_unit_test(without_overlap_there_is_one_group),
        cmocka_unit_test(far_groups_are_in_ring_order),
        cmocka_unit_test(too_many_rows_are_refused),
        cmocka_unit_test(a_token_travels_once),
        cmocka_unit_test(both_ends_agree),
    };
    return cmocka_run_group_tests_name("moe arrivals", tests, NULL, NULL);
}

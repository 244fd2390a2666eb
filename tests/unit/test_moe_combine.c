/* SPDX-License-Identifier: MIT
 *
 * The tree over experts: its shape on examples, and that splitting the experts over any number
 * of ranks, each of which adds what lies within it, gives the same bits.
 */
#include <math.h>

#include "moe/arrivals.h"
#include "moe/combine.h"
#include "moe/far.h"
#include "moe_fixture.h"

enum { WIDTH = 2500, MOST = 64 };

static rm_compute compute;

static int set_up(void **state)
{
    return rm_compute_init(&compute, NULL, 1, RINGMOE_PRECISION_FP32, NULL) != RINGMOE_OK;
}

static int tear_down(void **state)
{
    rm_compute_free(&compute);
    return 0;
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Large and small numbers, so that every order of additions has bits of its own. */
static void fill_rows(uint32_t seed, rm_real rows[MOST][WIDTH])
{
    for (int e = 0; e < MOST; e++)
        for (int i = 0; i < WIDTH; i++)
            rows[e][i] =
                ldexpf((float)next_random(&seed) - (1 << 23), (int)(next_random(&seed) % 20));
}

static rm_real sum_of(int n, const int32_t *experts, const rm_real *values)
{
    rm_term terms[8];
    rm_real y = NAN;
    for (int i = 0; i < n; i++) terms[i] = (rm_term){experts[i], &values[i]};
    rm_combine(&compute, 1, n, terms, false, &y);
    return y;
}

/* 1e8 swallows 1: the order shows. */
static void halves_are_added_before_wholes(void **state)
{
    const rm_real big = (rm_real)1e17;
    assert_true(sum_of(3, (const int32_t[]){1, 2, 5}, (const rm_real[]){big, -big, 1}) == 1);
    assert_true(sum_of(3, (const int32_t[]){3, 4, 5}, (const rm_real[]){1, big, -big}) == 1);
    assert_true(sum_of(4, (const int32_t[]){0, 1, 2, 3}, (const rm_real[]){1, big, -big, 1}) ==
                0);
    assert_true(sum_of(4, (const int32_t[]){1, 4, 5, 9}, (const rm_real[]){1, big, -big, 2}) ==
                3);
}

static void none_and_one_are_cases_too(void **state)
{
    rm_real y = 5, one = 3;
    rm_term term = {7, &one};
    rm_combine(&compute, 1, 0, NULL, true, &y);
    assert_true(y == 5);
    rm_combine(&compute, 1, 1, &term, true, &y);
    assert_true(y == 8);
    rm_combine(&compute, 1, 1, &term, false, &y);
    assert_true(y == 3);
    rm_combine(&compute, 1, 0, NULL, false, &y);
    assert_true(y == 0);
}

static void nodes_are_the_largest_within_a_range(void **state)
{
    assert_int_equal(rm_combine_node(5, 4, 8, 16), 4);
    assert_int_equal(rm_combine_node(5, 5, 8, 16), 5);
    assert_int_equal(rm_combine_node(7, 5, 8, 16), 6);
    assert_int_equal(rm_combine_node(2, 0, 3, 6), 2);
    assert_int_equal(rm_combine_node(1, 0, 3, 6), 0);
    assert_int_equal(rm_combine_node(5, 3, 6, 6), 4); /* what is beyond the last is empty */
    assert_int_equal(rm_combine_node(6, 4, 7, 7), 4);
    assert_int_equal(rm_combine_node(2, 0, 3, 3), 0);
    assert_int_equal(rm_combine_node(0, 0, 1, 1), 0);
}

/* The terms of each rank's range, added up by nodes, then all of them. */
static void sum_split(int n_experts, int n_ranks, int n, const rm_term *terms, rm_real *y)
{
    static rm_real partial[MOST][WIDTH];
    rm_term sums[MOST];
    int n_local = n_experts / n_ranks, n_sums = 0;
    for (int i = 0, end; i < n; i = end) {
        int first = terms[i].expert / n_local * n_local;
        int32_t node = rm_combine_node(terms[i].expert, first, first + n_local, n_experts);
        for (end = i + 1; end < n; end++)
            if (terms[end].expert >= first + n_local ||
                rm_combine_node(terms[end].expert, first, first + n_local, n_experts) != node)
                break;
        rm_combine(&compute, WIDTH, end - i, terms + i, false, partial[n_sums]);
        sums[n_sums] = (rm_term){terms[i].expert, partial[n_sums]};
        n_sums++;
    }
    rm_combine(&compute, WIDTH, n_sums, sums, false, y);
}

static void splitting_experts_keeps_the_bits(void **state)
{
    static rm_real rows[MOST][WIDTH], whole[WIDTH], split[WIDTH];
    uint32_t seed = 7;
    fill_rows(3, rows);
    for (int n_experts = 1; n_experts <= MOST; n_experts += n_experts < 16 ? 1 : 7)
        for (int n_ranks = 1; n_ranks <= n_experts; n_ranks++) {
            rm_term terms[MOST];
            int n = 0;
            if (n_experts % n_ranks) continue;
            uint32_t density = 1 + next_random(&seed) % 4;
            for (int e = 0; e < n_experts; e++)
                if (next_random(&seed) % density == 0) terms[n++] = (rm_term){e, rows[e]};
            rm_combine(&compute, WIDTH, n, terms, false, whole);
            sum_split(n_experts, n_ranks, n, terms, split);
            assert_memory_equal(whole, split, sizeof whole);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_are_added_before_wholes),
        cmocka_unit_test(none_and_one_are_cases_too),
        cmocka_unit_test(nodes_are_the_largest_within_a_range),
        cmocka_unit_test(splitting_experts_keeps_the_bits),
    };
    return cmocka_run_group_tests_name("moe combine", tests, set_up, tear_down);
}

/* SPDX-License-Identifier: MIT
 *
 * Threads that stay together: every turn does all of its work once, before it returns, however
 * late threads come; whether they spin, sleep, or were never given.
 */
#include <omp.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "tensor/team.h"

enum { MOST_TASKS = 64 };

/* Tasks of a turn; n_done[i] counts how often task i was done. */
typedef struct turn_tasks {
    int n;
    atomic_int next, threads[MOST_TASKS], n_done[MOST_TASKS];
    int plain[MOST_TASKS]; /* written without a lock: seen by thread 0 once a turn has returned
                            */
} turn_tasks;

static void do_tasks(void *user, int thread)
{
    turn_tasks *tasks = user;
    int i;
    atomic_fetch_add(&tasks->threads[thread], 1);
    while ((i = atomic_fetch_add(&tasks->next, 1)) < tasks->n) {
        atomic_fetch_add(&tasks->n_done[i], 1);
        tasks->plain[i]++;
    }
}

static void run_turn(const rm_compute *compute, turn_tasks *tasks, int n)
{
    *tasks = (turn_tasks){.n = n};
    rm_team_run(compute, do_tasks, tasks);
    for (int i = 0; i < n; i++) {
        assert_int_equal(atomic_load(&tasks->n_done[i]), 1);
        assert_int_equal(tasks->plain[i], 1);
    }
    for (int thread = 0; thread < MOST_TASKS; thread++)
        assert_true(atomic_load(&tasks->threads[thread]) <= (thread < compute->n_threads));
}

typedef struct held_turns {
    const rm_compute *compute;
    int n_turns;
    long pause_nanoseconds;
    bool was_called;
} held_turns;

static void take_turns(void *user)
{
    held_turns *turns = user;
    turn_tasks tasks;
    char memory[3 * 4096];
    turns->was_called = true;
    assert_int_equal(omp_get_thread_num(), 0);
    for (int i = 0; i < turns->n_turns; i++) {
        rm_bytes next[] = {{memory, i}, {memory + 100, 4096 + i}, {memory, 0}};
        rm_team_announce(turns->compute, next, i % 4);
        run_turn(turns->compute, &tasks, i % MOST_TASKS);
        if (turns->pause_nanoseconds)
            nanosleep(&(struct timespec){.tv_nsec = turns->pause_nanoseconds}, NULL);
    }
}

static void hold(const rm_compute *compute, int n_turns, long pause_nanoseconds)
{
    held_turns turns = {compute, n_turns, pause_nanoseconds, false};
    rm_team_hold(compute, take_turns, &turns);
    assert_true(turns.was_called);
}

static rm_compute compute_of(int n_threads)
{
    rm_compute compute;
    rm_error error;
    assert_int_equal(rm_compute_init(&compute, NULL, n_threads, RINGMOE_PRECISION_FP32, &error),
                     RINGMOE_OK);
    return compute;
}

static void test_every_turn_does_its_work_once(void **state)
{
    (void)state;
    for (int n_threads = 1; n_threads <= 4; n_threads++) {
        rm_compute compute = compute_of(n_threads);
        turn_tasks tasks;
        run_turn(&compute, &tasks, 5);
        hold(&compute, 2000, 0);
        hold(&compute, 1, 0);
        hold(&compute, 0, 0);
        run_turn(&compute, &tasks, 5);
        rm_compute_free(&compute);
    }
}

static void test_sleeping_threads_wake_up(void **state)
{
    (void)state;
    rm_compute compute = compute_of(3);
    hold(&compute, 20, 20000000);
    hold(&compute, 200, 1000000);
    rm_compute_free(&compute);
}

/* Nobody else takes part, and its scratch is for as many as it says. */
static void a_copy_may_have_fewer_threads(void *user)
{
    rm_compute copy = *(const rm_compute *)user;
    turn_tasks tasks;
    copy.n_threads = 1;
    run_turn(&copy, &tasks, 9);
}

static void hold_again(void *user)
{
    hold(user, 50, 0);
}

static void test_turns_within_others(void **state)
{
    (void)state;
    rm_compute compute = compute_of(2);
    rm_team_hold(&compute, a_copy_may_have_fewer_threads, &compute);
    rm_team_hold(&compute, hold_again, &compute);
#pragma omp parallel num_threads(2)
    if (omp_get_thread_num() == 0) hold(&compute, 50, 0);
    rm_compute_free(&compute);
}

static void test_without_a_team_loops_are_regions(void **state)
{
    (void)state;
    rm_compute compute = {.n_threads = 3};
    turn_tasks tasks;
    run_turn(&compute, &tasks, 40);
    hold(&compute, 50, 0);
}

/* A program's own threads, each with a context of its own. */
static void expect_first_scratch(void *user, int64_t row)
{
    const rm_compute *compute = user;
    (void)row;
    assert_ptr_equal(rm_compute_scratch(compute), compute->scratch.base);
}

static void test_rows_within_a_programs_own_region(void **state)
{
    (void)state;
    rm_compute computes[2] = {compute_of(1), compute_of(1)};
#pragma omp parallel num_threads(2)
    rm_rows_run(&computes[omp_get_thread_num()], 3, expect_first_scratch,
                &computes[omp_get_thread_num()]);
    for (int i = 0; i < 2; i++) rm_compute_free(&computes[i]);
}

/* Thread 0 of a turn does what is run within it alone. */
typedef struct outer_turn {
    const rm_compute *compute;
    turn_tasks inner;
} outer_turn;

static void run_inner_turn(void *user, int thread)
{
    outer_turn *outer = user;
    if (thread == 0) run_turn(outer->compute, &outer->inner, 7);
}

static void take_outer_turn(void *user)
{
    outer_turn *outer = user;
    for (int i = 0; i < 100; i++) rm_team_run(outer->compute, run_inner_turn, outer);
}

static void test_turns_within_a_turn(void **state)
{
    (void)state;
    rm_compute compute = compute_of(2);
    outer_turn outer = {.compute = &compute};
    rm_team_hold(&compute, take_outer_turn, &outer);
    rm_compute_free(&compute);
}

static void count_row(void *user, int64_t row)
{
    atomic_fetch_add(&((atomic_int *)user)[row], 1);
}

static void test_every_row_is_run_once(void **state)
{
    static const int numbers[] = {0, 1, RM_ROWS_AT_ONCE, RM_ROWS_AT_ONCE + 1, 100};
    (void)state;
    rm_compute compute = {.n_threads = 3};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        atomic_int counts[101] = {0};
        rm_rows_run(&compute, numbers[i], count_row, counts);
        for (int row = 0; row <= 100; row++)
            assert_int_equal(atomic_load(&counts[row]), row < numbers[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_turn_does_its_work_once),
        cmocka_unit_test(test_sleeping_threads_wake_up),
        cmocka_unit_test(test_turns_within_others),
        cmocka_unit_test(test_without_a_team_loops_are_regions),
        cmocka_unit_test(test_rows_within_a_programs_own_region),
        cmocka_unit_test(test_turns_within_a_turn),
        cmocka_unit_test(test_every_row_is_run_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Schedules: every one of the table is proved over a range of sizes, has the bubble and the
 * peaks that its paper says, and lists that are wrong in any way are refused with a line that
 * says where.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ringmoe.h>

#include "pipeline/lists.h"

static ringmoe_context *context;

static int open_context(void **state)
{
    MPI_Init(NULL, NULL);
    return ringmoe_context_create(MPI_COMM_SELF, NULL, &context);
}

static int close_context(void **state)
{
    ringmoe_context_destroy(&context);
    return MPI_Finalize();
}

static ringmoe_schedule *make(const char *name, int p, int m, int v)
{
    ringmoe_schedule *schedule;
    ringmoe_status status = ringmoe_schedule_create(context, name, p, m, v, &schedule);
    if (status != RINGMOE_OK)
        fail_msg("%s, %d ranks, %d microbatches, %d chunks: %s", name, p, m, v,
                 ringmoe_context_error(context));
    return schedule;
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* The most microbatches that a rank keeps in all its chunks. */
static int peak_of(const ringmoe_schedule *schedule, int rank)
{
    int n_items, live = 0, peak = 0;
    const ringmoe_schedule_item *items = ringmoe_schedule_items(schedule, rank, &n_items);
    for (int i = 0; i < n_items; i++) {
        live += items[i].operation == RINGMOE_STAGE_FORWARD;
        peak = larger(peak, live);
        live -= items[i].operation == RINGMOE_STAGE_BACKWARD ||
                items[i].operation == RINGMOE_STAGE_BACKWARD_WEIGHT;
    }
    return peak;
}

static double bubble_of(const ringmoe_schedule *schedule, ringmoe_stage_cost cost)
{
    int p, m, v;
    ringmoe_schedule_sizes(schedule, &p, &m, &v);
    ringmoe_stage_cost costs[64];
    assert_true(p * v <= 64);
    for (int s = 0; s < p * v; s++) costs[s] = cost;
    ringmoe_schedule_times times;
    assert_int_equal(ringmoe_schedule_simulate(context, schedule, costs, 0, NULL, &times),
                     RINGMOE_OK);
    return times.bubble;
}

/* What pipeline.h states, of m microbatches in groups of about p. */
static int stated_peak(const char *name, int p, int m, int v, int r)
{
    int n_groups = larger(1, (2 * m + p) / (2 * p)), group = (m + n_groups - 1) / n_groups;
    int chunks = (v - 1) * group, peak = m * v;
    if (strcmp(name, "1f1b") == 0 || (strcmp(name, "interleaved") == 0 && v == 1))
        peak = chunks + p - r;
    else if (strcmp(name, "interleaved") == 0)
        peak = chunks + 2 * (p - r - 1) + 1;
    else if (strcmp(name, "zb-h1") == 0)
        peak = chunks + p;
    return smaller(peak, m * v);
}

static void check_peaks(const ringmoe_schedule *schedule, const char *name)
{
    int p, m, v;
    ringmoe_schedule_sizes(schedule, &p, &m, &v);
    for (int r = 0; r < p; r++) {
        int peak = peak_of(schedule, r), stated = stated_peak(name, p, m, v, r);
        if (peak > stated)
            fail_msg("%s, p %d, m %d, v %d, rank %d: %d microbatches are kept, not %d", name, p,
                     m, v, r, peak, stated);
        if (strcmp(name, "gpipe") == 0) assert_int_equal(peak, m * v);
        if (strcmp(name, "1f1b") == 0 && v == 1) assert_int_equal(peak, smaller(m, p - r));
        for (int c = 0; c < v; c++) {
            int slots = ringmoe_schedule_slots(schedule, r, c);
            assert_true(slots >= 1 && slots <= m);
            if (strcmp(name, "forward") == 0) assert_int_equal(slots, 1);
            if (v == 1 && strcmp(name, "forward") != 0) assert_int_equal(slots, peak);
        }
    }
}

static const ringmoe_stage_cost even = {1, 1, 1};

static void check_bubbles(const ringmoe_schedule *schedule, const char *name)
{
    int p, m, v;
    ringmoe_schedule_sizes(schedule, &p, &m, &v);
    double bubble = bubble_of(schedule, even), plain = (double)(p - 1) / (m + p - 1);
    double chunks = (double)(p - 1) / (v * m + p - 1);
    double bound = 1;
    if (v == 1 && (strcmp(name, "gpipe") == 0 || strcmp(name, "1f1b") == 0)) {
        assert_true(fabs(bubble - plain) < 1e-12);
        bound = plain;
    }
    if (strcmp(name, "interleaved") == 0 && m % p == 0) bound = chunks;
    if (strcmp(name, "zb-h1") == 0 && v == 1)
        bound = m >= p ? (double)(p - 1) / (3 * m + p - 1) : plain;
    if (bubble > bound + 1e-12)
        fail_msg("%s, p %d, m %d, v %d: bubble %.4f, bound %.4f", name, p, m, v, bubble, bound);
}

static void all_schedules_are_proved(void **state)
{
    for (const char *const *name = ringmoe_schedule_names(); *name; name++)
        for (int p = 1; p <= 16; p++)
            for (int m = 1; m <= 64; m++)
                for (int v = 1; v <= 4; v++) {
                    ringmoe_schedule *schedule = make(*name, p, m, v);
                    assert_int_equal(ringmoe_schedule_check(context, schedule), RINGMOE_OK);
                    check_peaks(schedule, *name);
                    check_bubbles(schedule, *name);
                    ringmoe_schedule_destroy(&schedule);
                }
}

/* Lists to be spoilt: copies of a schedule's, with a line that says what is expected of them.
 */
typedef struct copied_lists {
    int p, m, v, n_items[8];
    ringmoe_schedule_item *lists[8];
} copied_lists;

static copied_lists copy_of(const char *name, int p, int m, int v)
{
    copied_lists copy = {.p = p, .m = m, .v = v};
    ringmoe_schedule *schedule = make(name, p, m, v);
    for (int r = 0; r < p; r++) {
        const ringmoe_schedule_item *items =
            ringmoe_schedule_items(schedule, r, &copy.n_items[r]);
        copy.lists[r] = malloc((size_t)copy.n_items[r] * sizeof *items);
        assert_non_null(copy.lists[r]);
        memcpy(copy.lists[r], items, (size_t)copy.n_items[r] * sizeof *items);
    }
    ringmoe_schedule_destroy(&schedule);
    return copy;
}

static ringmoe_status build(const copied_lists *copy, ringmoe_schedule **schedule)
{
    return ringmoe_schedule_from_items(context, copy->p, copy->m, copy->v,
                                       (const ringmoe_schedule_item *const *)copy->lists,
                                       copy->n_items, schedule);
}

static void free_copy(copied_lists *copy)
{
    for (int r = 0; r < copy->p; r++) free(copy->lists[r]);
}

/* The lists are refused with a line that has `text` in it, and freed. */
static void expect_refusal(copied_lists *copy, const char *text)
{
    ringmoe_schedule *schedule;
    assert_int_equal(build(copy, &schedule), RINGMOE_ERROR_ARGUMENT);
    assert_null(schedule);
    if (!strstr(ringmoe_context_error(context), text))
        fail_msg("expected \"%s\" in: %s", text, ringmoe_context_error(context));
    free_copy(copy);
}

static void swap_lines(copied_lists *copy, int rank, int a, int b)
{
    ringmoe_schedule_item item = copy->lists[rank][a];
    copy->lists[rank][a] = copy->lists[rank][b];
    copy->lists[rank][b] = item;
}

static void own_lists_are_taken_as_they_are(void **state)
{
    for (const char *const *name = ringmoe_schedule_names(); *name; name++) {
        copied_lists copy = copy_of(*name, 3, 4, 2);
        ringmoe_schedule *original = make(*name, 3, 4, 2), *schedule;
        assert_int_equal(build(&copy, &schedule), RINGMOE_OK);
        for (int r = 0; r < 3; r++) {
            int n_items, n_original;
            const ringmoe_schedule_item *items = ringmoe_schedule_items(schedule, r, &n_items);
            const ringmoe_schedule_item *others =
                ringmoe_schedule_items(original, r, &n_original);
            assert_int_equal(n_items, n_original);
            assert_memory_equal(items, others, (size_t)n_items * sizeof *items);
        }
        ringmoe_schedule_destroy(&schedule);
        ringmoe_schedule_destroy(&original);
        free_copy(&copy);
    }
}

static void a_dropped_line_is_noticed(void **state)
{
    const char *const lacks[] = {"lacks backward", "comes before the forward operation"};
    for (int dropped = 0; dropped < 8; dropped++) {
        copied_lists copy = copy_of("1f1b", 2, 4, 1);
        bool is_forward = copy.lists[1][dropped].operation == RINGMOE_STAGE_FORWARD;
        for (int i = dropped; i < 7; i++) copy.lists[1][i] = copy.lists[1][i + 1];
        copy.n_items[1]--;
        bool is_last = dropped == 7;
        expect_refusal(&copy, is_forward ? lacks[1] : is_last ? lacks[0] : "rank 1, line");
    }
    copied_lists copy = copy_of("zb-h1", 2, 4, 1);
    copy.n_items[0]--;
    expect_refusal(&copy, "rank 0, after its last line 10: microbatch 3, chunk 0 lacks "
                          "backward of the weights");
    copy = copy_of("forward", 2, 4, 1);
    copy.n_items[1] = 0;
    expect_refusal(&copy, "microbatch 0, chunk 0 lacks forward");
}

static void lines_out_of_order_are_noticed(void **state)
{
    copied_lists copy = copy_of("1f1b", 2, 4, 1);
    swap_lines(&copy, 1, 0, 1);
    expect_refusal(&copy, "rank 1, line 0 (backward, microbatch 0, chunk 0): comes before the "
                          "forward operation");
    copy = copy_of("gpipe", 2, 4, 1);
    swap_lines(&copy, 1, 4, 6);
    expect_refusal(&copy, "rank 1, line 4 (backward, microbatch 2, chunk 0): gradients of "
                          "weights come in the order of microbatches, now 0");
    copy = copy_of("zb-h1", 1, 2, 1);
    swap_lines(&copy, 0, 1, 2);
    expect_refusal(&copy, "comes before the backward of the input");
    copy = copy_of("gpipe", 2, 4, 1);
    copy.lists[0][1] = copy.lists[0][0];
    expect_refusal(&copy, "rank 0, line 1 (forward, microbatch 0, chunk 0): twice");
    copy = copy_of("1f1b", 2, 4, 1);
    copy.lists[0][7] = copy.lists[0][2];
    expect_refusal(&copy, "twice");
}

static void what_does_not_exist_is_noticed(void **state)
{
    copied_lists copy = copy_of("1f1b", 2, 4, 1);
    copy.lists[0][3].microbatch = 4;
    expect_refusal(&copy, "microbatch 4, chunk 0): there is no such microbatch");
    copy = copy_of("1f1b", 2, 4, 1);
    copy.lists[1][3].chunk = -1;
    expect_refusal(&copy, "there is no such chunk");
    copy = copy_of("1f1b", 2, 4, 1);
    copy.lists[1][3].operation = (ringmoe_stage_operation)9;
    expect_refusal(&copy, "there is no such operation");
    copy = copy_of("1f1b", 2, 4, 1);
    copy.n_items[1] = 13;
    expect_refusal(&copy, "rank 1 has 13 lines");
}

/* Each list is right by itself, but the ranks wait for each other: rank 0 wants to send 1 only
 * when 0 has come back, rank 1 begins with 1. */
static void a_deadlock_is_noticed(void **state)
{
    const ringmoe_stage_operation F = RINGMOE_STAGE_FORWARD, I = RINGMOE_STAGE_BACKWARD_INPUT,
                                  W = RINGMOE_STAGE_BACKWARD_WEIGHT;
    ringmoe_schedule_item first[] = {{F, 0, 0, 0}, {I, 0, 0, 0}, {W, 0, 0, 0},
                                     {F, 1, 0, 0}, {I, 1, 0, 0}, {W, 1, 0, 0}};
    ringmoe_schedule_item second[] = {{F, 1, 0, 0}, {F, 0, 0, 0}, {I, 0, 0, 0},
                                      {W, 0, 0, 0}, {I, 1, 0, 0}, {W, 1, 0, 0}};
    const ringmoe_schedule_item *lists[] = {first, second};
    const int n_items[] = {6, 6};
    ringmoe_schedule *schedule;
    assert_int_equal(ringmoe_schedule_from_items(context, 2, 2, 1, lists, n_items, &schedule),
                     RINGMOE_ERROR_ARGUMENT);
    assert_string_equal(ringmoe_context_error(context),
                        "schedule, rank 0, line 1 (backward of the input, microbatch 0, chunk "
                        "0) waits for ever for stage 1, and rank 1, line 0 (forward, "
                        "microbatch 1, chunk 0) waits for ever for stage 0");
    lists[0] = second;
    assert_int_equal(ringmoe_schedule_from_items(context, 2, 2, 1, lists, n_items, &schedule),
                     RINGMOE_OK);
    ringmoe_schedule_destroy(&schedule);
}

static void too_few_slots_are_noticed(void **state)
{
    ringmoe_schedule *schedule = make("1f1b", 3, 5, 2);
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 2; c++) {
            int *slots = &schedule->slots[r * 2 + c];
            --*slots;
            assert_int_equal(ringmoe_schedule_check(context, schedule), RINGMOE_ERROR_ARGUMENT);
            assert_non_null(strstr(ringmoe_context_error(context), "but the chunk has"));
            ++*slots;
        }
    assert_int_equal(ringmoe_schedule_check(context, schedule), RINGMOE_OK);
    schedule->items[0][1].slot = 0;
    assert_int_equal(ringmoe_schedule_check(context, schedule), RINGMOE_ERROR_ARGUMENT);
    assert_non_null(strstr(ringmoe_context_error(context), "slot 0 still has microbatch 0"));
    ringmoe_schedule_destroy(&schedule);
}

static void a_play_has_the_times_of_a_hand_made_one(void **state)
{
    /* GPipe on two uneven stages with a transfer of half a second:
     *   stage 0  F0 F1 . . . . . . . B0 B0 . B1 B1      F 1, B 2
     *   stage 1  . . F0 F0 F1 F1 B0 B0 B0 B1 B1 B1      F 2, B 3, begins at 1.5 */
    ringmoe_schedule *schedule = make("gpipe", 2, 2, 1);
    const ringmoe_stage_cost costs[] = {{1, 1, 1}, {2, 2, 1}};
    const double expected[] = {0, 1, 9, 12, 1.5, 3.5, 5.5, 8.5};
    double begins[8];
    ringmoe_schedule_times times;
    assert_int_equal(ringmoe_schedule_simulate(context, schedule, costs, 0.5, begins, &times),
                     RINGMOE_OK);
    for (int i = 0; i < 8; i++) assert_true(fabs(begins[i] - expected[i]) < 1e-12);
    assert_true(fabs(times.seconds - 14) < 1e-12);
    assert_true(fabs(times.bubble - (1 - 16.0 / 28)) < 1e-12);
    const ringmoe_stage_cost wrong[] = {{1, 1, 1}, {2, -2, 1}};
    assert_int_equal(ringmoe_schedule_simulate(context, schedule, wrong, 0, NULL, &times),
                     RINGMOE_ERROR_ARGUMENT);
    ringmoe_schedule_destroy(&schedule);
}

/* With messages that take time, asking a turn earlier pays. */
static void interleaving_hides_transfers(void **state)
{
    ringmoe_schedule *plain = make("1f1b", 4, 16, 2), *early = make("interleaved", 4, 16, 2);
    ringmoe_stage_cost costs[8];
    for (int s = 0; s < 8; s++) costs[s] = even;
    ringmoe_schedule_times plain_times, early_times;
    ringmoe_schedule_simulate(context, plain, costs, 0.2, NULL, &plain_times);
    ringmoe_schedule_simulate(context, early, costs, 0.2, NULL, &early_times);
    assert_true(early_times.seconds < plain_times.seconds);
    ringmoe_schedule_destroy(&plain);
    ringmoe_schedule_destroy(&early);
}

static void sizes_and_names_are_checked(void **state)
{
    ringmoe_schedule *schedule;
    const int wrong[][3] = {{0, 1, 1}, {1, 0, 1}, {1, 1, 0}, {-1, 1, 1}, {4096, 65536, 16}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(ringmoe_schedule_create(context, "1f1b", wrong[i][0], wrong[i][1],
                                                 wrong[i][2], &schedule),
                         RINGMOE_ERROR_ARGUMENT);
    assert_int_equal(ringmoe_schedule_create(context, "2f2b", 1, 1, 1, &schedule),
                     RINGMOE_ERROR_ARGUMENT);
    assert_non_null(strstr(ringmoe_context_error(context), "no schedule \"2f2b\""));
    assert_int_equal(ringmoe_schedule_create(context, NULL, 1, 1, 1, &schedule),
                     RINGMOE_ERROR_ARGUMENT);
    ringmoe_schedule_destroy(&schedule);
    ringmoe_schedule_destroy(NULL);
    int n_items = 5;
    assert_null(ringmoe_schedule_items(NULL, 0, &n_items));
    assert_int_equal(n_items, 0);
}

/* --- stages --- */

static double cost_of_cut(const double *costs, int n, double first, double last, int n_stages,
                          const int *bounds)
{
    double worst = 0;
    assert_int_equal(bounds[0], 0);
    assert_int_equal(bounds[n_stages], n);
    for (int s = 0; s < n_stages; s++) {
        double cost = (s == 0 ? first : 0) + (s == n_stages - 1 ? last : 0);
        assert_true(bounds[s] <= bounds[s + 1]);
        for (int i = bounds[s]; i < bounds[s + 1]; i++) cost += costs[i];
        if (cost > worst) worst = cost;
    }
    return worst;
}

/* The best by trying everything. */
static double best_cut(const double *costs, int n, double first, double last, int n_stages)
{
    double best = INFINITY;
    int bounds[8] = {0};
    for (long code = 0; code < (long)pow(n + 1, n_stages - 1); code++) {
        long rest = code;
        bool is_ordered = true;
        for (int s = 1; s < n_stages; s++, rest /= n + 1) {
            bounds[s] = (int)(rest % (n + 1));
            is_ordered = is_ordered && bounds[s] >= bounds[s - 1];
        }
        bounds[n_stages] = n;
        if (!is_ordered) continue;
        double cost = cost_of_cut(costs, n, first, last, n_stages, bounds);
        if (cost < best) best = cost;
    }
    return best;
}

static void cuts_are_the_best_there_are(void **state)
{
    unsigned seed = 7;
    for (int round = 0; round < 400; round++) {
        double costs[7];
        int n = round % 8, n_stages = 1 + round / 8 % 4, bounds[8];
        for (int i = 0; i < n; i++) costs[i] = (seed = seed * 1664525 + 1013904223) >> 28;
        double first = round % 3, last = round % 5;
        assert_int_equal(
            ringmoe_partition_layers(context, costs, n, first, last, n_stages, bounds),
            RINGMOE_OK);
        assert_true(fabs(cost_of_cut(costs, n, first, last, n_stages, bounds) -
                         best_cut(costs, n, first, last, n_stages)) < 1e-12);
    }
    const double negative[] = {1, -1};
    int bounds[3];
    assert_int_equal(ringmoe_partition_layers(context, negative, 2, 0, 0, 2, bounds),
                     RINGMOE_ERROR_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_schedules_are_proved),
        cmocka_unit_test(own_lists_are_taken_as_they_are),
        cmocka_unit_test(a_dropped_line_is_noticed),
        cmocka_unit_test(lines_out_of_order_are_noticed),
        cmocka_unit_test(what_does_not_exist_is_noticed),
        cmocka_unit_test(a_deadlock_is_noticed),
        cmocka_unit_test(too_few_slots_are_noticed),
        cmocka_unit_test(a_play_has_the_times_of_a_hand_made_one),
        cmocka_unit_test(interleaving_hides_transfers),
        cmocka_unit_test(sizes_and_names_are_checked),
        cmocka_unit_test(cuts_are_the_best_there_are),
    };
    return cmocka_run_group_tests(tests, open_context, close_context);
}

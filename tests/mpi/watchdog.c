/* SPDX-License-Identifier: MIT
 *
 * The watchdog: what it remembers, what it says to its neighbours, that a slow rank raises no
 * alarm, and that ranks which wait for one another are told so, with the names of their waits.
 * Processes that die or stop are the end-to-end tests'.
 */
#include <ringmoe.h>

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "comm/context.h"
#include "comm/watchdog.h"

static const double LIMIT_SECONDS = 1, SHORT_LIMIT_SECONDS = 0.4;

/* What the alarm function was told; read after `n_calls` says so. */
struct alarms {
    atomic_int n_calls, n_over;
    int rank, is_witness;
    char verdict[512], here[512], past[2048];
};

static void take_alarm(void *user, const ringmoe_alarm *alarm)
{
    struct alarms *alarms = user;
    if (alarm->is_over) {
        atomic_fetch_add(&alarms->n_over, 1);
        return;
    }
    alarms->rank = alarm->rank;
    alarms->is_witness = alarm->is_witness;
    snprintf(alarms->verdict, sizeof alarms->verdict, "%s", alarm->verdict);
    snprintf(alarms->here, sizeof alarms->here, "%s", alarm->here);
    snprintf(alarms->past, sizeof alarms->past, "%s", alarm->past);
    atomic_fetch_add(&alarms->n_calls, 1);
}

/* Waits in the library for what never comes, until the alarm. */
static void wait_in_vain(ringmoe_context *context, const struct alarms *alarms)
{
    rm_waiting waiting = rm_wait_begin(&context->world, RM_EVERYONE, "what never comes");
    while (!alarms->n_calls) rm_wait_idle(&waiting);
    rm_wait_end(&waiting);
}

/* A context's log has nothing to say in these tests. */
static void take_line(void *user, ringmoe_log_level level, const char *line)
{
    check_report("silence", __FILE__, __LINE__, line);
}

static ringmoe_context *watched_context_of(double seconds, ringmoe_log_function log,
                                           struct alarms *alarms)
{
    ringmoe_context_settings settings;
    ringmoe_context *context;
    ringmoe_context_settings_default(&settings);
    settings.watchdog_seconds = seconds;
    settings.alarm = take_alarm;
    settings.alarm_user = alarms;
    settings.log = log;
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, &settings, &context) == RINGMOE_OK);
    return context;
}

static ringmoe_context *watched_context(struct alarms *alarms)
{
    return watched_context_of(LIMIT_SECONDS, take_line, alarms);
}

static void pass_time(double seconds)
{
    struct timespec time = {.tv_sec = (time_t)seconds};
    time.tv_nsec = (long)((seconds - (double)time.tv_sec) * 1e9);
    nanosleep(&time, NULL);
}

static void test_beats(void)
{
    rm_token token = {{-5, 1234567890123456789}}, other = {{-5, 7}};
    rm_beat beat = {.kind = RM_BEAT_VERDICT,
                    .from = 3,
                    .cause = RM_CAUSE_STUCK,
                    .n_waiting = 4,
                    .n_events = INT64_MAX,
                    .seconds = 1.25,
                    .rank = 70000,
                    .process = 99,
                    .occupation = {.label = {-1, -1, 5, RM_OPERATION_BACKWARD},
                                   .partners = {-1, 2, 3, 4},
                                   .what = "MPI_Iallreduce",
                                   .is_waiting = 1,
                                   .begin = 1e-9},
                    .host = "a host"};
    rm_beat decoded;
    unsigned char wire[RM_BEAT_BYTES];
    rm_beat_encode(&beat, &token, wire);
    CHECK(rm_beat_decode(wire, &token, &decoded));
    CHECK(memcmp(&beat, &decoded, sizeof beat) == 0);
    CHECK(!rm_beat_decode(wire, &other, &decoded));
    memset(wire + RM_BEAT_BYTES - RM_HOST_BYTES, 'x', RM_HOST_BYTES);
    CHECK(rm_beat_decode(wire, &token, &decoded));
    CHECK(strlen(decoded.host) == RM_HOST_BYTES - 1);
    beat.kind = RM_N_BEATS;
    rm_beat_encode(&beat, &token, wire);
    CHECK(!rm_beat_decode(wire, &token, &decoded));
}

static void test_history(void)
{
    enum { WAITS = RM_HISTORY_LENGTH + 5 };
    rm_history history;
    rm_occupation past[RM_HISTORY_LENGTH], now;
    CHECK(rm_history_init(&history, NULL) == RINGMOE_OK);
    CHECK(rm_history_past(&history, past) == 0);
    for (int i = 0; i < WAITS; i++) {
        rm_label label = {i, -1, 0, RM_OPERATION_FORWARD};
        rm_history_begin_wait(&history, label, (rm_partners){.rank = i}, "a wait");
        rm_history_end_wait(&history);
    }
    CHECK(rm_history_past(&history, past) == RM_HISTORY_LENGTH);
    for (int i = 0; i < RM_HISTORY_LENGTH; i++) {
        CHECK(past[i].partners.rank == WAITS - 1 - i && past[i].label.step == WAITS - 1 - i);
        CHECK(past[i].end >= past[i].begin);
    }
    rm_history_now(&history, &now);
    CHECK(!now.is_waiting && now.begin >= past[0].end);
    rm_history_free(&history);
}

/* All but rank 0 wait three limits long for it, which computes. */
static void test_slow_rank(int rank)
{
    struct alarms alarms = {0}, others = {0};
    ringmoe_context *context = watched_context(&alarms), *second = watched_context(&others);
    if (rank == 0) pass_time(3 * LIMIT_SECONDS);
    CHECK(rm_barrier(&context->world, NULL) == RINGMOE_OK);
    ringmoe_context_destroy(&second);
    ringmoe_context_destroy(&context);
    CHECK(alarms.n_calls == 0 && others.n_calls == 0);
}

/* Rank 0 waits for a message from rank 1, the others for all; they give up at the alarm. */
static void test_deadlock(int rank, int size)
{
    struct alarms alarms = {0};
    ringmoe_context *context = watched_context(&alarms);
    rm_progress_at(&context->progress, (rm_label){12, 3, 2, RM_OPERATION_BACKWARD});
    CHECK(rm_barrier(&context->world, NULL) == RINGMOE_OK);
    if (rank > 0) pass_time(LIMIT_SECONDS / 2);
    rm_waiting waiting = rank == 0 ? rm_wait_begin(&context->world, 1, "a message")
                                   : rm_wait_begin(&context->world, RM_EVERYONE, "a sum");
    while (!alarms.n_calls) rm_wait_idle(&waiting);
    rm_wait_end(&waiting);

    CHECK(alarms.rank == 0 && alarms.is_witness == (rank == 0));
    char expected[128];
    snprintf(expected, sizeof expected, "all %d ranks wait and none has got on for", size);
    CHECK(strstr(alarms.verdict, expected));
    CHECK_TEXT(alarms.verdict, "the first to wait was rank 0 (process ");
    CHECK_TEXT(alarms.verdict, "), waiting in a message for rank 1 since");
    snprintf(expected, sizeof expected, "rank %d is waiting in %s for rank", rank,
             rank == 0 ? "a message" : "a sum");
    CHECK(strstr(alarms.here, expected));
    CHECK_TEXT(alarms.here, "(backward, step 12, microbatch 2, layer 3)");
    CHECK_TEXT(alarms.past, "MPI_Ibarrier with ranks 0 ");
    while (!alarms.n_over) pass_time(0.01);
    /* The others get away without rank 0. */
    if (rank == 0) MPI_Barrier(MPI_COMM_WORLD);
    ringmoe_context_destroy(&context);
    if (rank > 0) MPI_Barrier(MPI_COMM_WORLD);
    CHECK(alarms.n_calls == 1 && alarms.n_over == 1);
}

/* A rank at work in a layer for so many seconds. */
static void work(ringmoe_context *context, int layer, double seconds)
{
    rm_progress_at(&context->progress, (rm_label){7, layer, 1, RM_OPERATION_FORWARD});
    pass_time(seconds);
}

/* The last rank takes ten times as long for a layer as ever before, and longer than five
 * limits, after which a rank without a past would be taken to hang. */
static void test_slow_work(int rank, int size)
{
    struct alarms alarms = {0};
    ringmoe_context *context = watched_context_of(SHORT_LIMIT_SECONDS, NULL, &alarms);
    for (int layer = 0; layer < 3 && rank == size - 1; layer++)
        work(context, layer, (layer == 1 ? 10 : 1) * 0.25);
    rm_progress_leave(&context->progress);
    CHECK(rm_barrier(&context->world, NULL) == RINGMOE_OK);
    ringmoe_context_destroy(&context);
    CHECK(alarms.n_calls == 0);
}

/* The last rank never comes out of a layer, and the others wait for it, or never either. */
static void test_endless_work(int rank, int size, bool others_wait)
{
    struct alarms alarms = {0};
    char expected[128];
    ringmoe_context *context = watched_context_of(SHORT_LIMIT_SECONDS, NULL, &alarms);
    for (int layer = 0; layer < 3; layer++) work(context, layer, 0.02);
    if (rank < size - 1 && others_wait) wait_in_vain(context, &alarms);
    while (!alarms.n_calls) pass_time(0.01);
    CHECK(others_wait ? alarms.rank == size - 1 : alarms.rank < size);
    snprintf(expected, sizeof expected, "rank %d (process ", alarms.rank);
    CHECK(strncmp(alarms.verdict, expected, strlen(expected)) == 0);
    CHECK_TEXT(alarms.verdict, " hangs: never before did it compute for more than 0.");
    CHECK_TEXT(alarms.verdict, "it is computing since ");
    CHECK_TEXT(alarms.verdict, "(forward, step 7, microbatch 1, layer 2)");
    ringmoe_context_destroy(&context);
}

/* All but rank 0 want to leave, and do so when the alarm has been raised. */
static void test_left_behind(int rank)
{
    struct alarms alarms = {0};
    ringmoe_context *context = watched_context(&alarms);
    if (rank == 0) wait_in_vain(context, &alarms);
    ringmoe_context_destroy(&context);
    CHECK(alarms.n_calls == 1);
}

/* The last rank computes, or hangs: rank 0 says so. */
static void keep_line(void *user, ringmoe_log_level level, const char *line)
{
    snprintf(user, 512, "%s", line);
}

static void test_standstill(int rank, int size)
{
    char line[512] = "", expected[128];
    ringmoe_context_settings settings;
    ringmoe_context *context;
    ringmoe_context_settings_default(&settings);
    settings.watchdog_seconds = LIMIT_SECONDS / 2;
    settings.log = keep_line;
    settings.log_user = line;
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, &settings, &context) == RINGMOE_OK);
    if (rank == size - 1) pass_time(7 * settings.watchdog_seconds);
    ringmoe_context_destroy(&context);
    snprintf(expected, sizeof expected, "%d of %d ranks wait and none has got on for ",
             size - 1, size);
    CHECK(rank == 0 ? strncmp(line, expected, strlen(expected)) == 0 : !line[0]);
    snprintf(expected, sizeof expected, "rank %d (process ", size - 1);
    CHECK(rank > 0 || (strstr(line, expected) && strstr(line, ") is computing since")));
}

/* The same in waits of the program's own, without an alarm function: to the log. */
static void count_line(void *user, ringmoe_log_level level, const char *line)
{
    if (strstr(line, "waiting in my own wait")) atomic_fetch_add((atomic_int *)user, 1);
}

static void test_own_wait(int rank)
{
    atomic_int n_lines = 0;
    ringmoe_context_settings settings;
    ringmoe_context *context;
    ringmoe_context_settings_default(&settings);
    settings.watchdog_seconds = LIMIT_SECONDS;
    settings.log = count_line;
    settings.log_user = &n_lines;
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, &settings, &context) == RINGMOE_OK);
    ringmoe_context_wait_begin(context, "my own wait");
    while (n_lines < (rank == 0 ? 2 : 1)) pass_time(0.01);
    ringmoe_context_wait_end(context);
    ringmoe_context_destroy(&context);
}

static void test_settings(int rank)
{
    ringmoe_context_settings settings;
    ringmoe_context *context;
    ringmoe_context_settings_default(&settings);
    settings.watchdog_seconds = -1;
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, &settings, &context) ==
          RINGMOE_ERROR_ARGUMENT);
    settings.watchdog_seconds = rank == 0 ? 5 : 6;
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, &settings, &context) ==
          RINGMOE_ERROR_MISMATCH);
}

/* No rank that ends well is missed by those that end later. */
static void fail_at_once(void *user, const ringmoe_alarm *alarm)
{
    fprintf(stderr, "%s\n", alarm->verdict);
    _exit(1);
}

static ringmoe_context *context_to_be_forgotten(void)
{
    ringmoe_context_settings settings;
    ringmoe_context *context;
    ringmoe_context_settings_default(&settings);
    settings.watchdog_seconds = LIMIT_SECONDS;
    settings.alarm = fail_at_once;
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, &settings, &context) == RINGMOE_OK);
    return context;
}

int main(int argc, char **argv)
{
    int provided, rank, size;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    test_beats();
    test_history();
    test_settings(rank);
    test_slow_rank(rank);
    test_deadlock(rank, size);
    test_left_behind(rank);
    test_slow_work(rank, size);
    test_endless_work(rank, size, size > 2);
    test_standstill(rank, size);
    test_own_wait(rank);
    ringmoe_context *forgotten = context_to_be_forgotten();
    int status = check_finish("watchdog");
    if (rank == 0) pass_time(LIMIT_SECONDS / 2);
    ringmoe_context_destroy(&forgotten);
    return status;
}

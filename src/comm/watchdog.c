/* SPDX-License-Identifier: MIT */
#include "comm/watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "comm/watchdog_state.h"

static const double SHORTEST_INTERVAL = 0.02, LONGEST_INTERVAL = 1;

/* No signal of the program is delivered to the thread. */
static int start_thread(rm_watchdog *watchdog)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&watchdog->thread, NULL, rm_watchdog_watch, watchdog);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

/* Its neighbours hear that it leaves. */
static void stop_thread(rm_watchdog *watchdog)
{
    if (!watchdog->is_running) return;
    close(watchdog->wake[1]);
    watchdog->wake[1] = -1;
    pthread_join(watchdog->thread, NULL);
    watchdog->is_running = false;
}

/* MPI_Finalize begins by deleting the attributes of MPI_COMM_SELF: so a program that ends well
 * without destroying its context is not taken for one that died. */
static int leave_at_finalize(MPI_Comm self, int keyval, void *watchdog, void *unused)
{
    stop_thread(watchdog);
    return MPI_SUCCESS;
}

static ringmoe_status watch_finalize(rm_watchdog *watchdog, rm_error *error)
{
    RM_TRY(rm_mpi_check(MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, leave_at_finalize,
                                               &watchdog->keyval, NULL),
                        "MPI_Comm_create_keyval", error));
    return rm_mpi_check(MPI_Comm_set_attr(MPI_COMM_SELF, watchdog->keyval, watchdog),
                        "MPI_Comm_set_attr", error);
}

static void withdraw(rm_watchdog *watchdog)
{
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (!finalized && watchdog->keyval != MPI_KEYVAL_INVALID) {
        MPI_Comm_delete_attr(MPI_COMM_SELF, watchdog->keyval);
        MPI_Comm_free_keyval(&watchdog->keyval);
    }
    stop_thread(watchdog);
}

static void free_watchdog(rm_watchdog *watchdog)
{
    if (!watchdog) return;
    withdraw(watchdog);
    for (int end = 0; end < 2; end++)
        if (watchdog->wake[end] >= 0) close(watchdog->wake[end]);
    rm_ring_close(&watchdog->ring);
    rm_history_free(&watchdog->history);
    free(watchdog);
}

/* What needs no other rank. */
static ringmoe_status prepare(ringmoe_context *context,
                              const ringmoe_context_settings *settings, rm_watchdog **made)
{
    rm_error *error = &context->error;
    rm_watchdog *watchdog = calloc(1, sizeof *watchdog);
    *made = NULL;
    if (!watchdog) return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the watchdog");
    ringmoe_status status = rm_history_init(&watchdog->history, error);
    if (status != RINGMOE_OK) {
        free(watchdog);
        return status;
    }
    *made = watchdog;
    watchdog->context = context;
    watchdog->keyval = MPI_KEYVAL_INVALID;
    atomic_init(&watchdog->is_raised, false);
    watchdog->limit = settings->watchdog_seconds;
    watchdog->interval = fmin(fmax(watchdog->limit / 8, SHORTEST_INTERVAL), LONGEST_INTERVAL);
    watchdog->alarm = settings->alarm;
    watchdog->alarm_user = settings->alarm_user;
    for (int side = 0; side < 2; side++) watchdog->ring.links[side].fd = -1;
    if (pipe(watchdog->wake) != 0) {
        watchdog->wake[0] = watchdog->wake[1] = -1;
        return rm_fail(error, RINGMOE_ERROR_STATE, "no pipe for the watchdog: %s",
                       strerror(errno));
    }
    for (int end = 0; end < 2; end++) fcntl(watchdog->wake[end], F_SETFD, FD_CLOEXEC);
    return RINGMOE_OK;
}

/* Without connections each rank watches itself alone, which is better than nothing. */
static ringmoe_status connect_ring(rm_watchdog *watchdog)
{
    rm_error trouble = {""};
    ringmoe_context *context = watchdog->context;
    ringmoe_status status = rm_ring_connect(context, &watchdog->ring, &trouble);
    if (status == RINGMOE_ERROR_STATE) {
        watchdog->is_alone = true;
        if (context->world.rank == 0)
            rm_log(context, RINGMOE_LOG_WARNING,
                   "the watchdogs of the ranks cannot hear one another (%s): a rank that dies "
                   "is not noticed",
                   trouble.text);
        return RINGMOE_OK;
    }
    if (status != RINGMOE_OK) context->error = trouble;
    return status;
}

/* From here on the thread owns the watchdog. */
static ringmoe_status let_loose(rm_watchdog *watchdog)
{
    double time = rm_clock_seconds();
    watchdog->woken = time;
    watchdog->resumed = time;
    for (int side = 0; side < 2; side++) {
        watchdog->neighbours[side].heard = time;
        watchdog->neighbours[side].last.begin = time;
        watchdog->neighbours[side].last.label.layer = -1;
    }
    RM_TRY(watch_finalize(watchdog, &watchdog->context->error));
    int code = start_thread(watchdog);
    watchdog->is_running = code == 0;
    if (code == 0) return RINGMOE_OK;
    return rm_fail(&watchdog->context->error, RINGMOE_ERROR_STATE,
                   "no thread for the watchdog: %s", strerror(code));
}

ringmoe_status rm_watchdog_start(ringmoe_context *context,
                                 const ringmoe_context_settings *settings)
{
    const rm_axis *world = &context->world;
    rm_error *error = &context->error;
    int64_t milliseconds = (int64_t)(settings->watchdog_seconds * 1e3);
    RM_TRY(rm_agree_equal(world, &milliseconds, 1, "watchdog_seconds", error));
    if (milliseconds == 0 || world->size == 1) return RINGMOE_OK;

    rm_watchdog *watchdog;
    ringmoe_status status = rm_agree(world, prepare(context, settings, &watchdog), error);
    if (status == RINGMOE_OK) status = connect_ring(watchdog);
    if (status == RINGMOE_OK) {
        status = let_loose(watchdog);
        status = rm_agree(world, status, error);
    }
    if (status != RINGMOE_OK) {
        free_watchdog(watchdog);
        return status;
    }
    context->watchdog = watchdog;
    context->progress.history = &watchdog->history;
    return RINGMOE_OK;
}

/* All ranks leave together, or else the one that is first would be missed. Not after an alarm:
 * some may never come, and the request is left to them. */
static void meet_others(rm_watchdog *watchdog)
{
    const rm_axis *world = &watchdog->context->world;
    MPI_Request request = MPI_REQUEST_NULL;
    int done = 0;
    if (atomic_load(&watchdog->is_raised)) return;
    if (MPI_Ibarrier(world->comm, &request) != MPI_SUCCESS) return;
    rm_waiting waiting = rm_wait_begin(world, RM_EVERYONE, "leaving the context");
    while (MPI_Test(&request, &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && !done &&
           !atomic_load(&watchdog->is_raised))
        rm_wait_idle(&waiting);
    rm_wait_end(&waiting);
}

void rm_watchdog_stop(ringmoe_context *context)
{
    rm_watchdog *watchdog = context->watchdog;
    if (!watchdog) return;
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (!finalized) meet_others(watchdog);
    context->progress.history = NULL;
    free_watchdog(watchdog);
    context->watchdog = NULL;
}

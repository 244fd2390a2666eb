/* SPDX-License-Identifier: MIT
 *
 * Waiting. Every transfer of the library is a nonblocking call that ends here: test, and give
 * the processor away between tests, so that ranks may outnumber cores. A wait that gets long
 * sleeps between tests: a thread that only yields keeps a core busy, and where others compute
 * on that core, the system lets each of them finish its slice of milliseconds before the
 * yielding one is asked again, while one that slept is served at once. But a test that takes
 * its time has moved something, a piece of a long message, and the next piece should not have
 * to wait.
 */
#include "comm/context.h"

#include <sched.h>
#include <time.h>

#include "base/clock.h"
#include "comm/history.h"

ringmoe_status rm_mpi_check(int code, const char *what, rm_error *error)
{
    if (code == MPI_SUCCESS) return RINGMOE_OK;
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    return rm_fail(error, RINGMOE_ERROR_MPI, "%s: %s", what, text);
}

rm_waiting rm_wait_begin(const rm_axis *axis, int partner, const char *what)
{
    rm_progress *progress = axis->progress;
    if (progress && progress->history) {
        rm_partners partners = {.rank = partner == RM_EVERYONE ? partner
                                                               : rm_axis_member(axis, partner),
                                .first = axis->first,
                                .stride = axis->stride,
                                .size = axis->size};
        rm_history_begin_wait(progress->history, progress->here, partners, what);
    }
    return (rm_waiting){.progress = progress};
}

static const double YIELD_SECONDS = 200e-6; /* before the first sleep */
static const double MOVED_SECONDS = 3e-6;   /* tests in vain are shorter */
static const long SLEEP_NANOSECONDS = 50000;

void rm_wait_idle(rm_waiting *waiting)
{
    rm_progress_poll(waiting->progress, true);
    double now = rm_clock_seconds();
    if (waiting->since == 0) waiting->since = now;
    if (now - waiting->since < YIELD_SECONDS || now - waiting->back > MOVED_SECONDS)
        sched_yield();
    else
        nanosleep(&(struct timespec){.tv_nsec = SLEEP_NANOSECONDS}, NULL);
    waiting->back = rm_clock_seconds();
}

void rm_wait_end(rm_waiting *waiting)
{
    rm_progress *progress = waiting->progress;
    if (progress && progress->history) rm_history_end_wait(progress->history);
    rm_progress_tick(progress);
}

/* Tests one request until it is done. */
static ringmoe_status complete(rm_waiting *waiting, MPI_Request *request, const char *what,
                               rm_error *error)
{
    for (;;) {
        int done = 0;
        RM_TRY(rm_mpi_check(MPI_Test(request, &done, MPI_STATUS_IGNORE), what, error));
        if (done) return RINGMOE_OK;
        rm_wait_idle(waiting);
    }
}

ringmoe_status rm_wait(const rm_axis *axis, int partner, MPI_Request *request, const char *what,
                       rm_error *error)
{
    rm_waiting waiting = rm_wait_begin(axis, partner, what);
    ringmoe_status status = complete(&waiting, request, what, error);
    rm_wait_end(&waiting);
    return status;
}

ringmoe_status rm_wait_all(const rm_axis *axis, int n, MPI_Request *requests, const char *what,
                           rm_error *error)
{
    rm_waiting waiting = rm_wait_begin(axis, RM_EVERYONE, what);
    ringmoe_status first = RINGMOE_OK;
    for (int i = 0; i < n; i++) {
        ringmoe_status status = complete(&waiting, &requests[i], what, first ? NULL : error);
        if (first == RINGMOE_OK) first = status;
        rm_progress_tick(axis->progress);
    }
    rm_wait_end(&waiting);
    return first;
}

ringmoe_status rm_wait_background(const rm_axis *axis, rm_background *transfer,
                                  const char *what, rm_error *error)
{
    rm_waiting waiting = rm_wait_begin(axis, RM_EVERYONE, what);
    rm_progress_poll(waiting.progress, true);
    while (!transfer->done) rm_wait_idle(&waiting);
    rm_wait_end(&waiting);
    if (transfer->status == RINGMOE_OK) return RINGMOE_OK;
    return rm_fail(error, transfer->status, "%s: %s", what, transfer->error.text);
}

void rm_abandon_receives(const rm_axis *axis, int n, MPI_Request *requests)
{
    for (int i = 0; i < n; i++) {
        if (requests[i] == MPI_REQUEST_NULL) continue;
        MPI_Cancel(&requests[i]);
        rm_wait(axis, RM_EVERYONE, &requests[i], "giving up a message", NULL);
    }
}

void rm_abandon(int n, MPI_Request *requests)
{
    for (int i = 0; i < n; i++) {
        if (requests[i] == MPI_REQUEST_NULL) continue;
        MPI_Cancel(&requests[i]);
        MPI_Request_free(&requests[i]);
    }
}

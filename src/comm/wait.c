/* SPDX-License-Identifier: MIT
 *
 * Waiting. Every transfer of the library is a nonblocking call that ends here: test, and give
 * the processor away between tests, so that ranks may outnumber cores.
 */
#include "comm/context.h"

#include <sched.h>

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

void rm_wait_idle(rm_waiting *waiting)
{
    rm_progress_poll(waiting->progress, true);
    sched_yield();
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

void rm_abandon(int n, MPI_Request *requests)
{
    for (int i = 0; i < n; i++) {
        if (requests[i] == MPI_REQUEST_NULL) continue;
        MPI_Cancel(&requests[i]);
        MPI_Request_free(&requests[i]);
    }
}

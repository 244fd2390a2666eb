/* SPDX-License-Identifier: MIT
 *
 * Waiting. Every transfer of the library is a nonblocking call that ends here: test, and give
 * the processor away between tests, so that ranks may outnumber cores.
 */
#include "comm/context.h"

#include <sched.h>

ringmoe_status rm_mpi_check(int code, const char *what, rm_error *error)
{
    if (code == MPI_SUCCESS) return RINGMOE_OK;
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(code, text, &length);
    return rm_fail(error, RINGMOE_ERROR_MPI, "%s: %s", what, text);
}

ringmoe_status rm_wait(const rm_axis *axis, int partner, MPI_Request *request, const char *what,
                       rm_error *error)
{
    (void)partner;
    for (;;) {
        int done = 0;
        RM_TRY(rm_mpi_check(MPI_Test(request, &done, MPI_STATUS_IGNORE), what, error));
        if (done) break;
        rm_progress_poll(axis->progress, true);
        sched_yield();
    }
    rm_progress_tick(axis->progress);
    return RINGMOE_OK;
}

ringmoe_status rm_wait_all(const rm_axis *axis, int n, MPI_Request *requests, const char *what,
                           rm_error *error)
{
    ringmoe_status first = RINGMOE_OK;
    for (int i = 0; i < n; i++) {
        ringmoe_status status =
            rm_wait(axis, RM_EVERYONE, &requests[i], what, first ? NULL : error);
        if (first == RINGMOE_OK) first = status;
    }
    return first;
}

ringmoe_status rm_wait_background(const rm_axis *axis, rm_background *transfer,
                                  const char *what, rm_error *error)
{
    while (!transfer->done) {
        rm_progress_poll(axis->progress, true);
        if (!transfer->done) sched_yield();
    }
    rm_progress_tick(axis->progress);
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

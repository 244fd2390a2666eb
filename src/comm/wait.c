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

ringmoe_status rm_wait(MPI_Request *request, const char *what, rm_error *error)
{
    for (;;) {
        int done = 0;
        RM_TRY(rm_mpi_check(MPI_Test(request, &done, MPI_STATUS_IGNORE), what, error));
        if (done) return RINGMOE_OK;
        sched_yield();
    }
}

ringmoe_status rm_wait_all(int n, MPI_Request *requests, const char *what, rm_error *error)
{
    ringmoe_status first = RINGMOE_OK;
    for (int i = 0; i < n; i++) {
        ringmoe_status status = rm_wait(&requests[i], what, first ? NULL : error);
        if (first == RINGMOE_OK) first = status;
    }
    return first;
}

void rm_abandon(int n, MPI_Request *requests)
{
    for (int i = 0; i < n; i++) {
        if (requests[i] == MPI_REQUEST_NULL) continue;
        MPI_Cancel(&requests[i]);
        MPI_Request_free(&requests[i]);
    }
}

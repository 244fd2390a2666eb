/* SPDX-License-Identifier: MIT
 *
 * The inside of a context, and agreement: one rank's failure becomes everyone's.
 */
#ifndef RM_CONTEXT_H
#define RM_CONTEXT_H

#include <ringmoe/context.h>

#include "base/status.h"
#include "tensor/compute.h"

#ifdef RINGMOE_DOUBLE
#define RM_MPI_REAL MPI_DOUBLE
#else
#define RM_MPI_REAL MPI_FLOAT
#endif

/* Seconds spent in communication since they were last set to 0. */
typedef struct rm_comm_times {
    double exchange; /* moving tokens and gradients */
    double wait;     /* in count exchanges and agreements: waiting for slower ranks */
} rm_comm_times;

/* A group of ranks along one axis, in axis order. */
typedef struct rm_axis {
    MPI_Comm comm;
    int rank, size;
} rm_axis;

struct ringmoe_context {
    rm_axis world;
    rm_compute compute;
    rm_error error;
    rm_comm_times times;
    ringmoe_log_function log;
    void *log_user;
};

/* Sends a line (printf format) to the context's log, if it has one. */
void rm_log(const ringmoe_context *context, ringmoe_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Makes the first failing rank's status and message those of every rank (prefixed "rank N: " on
 * the others). Collective over the axis; every rank calls it, failed or not. */
ringmoe_status rm_agree(const rm_axis *axis, ringmoe_status status, rm_error *error);

/* Turns an MPI error code into a status and a line that starts with `what`. */
ringmoe_status rm_mpi_check(int code, const char *what, rm_error *error);

/* Completes a request by MPI_Test, yielding the processor between tests, since blocking calls
 * spin and cost a scheduler slice each when there are more ranks than cores. */
ringmoe_status rm_wait(MPI_Request *request, const char *what, rm_error *error);
ringmoe_status rm_wait_all(int n, MPI_Request *requests, const char *what, rm_error *error);

/* Collectives in rm_wait's manner. The element types are those of `type`. */
ringmoe_status rm_allreduce(const rm_axis *axis, void *in_place, int count, MPI_Datatype type,
                            MPI_Op operation, rm_error *error);
ringmoe_status rm_broadcast(const rm_axis *axis, void *data, int count, MPI_Datatype type,
                            int root, rm_error *error);
ringmoe_status rm_barrier(const rm_axis *axis, rm_error *error);
/* Every rank's part of a shared array, [bounds[r], bounds[r+1]) elements of `type` each, to every
 * rank, in place. Parts above 2^30 elements travel in pieces. */
ringmoe_status rm_allgather_parts(const rm_axis *axis, void *array, const int64_t *bounds,
                                  MPI_Datatype type, rm_error *error);

#endif

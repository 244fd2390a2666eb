/* SPDX-License-Identifier: MIT
 *
 * The inside of a context, and agreement: one rank's failure becomes everyone's.
 */
#ifndef RM_CONTEXT_H
#define RM_CONTEXT_H

#include <ringmoe/context.h>

#include "base/status.h"
#include "comm/progress.h"
#include "tensor/compute.h"

#ifdef RINGMOE_DOUBLE
#define RM_MPI_REAL MPI_DOUBLE
#else
#define RM_MPI_REAL MPI_FLOAT
#endif

/* What was spent in communication since it was last set to 0. */
typedef ringmoe_comm_times rm_comm_times;

/* Seconds in moving tokens. */
static inline void rm_count_tokens(rm_comm_times *times, double seconds)
{
    times->exchange += seconds;
    times->tokens += seconds;
}

/* A group of ranks along one axis, in axis order. Member r is rank first + r * stride of the
 * context, which is how messages name it. An axis of size 1 is never
 * communicated over. */
typedef struct rm_axis {
    MPI_Comm comm; /* may be MPI_COMM_NULL when size is 1 */
    int rank, size;
    int first, stride;
    rm_progress *progress; /* of the context */
    const int *nodes;      /* the context's, by the context's rank */
    int node_ranks;        /* of the context, on this rank's node */
} rm_axis;

/* Takes over a communicator (which may be MPI_COMM_NULL for size 1) and its rank and size. It
 * gets the progress and the nodes of a context by rm_axis_join. */
ringmoe_status rm_axis_init(rm_axis *axis, MPI_Comm comm, int first, int stride,
                            rm_error *error);
void rm_axis_join(rm_axis *axis, ringmoe_context *context);
/* Frees the communicator. A zeroed axis is allowed. Collective. */
void rm_axis_free(rm_axis *axis);
/* The context's rank of member `rank`. */
int rm_axis_member(const rm_axis *axis, int rank);
/* Number of the node that member `rank` runs on; nodes are numbered by their first rank. */
int rm_axis_node(const rm_axis *axis, int rank);

struct ringmoe_context {
    rm_axis world;
    rm_progress progress;
    int *nodes;              /* [ranks]: number of each rank's node */
    int n_nodes, node_ranks; /* node_ranks: on this rank's node */
    rm_compute compute;
    rm_error error;
    rm_comm_times times;
    ringmoe_exchange exchange;
    ringmoe_overlap overlap;
    ringmoe_log_function log;
    void *log_user;
    struct rm_watchdog *watchdog; /* NULL: none */
};

/* Finds out which ranks share a node and fills context->nodes. Collective over context->world.
 * ranks_per_node > 0: pretends that so many ranks in a row make a node. */
ringmoe_status rm_nodes_find(ringmoe_context *context, int ranks_per_node);

/* Sends a line (printf format) to the context's log, if it has one. */
void rm_log(const ringmoe_context *context, ringmoe_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Makes the first failing rank's status and message those of every rank (prefixed "rank N: " on
 * the others). Collective over the axis; every rank calls it, failed or not. */
ringmoe_status rm_agree(const rm_axis *axis, ringmoe_status status, rm_error *error);

/* MISMATCH on every rank if some rank's `n` values are not those of rank 0; `what` names them
 * in the message ("settings"). Collective. */
ringmoe_status rm_agree_equal(const rm_axis *axis, const int64_t *values, int n,
                              const char *what, rm_error *error);

/* Turns an MPI error code into a status and a line that starts with `what`. */
ringmoe_status rm_mpi_check(int code, const char *what, rm_error *error);

/* The partner of a wait that is for all members of the axis. */
#define RM_EVERYONE (-1)

/* Completes a request of the axis by MPI_Test, yielding the processor between tests, since
 * blocking calls spin and cost a scheduler slice each when there are more ranks than cores;
 * background transfers go on meanwhile. `partner`: whom it waits for, a rank of the axis or
 * RM_EVERYONE; `what` starts an error's line and stands in the watchdog's report. */
ringmoe_status rm_wait(const rm_axis *axis, int partner, MPI_Request *request, const char *what,
                       rm_error *error);
/* All are completed, even if one fails. */
ringmoe_status rm_wait_all(const rm_axis *axis, int n, MPI_Request *requests, const char *what,
                           rm_error *error);
/* Waits for a background transfer of the axis. Returns its status. */
ringmoe_status rm_wait_background(const rm_axis *axis, rm_background *transfer,
                                  const char *what, rm_error *error);

/* A wait for something else than one request, such as a word in shared memory:
 *     rm_waiting waiting = rm_wait_begin(axis, partner, "what");
 *     while (!it_is_there()) rm_wait_idle(&waiting);
 *     rm_wait_end(&waiting);
 */
typedef struct rm_waiting {
    rm_progress *progress;
    double since, back; /* end of the first and of the last turn in vain; 0: none yet */
} rm_waiting;

rm_waiting rm_wait_begin(const rm_axis *axis, int partner, const char *what);
/* Nothing has come: background transfers go on and others get the processor. */
void rm_wait_idle(rm_waiting *waiting);
void rm_wait_end(rm_waiting *waiting);
/* Give up requests whose partners cannot be counted on after a failure. A receive that is
 * cancelled may have been matched already, so it is waited for: nothing writes to its memory
 * afterwards. Other requests are let go; their memory is only read. */
void rm_abandon_receives(const rm_axis *axis, int n, MPI_Request *requests);
void rm_abandon(int n, MPI_Request *requests);

/* Collectives in rm_wait's manner. The element types are those of `type`. */
ringmoe_status rm_allreduce(const rm_axis *axis, void *in_place, int count, MPI_Datatype type,
                            MPI_Op operation, rm_error *error);
ringmoe_status rm_broadcast(const rm_axis *axis, void *data, int count, MPI_Datatype type,
                            int root, rm_error *error);
ringmoe_status rm_barrier(const rm_axis *axis, rm_error *error);
/* Every rank's part of a shared array, [bounds[r], bounds[r+1]) elements of `type` each, to
 * every rank, in place. Large parts travel in pieces. */
ringmoe_status rm_allgather_parts(const rm_axis *axis, void *array, const int64_t *bounds,
                                  MPI_Datatype type, rm_error *error);

#endif

/* SPDX-License-Identifier: MIT
 *
 * The baseline of `ringmoe bench exchange`: as many bytes as the layer's messages really carry,
 * sent by a blocking MPI_Alltoallv and sent back by another.
 */
#include <stdlib.h>

#include "exchange.h"
#include "progress.h"

#ifdef RINGMOE_DOUBLE
#define REAL MPI_DOUBLE
#else
#define REAL MPI_FLOAT
#endif

/* This rank's elements, shared out; false if there are more than an int can count. */
static bool share_out(const tool_session *session, int64_t n_elements, exchange_bare *bare)
{
    int n_others = session->size - 1, seen = 0;
    if (n_elements > INT32_MAX) return false;
    for (int rank = 0; rank < session->size; rank++) {
        bool is_self = rank == session->rank;
        bare->out[rank] = is_self ? 0 : (int)(n_elements / n_others);
        if (!is_self) bare->out[rank] += seen++ < n_elements % n_others;
    }
    return true;
}

/* Where each rank's part begins; their sum. */
static int64_t place(const int *counts, int n_ranks, int *places)
{
    int64_t sum = 0;
    for (int rank = 0; rank < n_ranks; rank++) {
        places[rank] = (int)sum;
        sum += counts[rank];
    }
    return sum;
}

static bool allocate_counts(exchange_bare *bare, size_t n_ranks)
{
    bare->out = calloc(4 * n_ranks, sizeof *bare->out);
    if (!bare->out) return false;
    bare->out_at = bare->out + n_ranks;
    bare->in = bare->out + 2 * n_ranks;
    bare->in_at = bare->out + 3 * n_ranks;
    return true;
}

int exchange_bare_open(tool_session *session, double bytes, exchange_bare *bare)
{
    int n_ranks = session->size;
    int64_t n_elements = (int64_t)(bytes / 2 / (double)sizeof *bare->send);
    *bare = (exchange_bare){.bytes = bytes};
    bool allocated = allocate_counts(bare, (size_t)n_ranks);
    int status = session_settle(session, allocated ? EXIT_DONE : EXIT_FAILED,
                                "no memory for the baseline's counts");
    if (status) return status;
    bool fits = share_out(session, n_elements, bare);
    session_must(session,
                 MPI_Alltoall(bare->out, 1, MPI_INT, bare->in, 1, MPI_INT, MPI_COMM_WORLD));
    int64_t n_out = place(bare->out, n_ranks, bare->out_at);
    int64_t n_in = place(bare->in, n_ranks, bare->in_at);
    status = session_settle(session, fits && n_in <= INT32_MAX ? EXIT_DONE : EXIT_USAGE,
                            "--tokens: more than a call of MPI can send: give fewer");
    if (status) return status;
    bare->send = malloc((size_t)(n_out + 1) * sizeof *bare->send);
    bare->receive = calloc((size_t)(n_in + 1), sizeof *bare->receive);
    status = session_settle(session, bare->send && bare->receive ? EXIT_DONE : EXIT_FAILED,
                            "no memory for the baseline: give fewer --tokens");
    if (!status) bench_fill(bare->send, n_out, 1 + (uint64_t)session->rank);
    return status;
}

int exchange_bare_run(tool_session *session, exchange_bare *bare, bool is_timed)
{
    session_largest(session, 0); /* all begin together */
    double start = clock_seconds();
    session_must(session,
                 MPI_Alltoallv(bare->send, bare->out, bare->out_at, REAL, bare->receive,
                               bare->in, bare->in_at, REAL, MPI_COMM_WORLD));
    session_must(session, MPI_Alltoallv(bare->receive, bare->in, bare->in_at, REAL, bare->send,
                                        bare->out, bare->out_at, REAL, MPI_COMM_WORLD));
    double slowest = session_largest(session, clock_seconds() - start);
    if (is_timed) bench_add(&bare->ms, 1e3 * slowest);
    return EXIT_DONE;
}

void exchange_bare_close(exchange_bare *bare)
{
    free(bare->send);
    free(bare->receive);
    free(bare->out);
}

/* SPDX-License-Identifier: MIT
 *
 * The baseline of `ringmoe bench exchange`: the rows of as many choices as leave a rank when
 * the load is even, sent by a blocking MPI_Alltoallv and sent back by another.
 */
#include <stdlib.h>

#include "bench_exchange.h"
#include "progress.h"

#ifdef RINGMOE_DOUBLE
#define REAL MPI_DOUBLE
#else
#define REAL MPI_FLOAT
#endif

int exchange_bare_open(tool_session *session, const exchange_options *options,
                       exchange_bare *bare)
{
    int n_ranks = session->size;
    int64_t rows = options->tokens * options->top_k / n_ranks; /* to each other rank */
    int64_t elements = rows * options->d_model;
    *bare = (exchange_bare){0};
    if (elements * n_ranks > INT32_MAX)
        return session_fail(session, EXIT_USAGE,
                            "--tokens %lld: more than a call of MPI can send: give fewer",
                            (long long)options->tokens);
    bare->bytes = (double)(elements * (n_ranks - 1)) * sizeof *bare->send;
    bare->send = malloc((size_t)(elements * n_ranks + 1) * sizeof *bare->send);
    bare->receive = calloc((size_t)(elements * n_ranks + 1), sizeof *bare->receive);
    bare->counts = malloc((size_t)n_ranks * sizeof *bare->counts);
    bare->places = malloc((size_t)n_ranks * sizeof *bare->places);
    bool allocated = bare->send && bare->receive && bare->counts && bare->places;
    int status = session_settle(session, allocated ? EXIT_DONE : EXIT_FAILED,
                                "no memory for the baseline: give fewer --tokens");
    if (status) return status;
    bench_fill(bare->send, elements * n_ranks, 1 + (uint64_t)session->rank);
    for (int rank = 0; rank < n_ranks; rank++) {
        bare->counts[rank] = rank == session->rank ? 0 : (int)elements;
        bare->places[rank] = (int)elements * rank;
    }
    return EXIT_DONE;
}

int exchange_bare_run(tool_session *session, exchange_bare *bare, bool is_timed)
{
    session_largest(session, 0); /* all begin together */
    double start = clock_seconds();
    MPI_Alltoallv(bare->send, bare->counts, bare->places, REAL, bare->receive, bare->counts,
                  bare->places, REAL, MPI_COMM_WORLD);
    MPI_Alltoallv(bare->receive, bare->counts, bare->places, REAL, bare->send, bare->counts,
                  bare->places, REAL, MPI_COMM_WORLD);
    double slowest = session_largest(session, clock_seconds() - start);
    if (is_timed) bench_add(&bare->ms, 1e3 * slowest);
    return EXIT_DONE;
}

void exchange_bare_close(exchange_bare *bare)
{
    free(bare->send);
    free(bare->receive);
    free(bare->counts);
    free(bare->places);
}

/* SPDX-License-Identifier: MIT
 *
 * Checks of a program of several ranks. A failed check is printed and counted; at the end all
 * ranks agree on one verdict, which is the exit status.
 */
#ifndef CHECK_H
#define CHECK_H

#include <mpi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int check_failures;

#define CHECK(condition)                                                                       \
    do {                                                                                       \
        if (!(condition)) check_report(#condition, __FILE__, __LINE__, "");                    \
    } while (0)

/* The status of a call, and if it is not the expected one, the message that came with it. */
#define CHECK_STATUS(call, expected, message)                                                  \
    do {                                                                                       \
        if ((call) != (expected))                                                              \
            check_report(#call " == " #expected, __FILE__, __LINE__, message);                 \
    } while (0)

/* `text` contains `part`. */
#define CHECK_TEXT(text, part)                                                                 \
    do {                                                                                       \
        if (!strstr(text, part))                                                               \
            check_report("message contains: " part, __FILE__, __LINE__, text);                 \
    } while (0)

static inline void check_report(const char *what, const char *file, int line,
                                const char *message)
{
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (__atomic_fetch_add(&check_failures, 1, __ATOMIC_RELAXED) < 20)
        fprintf(stderr, "rank %d: %s:%d: failed: %s %s\n", rank, file, line, what, message);
}

/* A small random number generator of the tests' own (xorshift), so that ranks can follow one
 * another's numbers. */
static inline uint32_t check_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 32);
}

/* The exit status, after MPI_Finalize. */
static inline int check_finish(const char *name)
{
    int rank, size, failures = check_failures;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Allreduce(MPI_IN_PLACE, &failures, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    if (rank == 0) printf("%s on %d ranks: %s\n", name, size, failures ? "FAILED" : "passed");
    MPI_Finalize();
    return failures ? 1 : 0;
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * What a rank computes with: a kernel table, a number of threads, the precision of products,
 * and scratch memory for each thread. One per context; passed to every operation.
 *
 * Loops over threads are written
 *   #pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic)
 * so that the process's own OpenMP settings are never touched. Loops over rows that are quickly
 * done go through rm_rows_run.
 */
#ifndef RM_COMPUTE_H
#define RM_COMPUTE_H

#include <ringmoe/types.h>

#include "base/arena.h"
#include "base/status.h"
#include "simd/kernels.h"
#include "tensor/inner.h"

enum { RM_ROWS_AT_ONCE = 16 };

typedef struct rm_team rm_team; /* tensor/team.h */

typedef struct rm_compute {
    const rm_kernels *kernels;
    int n_threads;
    ringmoe_precision precision;
    rm_arena scratch; /* n_threads * RM_SCRATCH_BYTES */
    rm_team *team;    /* NULL: every loop is a parallel region */
    /* Called between tasks by the thread that called the library, where not NULL: transfers,
     * and sums of what they bring, go on behind long products. */
    void (*poll)(void *user);
    void *poll_user;
} rm_compute;

/* Scratch of each thread, for packed blocks of a product or an attention tile; what is not used
 * takes no memory. */
#define RM_SCRATCH_BYTES ((size_t)16 << 20)

/* level NULL: RINGMOE_CPU of the environment, else the best. n_threads 0:
 * omp_get_max_threads(). */
ringmoe_status rm_compute_init(rm_compute *compute, const char *level, int n_threads,
                               ringmoe_precision precision, rm_error *error);
void rm_compute_free(rm_compute *compute);

/* `level`, else that of RINGMOE_CPU (empty: not set); NULL: the choice is free. */
const char *rm_compute_level_asked_for(const char *level);

/* Calls run(user, row) for each row, by all threads, in chunks of RM_ROWS_AT_ONCE. One chunk
 * stays with the caller, without a parallel region even of one thread: either would take longer
 * than a new token's row. */
typedef void rm_row_function(void *user, int64_t row);
void rm_rows_run(const rm_compute *compute, int64_t n_rows, rm_row_function *run, void *user);

/* The calling thread's scratch inside a parallel region over compute->n_threads, a row function
 * or a team's. */
void *rm_compute_scratch(const rm_compute *compute);

#endif

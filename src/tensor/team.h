/* SPDX-License-Identifier: MIT
 *
 * Threads that run one function, and threads that stay together from one such function to the
 * next. A token's way through a layer is half a dozen products of some ten microseconds; as
 * many parallel regions, which all threads leave and enter again, take a good part of that. So
 * a pass over few rows is one region: thread 0 goes through the model, and the others wait for
 * what it gives them to do.
 *
 *   thread 0    | serial |=== run ===| serial |= run =| serial |==== run ====| ..
 *   the others  |  wait  |=== run ===|  wait  |= run =|  wait  |==== run ====| ..
 *
 * Who waits long goes to sleep. Until then it reads ahead what was announced: weights that are
 * needed next come to its cache while thread 0 does what it does alone.
 */
#ifndef RM_TEAM_H
#define RM_TEAM_H

#include "tensor/compute.h"

/* Called by each thread, at most compute->n_threads of them, with its own number. What is to be
 * done is dealt out so that any number of threads does all of it. */
typedef void rm_thread_function(void *user, int thread);

/* Runs the function in all threads of the team that is held, or else in a parallel region;
 * returns when it has returned in each. */
void rm_team_run(const rm_compute *compute, rm_thread_function *run, void *user);

/* Calls `pass` in the calling thread while the threads stay together. Parallel regions of
 * OpenMP within it have one thread, so it is for passes without any that matter. */
void rm_team_hold(const rm_compute *compute, void (*pass)(void *user), void *user);

/* Memory that is read soon after the next call of rm_team_run, in this order, each thread
 * beginning at its own share. Threads that are through with that call read ahead in it. Without
 * a team that is held nothing is done. n <= RM_MOST_ANNOUNCED. */
typedef struct rm_bytes {
    const char *data;
    int64_t size;
} rm_bytes;
enum { RM_MOST_ANNOUNCED = 4 };
void rm_team_announce(const rm_compute *compute, const rm_bytes *next, int n);

/* A team of no threads yet; NULL: no memory. */
rm_team *rm_team_create(void);
void rm_team_free(rm_team *team); /* or NULL */

#endif

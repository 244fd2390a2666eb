/* SPDX-License-Identifier: MIT
 *
 * Tasks dealt out to threads by cost. Each thread has a range of tasks that follow each other,
 * since neighbours share a strip of A, and takes them in order; a thread that is through with
 * its own range goes on with the others', so that cores may differ or falter. Thread 0, which
 * called the library, looks after transfers in the background between its tasks.
 *
 *   jobs     | job 0: 8 tasks  | job 1: 8 tasks  | job 2: 3 | ..   tasks of a job cost the same
 *   ranges   | thread 0         | thread 1           |  ..
 */
#ifndef RM_WORK_H
#define RM_WORK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "tensor/compute.h"

/* n_tasks >= 1 tasks that cost the same, in any unit. */
typedef struct rm_job {
    int64_t n_tasks;
    double task_cost;
    int64_t first_task; /* set by rm_work_cut */
} rm_job;

/* On a cache line of its own. */
typedef struct rm_task_range {
    _Alignas(64) atomic_llong next;
    int64_t end;
} rm_task_range;

typedef struct rm_work {
    const rm_compute *compute;
    double next_poll; /* when compute->poll is called again */
    rm_job *jobs;
    int n_jobs;
    rm_task_range *ranges; /* one a thread */
    int n_ranges;
} rm_work;

/* Deals the tasks of all jobs out to the ranges. */
void rm_work_cut(rm_work *work);
/* The next task for a thread: its job and its number in the job. False when all are taken. */
bool rm_work_next(rm_work *work, int thread, int *job, int64_t *task);

#endif

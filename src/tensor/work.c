/* SPDX-License-Identifier: MIT */
#include "tensor/work.h"

#include "base/clock.h"

/* Often enough for messages that follow one another, seldom beside what a poll takes. */
static const double seconds_between_polls = 50e-6;

static double number_tasks(rm_work *work)
{
    int64_t n_tasks = 0;
    double cost = 0;
    for (int j = 0; j < work->n_jobs; j++) {
        rm_job *job = &work->jobs[j];
        job->first_task = n_tasks;
        n_tasks += job->n_tasks;
        cost += (double)job->n_tasks * job->task_cost;
    }
    return cost;
}

/* The tasks that begin before so much of the cost, `spent` of which lies before *job. */
static int64_t tasks_within(const rm_work *work, double cost, int *job, double *spent)
{
    for (; *job < work->n_jobs; ++*job) {
        const rm_job *at = &work->jobs[*job];
        double of_job = (double)at->n_tasks * at->task_cost;
        if (*spent + of_job > cost)
            return at->first_task + (int64_t)((cost - *spent) / at->task_cost);
        *spent += of_job;
    }
    const rm_job *last = &work->jobs[work->n_jobs - 1];
    return last->first_task + last->n_tasks;
}

void rm_work_cut(rm_work *work)
{
    double cost = number_tasks(work), spent = 0;
    int64_t next = 0;
    int job = 0;
    for (int i = 0; i < work->n_ranges; i++) {
        bool is_last = i + 1 == work->n_ranges;
        double share = is_last ? 2 * cost + 1 : cost * (i + 1) / work->n_ranges;
        atomic_init(&work->ranges[i].next, next);
        work->ranges[i].end = next = tasks_within(work, share, &job, &spent);
    }
}

static int job_of_task(const rm_work *work, int64_t task)
{
    int low = 0, high = work->n_jobs;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (work->jobs[middle].first_task <= task)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void poll_background(rm_work *work)
{
    const rm_compute *compute = work->compute;
    if (!compute->poll) return;
    double now = rm_clock_seconds();
    if (now < work->next_poll) return;
    work->next_poll = now + seconds_between_polls;
    compute->poll(compute->poll_user);
}

bool rm_work_next(rm_work *work, int thread, int *job, int64_t *task)
{
    if (thread == 0) poll_background(work);
    for (int i = 0; i < work->n_ranges; i++) {
        rm_task_range *range = &work->ranges[(thread + i) % work->n_ranges];
        if (atomic_load_explicit(&range->next, memory_order_relaxed) >= range->end) continue;
        int64_t next = atomic_fetch_add_explicit(&range->next, 1, memory_order_relaxed);
        if (next >= range->end) continue;
        *job = job_of_task(work, next);
        *task = next - work->jobs[*job].first_task;
        return true;
    }
    return false;
}

/* SPDX-License-Identifier: MIT */
#include "base/background.h"

#include <errno.h>
#include <omp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#include <sys/syscall.h>
#endif

/* As nice(1) counts: so far behind the threads that compute it gets a thirtieth of a processor
 * they want. */
enum { WAY_PRIORITY = 15, LOWEST_PRIORITY = 19 };

#if defined(__linux__) && defined(__GLIBC__)
/* Adds the processors of a place. */
static void add_place(int place, cpu_set_t *cpus)
{
    int n = omp_get_place_num_procs(place);
    int *numbers = n > 0 ? calloc((size_t)n, sizeof *numbers) : NULL;
    if (!numbers) return;
    omp_get_place_proc_ids(place, numbers);
    for (int i = 0; i < n; i++)
        if (numbers[i] >= 0 && numbers[i] < CPU_SETSIZE) CPU_SET(numbers[i], cpus);
    free(numbers);
}

/* OpenMP binds the process's first thread before main, so its own set tells nothing of what the
 * process may use; the places do. Without places nothing was bound, and nothing is set. */
static void allow_all_places(pthread_attr_t *attributes)
{
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    for (int place = 0; place < omp_get_num_places(); place++) add_place(place, &cpus);
    if (CPU_COUNT(&cpus) > 0) pthread_attr_setaffinity_np(attributes, sizeof cpus, &cpus);
}
#else
static void allow_all_places(pthread_attr_t *attributes)
{
    (void)attributes;
}
#endif

static int create(pthread_t *thread, void *(*run)(void *), void *argument)
{
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) return pthread_create(thread, NULL, run, argument);
    allow_all_places(&attributes);
    int failed = pthread_create(thread, &attributes, run, argument);
    pthread_attr_destroy(&attributes);
    /* None of these processors is this process's any more. */
    return failed == EINVAL ? pthread_create(thread, NULL, run, argument) : failed;
}

bool rm_background_thread(pthread_t *thread, void *(*run)(void *), void *argument)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = create(thread, run, argument) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

void rm_background_give_way(void)
{
#ifdef __linux__ /* where a priority is a thread's own */
    id_t self = (id_t)syscall(SYS_gettid);
    errno = 0;
    int priority = getpriority(PRIO_PROCESS, self);
    if (errno != 0) return;
    priority += WAY_PRIORITY;
    setpriority(PRIO_PROCESS, self, priority < LOWEST_PRIORITY ? priority : LOWEST_PRIORITY);
#endif
}

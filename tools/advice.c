/* SPDX-License-Identifier: MIT */
#include "advice.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void say(advice *result, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(advice *result, const char *format, ...)
{
    va_list arguments;
    if (result->count == ADVICE_MAX) return;
    va_start(arguments, format);
    vsnprintf(result->lines[result->count++], ADVICE_LENGTH, format, arguments);
    va_end(arguments);
}

static void look_at_threads(const tool_session *session, advice *result)
{
    int threads = ringmoe_context_threads(session->context);
    int fitting = session_default_threads(session);
    const char *policy = getenv("OMP_WAIT_POLICY");
    bool is_passive = policy && strcasecmp(policy, "passive") == 0;
    if (session->cpu_share == 0) return;
    if (session->cpu_share < 0.99)
        say(result,
            "some of the %d ranks share a core, which slows them all: start fewer, or "
            "bind each to its own (mpiexec -bind-to core)",
            session->node_size);
    if (threads > fitting)
        say(result, "%d threads of a rank wait for each other on %g cpus: use --threads %d%s",
            threads, session->cpu_share, fitting,
            is_passive ? "" : " or OMP_WAIT_POLICY=passive");
}

static void look_at_openmp(const tool_session *session, const ringmoe_machine *machine,
                           advice *result)
{
    const char *limit = getenv("OMP_THREAD_LIMIT"), *places = getenv("OMP_PLACES");
    int threads = ringmoe_context_threads(session->context);
    if (limit && atoi(limit) > 0 && atoi(limit) < threads)
        say(result, "OMP_THREAD_LIMIT=%s holds back %d threads: unset it", limit, threads);
    if (places && session->node_size > 1 && machine->n_cpus_bound == machine->n_cpus &&
        getenv("OMP_PROC_BIND"))
        say(result,
            "OMP_PLACES binds the threads of all ranks to the same cpus: bind the ranks "
            "too (mpiexec -bind-to core:%d) or unset it",
            threads);
}

static void look_at_blas(const ringmoe_machine *machine, advice *result)
{
    if (machine->blas_suggested[0])
        say(result,
            "OpenBLAS runs its %s kernel, which is slow on this CPU: set "
            "OPENBLAS_CORETYPE=%s",
            machine->blas_kernel, machine->blas_suggested);
    /* An OpenMP build has no threads beside ours unless it is told to. */
    bool is_pool = getenv("OPENBLAS_NUM_THREADS") || !strstr(machine->blas, "USE_OPENMP");
    if (machine->blas_threads > 1 && is_pool)
        say(result,
            "OpenBLAS has %d threads of its own beside ours: set OPENBLAS_NUM_THREADS=1",
            machine->blas_threads);
}

/* srun without PMI starts as many one-rank jobs as there are tasks, without a word. */
static void look_at_launcher(const tool_session *session, advice *result)
{
    const char *tasks = getenv("SLURM_STEP_NUM_TASKS");
    if (tasks && atoi(tasks) > 1 && session->size == 1)
        say(result, "srun started %s tasks, but MPI sees one rank: use srun --mpi=pmi2", tasks);
}

void advice_collect(const tool_session *session, const ringmoe_machine *machine, advice *result)
{
    result->count = 0;
    look_at_threads(session, result);
    look_at_openmp(session, machine, result);
    look_at_blas(machine, result);
    look_at_launcher(session, result);
}

void advice_print(const tool_session *session, const ringmoe_machine *machine,
                  const char *prefix, FILE *out)
{
    advice collected;
    advice_collect(session, machine, &collected);
    for (int i = 0; i < collected.count; i++)
        fprintf(out, "%s%s\n", prefix, collected.lines[i]);
}

/* SPDX-License-Identifier: MIT */
#include "launcher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#ifndef MSG_NOSIGNAL /* macOS: a rank that mpiexec has left may end of it, which is as well */
#define MSG_NOSIGNAL 0
#endif

static int number_of(const char *variable)
{
    const char *text = getenv(variable);
    return text ? atoi(text) : 0;
}

/* Tasks of the step that this process is in. The shell of a batch script or of salloc knows the
 * number of tasks of the whole job as well, but is in no step: a program started there is one
 * rank by intention. */
static int tasks_of_step(void)
{
    if (!getenv("SLURM_STEP_ID") || !getenv("SLURM_PROCID")) return 0;
    return getenv("SLURM_STEP_NUM_TASKS") ? number_of("SLURM_STEP_NUM_TASKS")
                                          : number_of("SLURM_NTASKS");
}

/* mpiexec within a step starts its own ranks and says how many: one rank may be what was asked
 * for. */
static bool is_one_by_intention(void)
{
    return number_of("PMI_SIZE") == 1 || number_of("OMPI_COMM_WORLD_SIZE") == 1;
}

int launcher_lone_tasks(int size)
{
    int tasks = tasks_of_step();
    return size == 1 && tasks > 1 && !is_one_by_intention() ? tasks : 0;
}

bool launcher_is_first_task(void)
{
    return number_of("SLURM_PROCID") == 0;
}

/* Hydra, MPICH's mpiexec, gives each rank a line to itself, on which MPI speaks PMI-1 to it:
 * one command a line of text. This is what MPI_Abort says there, which may only be called in
 * the thread that is stuck. */
void launcher_end_job(int status)
{
    char command[64];
    const struct timespec patience = {.tv_sec = 1};
    if (!getenv("MPI_LOCALNRANKS") || !getenv("PMI_FD")) return;
    int n = snprintf(command, sizeof command, "cmd=abort exitcode=%d\n", status);
    if (send(number_of("PMI_FD"), command, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) == n)
        nanosleep(&patience, NULL);
}

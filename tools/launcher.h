/* SPDX-License-Identifier: MIT
 *
 * What started the ranks. srun without a process manager that MPI speaks with starts N programs
 * of one rank each without a word, and each would train a copy of the model into one folder.
 * MPICH's mpiexec waits for ever for a stopped process of another node, and of several ranks
 * that end hands on the status of any.
 */
#ifndef TOOLS_LAUNCHER_H
#define TOOLS_LAUNCHER_H

#include <stdbool.h>

/* Tasks of srun that do not know of each other, of which this process, with an MPI of `size`
 * ranks, is one; 0: it is as it should be. */
int launcher_lone_tasks(int size);
/* Of such tasks one speaks for all. */
bool launcher_is_first_task(void);

/* Asks mpiexec to end all ranks, wherever they are, with a status, and gives it a second; where
 * it does not know how to ask it comes back at once. From any thread, whatever MPI does
 * meanwhile. */
void launcher_end_job(int status);

/* Before MPI starts: from now on mpiexec learns only some seconds later that this rank has
 * died, so that the others have the time to say so. It ends them as soon as it knows, by
 * SIGKILL. Nothing where it is not Hydra, or there are no others. */
void launcher_hold(void);
/* No longer: when all work is done, as the last thing, or where there is no watchdog that would
 * say so. Also from a signal handler. */
void launcher_let_go(void);

#endif

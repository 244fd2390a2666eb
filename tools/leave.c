/* SPDX-License-Identifier: MIT
 *
 * MPICH up to 4.1 over UCX: in MPI_Finalize a rank asks each other one for an answer, and then
 * waits for all in a way that answers nobody. A rank that is asked while it is still in a call
 * before MPI_Finalize answers there, and its own questions may come too late (pmodels/mpich
 * #6596). Within a node questions are no messages; between nodes a pause after the last call
 * makes sure that all ask before any can answer.
 */
#include "leave.h"

#include <mpi.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "launcher.h"

enum { PAUSE_MILLISECONDS = 250, PATIENCE_SECONDS = 10 };

static volatile sig_atomic_t final_status;

static void end_without_mpi(int signal)
{
    static const char line[] =
        "ringmoe: MPI_Finalize has not come back for 10 s, all work is done: ending without "
        "it\n";
    (void)signal;
    (void)!write(STDERR_FILENO, line, sizeof line - 1);
    launcher_let_go();
    _exit(final_status);
}

void leave_mpi(int n_nodes, int status)
{
    struct sigaction action = {.sa_handler = end_without_mpi};
    struct timespec pause = {.tv_nsec = PAUSE_MILLISECONDS * 1000000L};
    if (n_nodes > 1) nanosleep(&pause, NULL);
    sigemptyset(&action.sa_mask);
    sigaction(SIGALRM, &action, NULL);
    final_status = status;
    alarm(PATIENCE_SECONDS);
    MPI_Finalize();
    alarm(0);
    launcher_let_go();
}

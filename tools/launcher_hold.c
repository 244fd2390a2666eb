/* SPDX-License-Identifier: MIT
 *
 * Hydra sees that a rank has died by the end of the line on which MPI speaks to it, a socket,
 * or of its output, and then kills the ranks that are left, often before their watchdogs have
 * written who it was. So each rank has a small process beside it, which keeps both open:
 *
 *   mpiexec's proxy ---- line ----+-- rank ---- pipe ----> sh -c "read goodbye || sleep 2"
 *                                 +-------------------------+
 *
 * A rank that has done its work says goodbye, and the shell ends. When the pipe ends without it
 * the shell holds the line for a moment more: the watchdogs need one second to report and to
 * end the job. (Hydra looks for processes that have ended also when a rank has written
 * something: what ends the others then is the very line that names the one that died.)
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "launcher.h"

static int to_shell = -1;

static bool is_needed(void)
{
    const char *size = getenv("PMI_SIZE");
    return getenv("MPI_LOCALNRANKS") && getenv("PMI_FD") && size && atoi(size) > 1;
}

/* The shell outlives what mpiexec passes on to all processes of a rank, and loads nothing that
 * is meant for them. */
static void become_shell(int from_rank)
{
    static const int passed_on[] = {SIGINT,  SIGTERM, SIGHUP, SIGQUIT,
                                    SIGUSR1, SIGUSR2, SIGALRM};
    for (size_t i = 0; i < sizeof passed_on / sizeof passed_on[0]; i++)
        signal(passed_on[i], SIG_IGN);
    char *const environment[] = {"PATH=/usr/bin:/bin", NULL};
    dup2(from_rank, STDIN_FILENO);
    execle("/bin/sh", "sh", "-c", "read goodbye || sleep 2", "ringmoe-holds-mpiexec",
           (char *)NULL, environment);
    _exit(0);
}

void launcher_hold(void)
{
    int ends[2];
    if (!is_needed() || pipe(ends) != 0) return;
    for (int end = 0; end < 2; end++) fcntl(ends[end], F_SETFD, FD_CLOEXEC);
    pid_t shell = fork();
    if (shell == 0) become_shell(ends[0]);
    close(ends[0]);
    if (shell > 0)
        to_shell = ends[1];
    else
        close(ends[1]);
}

void launcher_let_go(void)
{
    static const char goodbye[] = "goodbye\n";
    if (to_shell < 0) return;
    void (*before)(int) = signal(SIGPIPE, SIG_IGN); /* where there is no shell to read it */
    (void)!write(to_shell, goodbye, sizeof goodbye - 1);
    signal(SIGPIPE, before);
    to_shell = -1;
}

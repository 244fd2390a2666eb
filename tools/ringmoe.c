/* SPDX-License-Identifier: MIT
 *
 * The ringmoe command: starts MPI, finds the subcommand, hands over. Each subcommand is a file
 * beside this one (README.md is the guide).
 */
#include "command.h"

#include <stdio.h>
#include <string.h>

#include "interrupt.h"
#include "launcher.h"
#include "leave.h"
#include "openblas.h"

enum {
    SAVES_ON_SIGNAL = 1, /* signals are watched from the start on */
    MAY_BE_ALONE = 2, /* means something also where tasks of srun do not know of each other */
};

typedef struct command_row {
    const char *name, *help;
    int (*run)(tool_session *session, int argc, char **argv);
    int traits;
} command_row;

static const command_row commands[] = {
    {"train", "train a model on text and write a run folder", command_train, SAVES_ON_SIGNAL},
    {"eval", "loss, bits per byte and perplexity of a model on a text", command_eval, 0},
    {"generate", "continue a prompt with a trained model", command_generate, 0},
    {"verify", "whether every layout of these ranks gives one rank's answer", command_verify,
     0},
    {"convert", "a model from Hugging Face's format to llama.cpp's or back, or upcycled",
     command_convert, 0},
    {"data", "texts to token files, and what lies in them", command_data,
     SAVES_ON_SIGNAL | MAY_BE_ALONE},
    {"info", "this machine and its settings, or a model's size and memory", command_info,
     MAY_BE_ALONE},
    {"bench", "speed and memory of a training step, or of one MoE layer", command_bench, 0},
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(void)
{
    printf("usage: ringmoe <command> [options]\n"
           "       mpiexec -n RANKS ringmoe <command> [options]\n\n"
           "Mixture-of-Experts language models on CPUs, spread over MPI ranks.\n\n");
    for (int i = 0; i < N_COMMANDS; i++)
        printf("  %-10s %s\n", commands[i].name, commands[i].help);
    printf("\n  ringmoe <command> --help   the options of a command\n"
           "  ringmoe --version          the version\n\n"
           "A first run:  ringmoe train --data synthetic --model tiny --steps 200\n\n"
           "Exit status:\n"
           "  0   done\n"
           "  1   failed, 2 bad usage: one line says why\n"
           "  75  the watchdog ended ranks that waited for nothing (--watchdog)\n"
           "  85  train: saved and ended by SIGTERM, SIGUSR1 or Ctrl-C: go on with --resume;\n"
           "      a second signal ends at once\n"
           "A launcher may lose the status; the \"state\" in a run's run.json does not: "
           "finished,\n"
           "stopped (--minutes), preempted (85), failed, or running (the run goes on, or was\n"
           "killed).\n");
}

static const command_row *find_command(const char *word)
{
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(word, commands[i].name) == 0) return &commands[i];
    return NULL;
}

/* All tasks see the same and end alike; one says why. */
static int refuse_lone_tasks(const tool_session *session, int tasks)
{
    if (!launcher_is_first_task()) return EXIT_USAGE;
    return session_fail(session, EXIT_USAGE,
                        "srun started %d ranks that do not know of each other: start them "
                        "with srun --mpi=pmi2 (MPICH) or srun --mpi=pmix (Open MPI); srun "
                        "--mpi=list tells what there is",
                        tasks);
}

static int refuse_command(const tool_session *session, const char *word)
{
    const char *names[N_COMMANDS + 1] = {NULL};
    for (int i = 0; i < N_COMMANDS; i++) names[i] = commands[i].name;
    const char *near = nearest_name(word, names);
    if (near)
        return session_fail(session, EXIT_USAGE, "unknown command %.80s: did you mean %s?",
                            word, near);
    return session_fail(session, EXIT_USAGE,
                        "unknown command %.80s: ringmoe --help lists the commands", word);
}

static int dispatch(tool_session *session, int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    const command_row *command = find_command(word);
    int lone_tasks = launcher_lone_tasks(session->size);
    if (command) {
        session->command = command->name;
        if (lone_tasks && !(command->traits & MAY_BE_ALONE))
            return refuse_lone_tasks(session, lone_tasks);
        return command->run(session, argc - 1, argv + 1);
    }
    if (*word == '\0')
        return session_fail(session, EXIT_USAGE,
                            "no command given: ringmoe --help lists the commands");
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        if (session->rank == 0) print_help();
        return EXIT_DONE;
    }
    if (strcmp(word, "--version") == 0) {
        if (session->rank == 0) printf("ringmoe %s\n", ringmoe_version());
        return EXIT_DONE;
    }
    return refuse_command(session, word);
}

int main(int argc, char **argv)
{
    tool_session session;
    int thread_level;
    openblas_repair(argv);
    launcher_hold();
    const command_row *command = argc > 1 ? find_command(argv[1]) : NULL;
    if (command && (command->traits & SAVES_ON_SIGNAL)) interrupt_watch();
    if (MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &thread_level) != MPI_SUCCESS) {
        fprintf(stderr, "ringmoe: MPI does not start: run it alone or under mpiexec or srun\n");
        return EXIT_FAILED;
    }
    session_begin(&session, argv[0], thread_level);
    int status = dispatch(&session, argc, argv);
    if (session.rank == 0 && (fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_DONE)
        status = session_fail(&session, EXIT_FAILED, "cannot write to the screen: disk full?");
    session_end(&session);
    session_meet(&session);
    leave_mpi(session.n_nodes, status);
    return status;
}

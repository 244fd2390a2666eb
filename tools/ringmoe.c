/* SPDX-License-Identifier: MIT
 *
 * The ringmoe command: starts MPI, finds the subcommand, hands over. Each subcommand is a file
 * beside this one (README.md is the guide).
 */
#include "command.h"

#include <stdio.h>
#include <string.h>

#include "openblas.h"

typedef struct command_row {
    const char *name, *help;
    int (*run)(tool_session *session, int argc, char **argv);
} command_row;

static const command_row commands[] = {
    {"train", "train a model on text and write a run folder", command_train},
    {"eval", "loss, bits per byte and perplexity of a model on a text", command_eval},
    {"generate", "continue a prompt with a trained model", command_generate},
    {"verify", "whether every layout of these ranks gives one rank's answer", command_verify},
    {"info", "this machine and its settings, or a model's size and memory", command_info},
    {"bench", "speed and memory of a training step, or of one MoE layer", command_bench},
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
           "A first run:  ringmoe train --data synthetic --model tiny --steps 200\n");
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
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(word, commands[i].name) == 0) {
            session->command = commands[i].name;
            return commands[i].run(session, argc - 1, argv + 1);
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
    if (MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &thread_level) != MPI_SUCCESS) {
        fprintf(stderr, "ringmoe: MPI does not start: run it alone or under mpiexec or srun\n");
        return EXIT_FAILED;
    }
    session_begin(&session, argv[0], thread_level);
    int status = dispatch(&session, argc, argv);
    if (session.rank == 0 && (fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_DONE)
        status = session_fail(&session, EXIT_FAILED, "cannot write to the screen: disk full?");
    session_end(&session);
    MPI_Finalize();
    return status;
}

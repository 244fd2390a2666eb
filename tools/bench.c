/* SPDX-License-Identifier: MIT
 *
 * `ringmoe bench`: which of the benchmarks is meant.
 */
#include "bench.h"

#include <string.h>

#include "command.h"

static void print_help(void)
{
    printf("usage: ringmoe bench step [options]   a whole training step of a model\n"
           "       ringmoe bench moe [options]    one MoE layer, forward and backward\n\n"
           "ringmoe bench step --help and ringmoe bench moe --help list the options.\n");
}

int command_bench(tool_session *session, int argc, char **argv)
{
    static const char *const names[] = {"step", "moe", NULL};
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "step") == 0) {
        session->command = "bench step";
        return bench_step(session, argc - 1, argv + 1);
    }
    if (strcmp(word, "moe") == 0) {
        session->command = "bench moe";
        return bench_moe(session, argc - 1, argv + 1);
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        if (session->rank == 0) print_help();
        return EXIT_DONE;
    }
    const char *near = *word ? nearest_name(word, names) : NULL;
    if (near)
        return session_fail(session, EXIT_USAGE, "unknown subject %.80s: did you mean %s?",
                            word, near);
    return session_fail(session, EXIT_USAGE, "%s%.80s: give step or moe",
                        *word ? "unknown subject " : "no subject", word);
}

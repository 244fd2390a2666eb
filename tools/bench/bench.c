/* SPDX-License-Identifier: MIT
 *
 * `ringmoe bench`: which of the benchmarks is meant.
 */
#include "bench.h"

#include <string.h>

#include "command.h"

static void print_help(void)
{
    printf(
        "usage: ringmoe bench step [options]        a whole training step of a model\n"
        "       ringmoe bench moe [options]         one MoE layer, forward and backward\n"
        "       ringmoe bench exchange [options]    tokens to their experts, beside bare MPI\n"
        "       ringmoe bench pipeline [options]    the bubble of each schedule, measured\n"
        "       ringmoe bench checkpoint [options] saving and loading, beside the bare disk\n"
        "       ringmoe bench generate [options]    tokens a second, beside the memory's "
        "speed\n"
        "       ringmoe bench gemm [options]        experts' products beside other "
        "libraries\n\n"
        "--help after each of them lists its options.\n");
}

static const struct {
    const char *word, *command;
    int (*run)(tool_session *session, int argc, char **argv);
} subjects[] = {{"step", "bench step", bench_step},
                {"moe", "bench moe", bench_moe},
                {"exchange", "bench exchange", bench_exchange},
                {"pipeline", "bench pipeline", bench_pipeline},
                {"checkpoint", "bench checkpoint", bench_checkpoint},
                {"generate", "bench generate", bench_generate},
                {"gemm", "bench gemm", bench_gemm}};
enum { SUBJECTS = sizeof subjects / sizeof subjects[0] };

/* "give one of step, moe, gemm" */
static int refuse_subject(const tool_session *session, const char *word,
                          const char *const *names)
{
    char list[256] = "";
    size_t used = 0;
    for (int i = 0; names[i] && used < sizeof list; i++)
        used +=
            (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
    return session_fail(session, EXIT_USAGE, "%s%.80s: give one of %s",
                        *word ? "unknown subject " : "no subject", word, list);
}

int command_bench(tool_session *session, int argc, char **argv)
{
    const char *names[SUBJECTS + 1] = {NULL}, *word = argc > 1 ? argv[1] : "";
    for (int i = 0; i < SUBJECTS; i++) {
        names[i] = subjects[i].word;
        if (strcmp(word, names[i]) != 0) continue;
        session->command = subjects[i].command;
        return subjects[i].run(session, argc - 1, argv + 1);
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        if (session->rank == 0) print_help();
        return EXIT_DONE;
    }
    const char *near = *word ? nearest_name(word, names) : NULL;
    if (near)
        return session_fail(session, EXIT_USAGE, "unknown subject %.80s: did you mean %s?",
                            word, near);
    return refuse_subject(session, word, names);
}

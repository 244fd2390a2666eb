/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "command.h"

void bench_add(bench_samples *samples, double value)
{
    if (samples->count < BENCH_MAX_REPEAT) samples->values[samples->count++] = value;
}

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

double bench_median(const bench_samples *samples)
{
    double sorted[BENCH_MAX_REPEAT];
    int n = samples->count;
    if (n == 0) return 0;
    memcpy(sorted, samples->values, (size_t)n * sizeof sorted[0]);
    qsort(sorted, (size_t)n, sizeof sorted[0], compare_doubles);
    return (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
}

double bench_least(const bench_samples *samples)
{
    double least = samples->count ? samples->values[0] : 0;
    for (int i = 1; i < samples->count; i++)
        if (samples->values[i] < least) least = samples->values[i];
    return least;
}

double bench_peak_resident(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
    return (double)usage.ru_maxrss;
#else
    return (double)usage.ru_maxrss * 1024;
#endif
}

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

/* SPDX-License-Identifier: MIT
 *
 * Checks every kernel of every level against a reference in wider arithmetic.
 *
 *   check_kernels [--level NAME] [--kernel NAME] [--seed NUMBER] [--bench]
 *
 * Exit status: 0 all well, 1 a failure, 2 bad usage, 77 a level this computer has not.
 */
#include "check.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_SKIP = 77 };

typedef struct options {
    const char *level, *kernel; /* NULL: all */
    uint64_t seed;
    bool bench;
} options;

static bool parse_seed(const char *text, uint64_t *seed)
{
    char *end;
    errno = 0;
    *seed = strtoull(text, &end, 10);
    return errno == 0 && *text && !*end;
}

static bool parse_options(int argc, char **argv, options *o)
{
    for (int i = 1; i < argc; i++) {
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--bench") == 0)
            o->bench = true;
        else if (has_value && strcmp(argv[i], "--level") == 0)
            o->level = argv[++i];
        else if (has_value && strcmp(argv[i], "--kernel") == 0)
            o->kernel = argv[++i];
        else if (has_value && strcmp(argv[i], "--seed") == 0 &&
                 parse_seed(argv[i + 1], &o->seed))
            i++;
        else
            return false;
    }
    return true;
}

static bool begin_kernel(check *c, const options *o, const char *name)
{
    if (o->kernel && strcmp(o->kernel, name) != 0) return false;
    c->kernel = name;
    c->n_reported = 0;
    random_start(c, name);
    return true;
}

static void check_rows(check *c, const options *o, const row_kernel *kernels, int n_kernels)
{
    for (int i = 0; i < n_kernels; i++)
        if (begin_kernel(c, o, kernels[i].name)) check_row_kernel(c, &kernels[i]);
}

static void check_products(check *c, const options *o)
{
    const rm_tile_kernels *fp32 = &c->kernels->fp32, *bf16 = &c->kernels->bf16;
    if (begin_kernel(c, o, "fp32.tile")) check_tiles(c, fp32, false);
    if (begin_kernel(c, o, "bf16.tile")) check_tiles(c, bf16, true);
    if (begin_kernel(c, o, "fp32.pack")) check_packs(c, fp32, false);
    if (begin_kernel(c, o, "bf16.pack")) check_packs(c, bf16, true);
    if (begin_kernel(c, o, "q8.tile")) check_quantised(c, false);
    if (begin_kernel(c, o, "q4.tile")) check_quantised(c, true);
    if (begin_kernel(c, o, "tile_in_place")) check_tile_in_place(c);
    if (begin_kernel(c, o, "many_rows")) check_many_rows(c);
    if (begin_kernel(c, o, "widen_bf16")) check_widen(c, false);
    if (begin_kernel(c, o, "widen_half")) check_widen(c, true);
}

static void check_level(check *c, const options *o)
{
    check_products(c, o);
    check_rows(c, o, simple_kernels, n_simple_kernels);
    check_rows(c, o, layer_kernels, n_layer_kernels);
}

/* What is under test, for the signal handler. */
static check *running;

/* A touch of a forbidden page. The fault is a kernel's, outside of the C library, so printing
 * is safe enough for a test. */
static void on_fault(int signal_number)
{
    fail(running, "touched memory outside of its operands (signal %d)", signal_number);
    fflush(stdout);
    _exit(EXIT_FAILURE);
}

static void watch_faults(check *c)
{
    running = c;
    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
}

/* Number of levels that were run. */
static int run_levels(check *c, const options *o)
{
    int n_levels = 0;
    for (const char *const *level = rm_kernels_levels(); *level; level++) {
        if (o->level && strcmp(o->level, *level) != 0) continue;
        int64_t cases = c->n_cases, failures = c->n_failures;
        c->kernels = rm_kernels_of_level(*level);
        n_levels++;
        if (o->bench) {
            begin_kernel(c, &(options){0}, "bench");
            bench(c, o->kernel);
            continue;
        }
        check_level(c, o);
        printf("%s: %" PRId64 " cases, %" PRId64 " failures, seed %" PRIu64 "\n", *level,
               c->n_cases - cases, c->n_failures - failures, c->seed);
    }
    return n_levels;
}

int main(int argc, char **argv)
{
    options o = {.seed = 1};
    if (!parse_options(argc, argv, &o)) {
        fprintf(stderr, "usage: check_kernels [--level NAME] [--kernel NAME] [--seed NUMBER] "
                        "[--bench]\n");
        return EXIT_USAGE;
    }
    check c = {.seed = o.seed};
    if (!buffers_create(&c)) {
        fprintf(stderr, "check_kernels: no memory for the buffers\n");
        return EXIT_FAILURE;
    }
    watch_faults(&c);
    int n_levels = run_levels(&c, &o);
    buffers_destroy(&c);
    if (n_levels == 0) {
        printf("skipped: level %s is not in this build or not on this computer\n", o.level);
        return EXIT_SKIP;
    }
    if (!o.bench && c.n_cases == 0) {
        fprintf(stderr, "check_kernels: no kernel is called %s\n", o.kernel);
        return EXIT_USAGE;
    }
    return c.n_failures ? EXIT_FAILURE : EXIT_SUCCESS;
}

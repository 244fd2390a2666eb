/* SPDX-License-Identifier: MIT
 *
 * Speed of the row kernels: GB/s of the bytes each must touch (an array that is read and
 * written counts twice), in the cache and from memory, beside a copy's. Each figure is the best
 * of many runs. Kernels that work in place are run on their own results again: those of scale
 * and rope do not stay random but run to zero or infinity.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { MOST_TRIALS = 100, SHORT_ROW = 1024, LONG_ROW = 1 << 24, HUGE_PAGE = 1 << 21 };
static const double trial_seconds = 3e-4; /* short: some trials are then undisturbed */
static const double most_seconds = 0.5;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double time_of(work *run, void *context)
{
    run(context);
    double start = seconds(), begin = start;
    run(context);
    double once = seconds() - start + 1e-9, best = once;
    int rounds = once < trial_seconds ? (int)(trial_seconds / once) + 1 : 1;
    for (int trial = 0; trial < MOST_TRIALS && seconds() - begin < most_seconds; trial++) {
        start = seconds();
        for (int round = 0; round < rounds; round++) run(context);
        double time = (seconds() - start) / rounds;
        if (time < best) best = time;
    }
    return best;
}

rm_real *random_row(check *c, int64_t n)
{
    size_t size = ((size_t)n * sizeof(rm_real) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    rm_real *row = aligned_alloc(HUGE_PAGE, size);
    if (!row) {
        fprintf(stderr, "check_kernels: no memory for the bench\n");
        exit(EXIT_FAILURE);
    }
    madvise(row, size, MADV_HUGEPAGE);
    for (int64_t i = 0; i < n; i++) row[i] = (rm_real)random_between(c, 0.25, 1);
    return row;
}

/* --- ceilings --------------------------------------------------------------------------------
 */
typedef struct copy_work {
    rm_real *from, *to;
    int64_t n;
    volatile uint64_t result;
} copy_work;

static void run_copy(void *context)
{
    copy_work *w = context;
    memcpy(w->to, w->from, (size_t)w->n * sizeof *w->to);
    __asm__ volatile("" : : : "memory");
}

static void run_read(void *context)
{
    enum { CHAINS = 16 };
    copy_work *w = context;
    const uint64_t *words = (const uint64_t *)(const void *)w->from;
    int64_t n = w->n * (int64_t)sizeof(rm_real) / (int64_t)sizeof *words;
    uint64_t chains[CHAINS] = {0};
    for (int64_t i = 0; i + CHAINS <= n; i += CHAINS)
        for (int j = 0; j < CHAINS; j++) chains[j] ^= words[i + j];
    for (int j = 0; j < CHAINS; j++) w->result ^= chains[j];
}

static ceilings measure_ceilings(check *c)
{
    copy_work w = {.from = random_row(c, LONG_ROW), .to = random_row(c, LONG_ROW)};
    double long_bytes = (double)LONG_ROW * sizeof(rm_real);
    w.n = LONG_ROW;
    ceilings limits = {.copy_memory = 2 * long_bytes / time_of(run_copy, &w) * 1e-9,
                       .read_memory = long_bytes / time_of(run_read, &w) * 1e-9};
    w.n = SHORT_ROW;
    limits.copy_cached = 2.0 * SHORT_ROW * sizeof(rm_real) / time_of(run_copy, &w) * 1e-9;
    free(w.from), free(w.to);
    return limits;
}

/* --- rows ------------------------------------------------------------------------------------
 */
typedef struct row_work {
    const rm_kernels *kernels;
    const row_kernel *kernel;
    int64_t n;
    rm_real *arrays[5];
    volatile double result;
} row_work;

static void run_row(void *context)
{
    row_work *w = context;
    w->result = w->kernel->run(w->kernels, w->n, w->arrays);
}

static double rate_of_row(check *c, const row_kernel *kernel, int64_t n)
{
    row_work w = {.kernels = c->kernels, .kernel = kernel, .n = n};
    double bytes = 0;
    for (int a = 0; a < kernel->n_arrays; a++) {
        w.arrays[a] = random_row(c, kernel->lengths[a] * n);
        int times = (int)(kernel->read >> a & 1) + (int)(kernel->written >> a & 1);
        bytes += (double)(times * kernel->lengths[a] * n) * sizeof(rm_real);
    }
    double rate = bytes / time_of(run_row, &w) * 1e-9;
    for (int a = 0; a < kernel->n_arrays; a++) free(w.arrays[a]);
    return rate;
}

static void bench_rows(check *c, const row_kernel *kernels, int n_kernels, const char *only,
                       const ceilings *limits)
{
    for (int i = 0; i < n_kernels; i++) {
        if (only && strcmp(only, kernels[i].name) != 0) continue;
        double memory = rate_of_row(c, &kernels[i], LONG_ROW);
        printf("%-18s n %d %8.1f GB/s, from memory %6.1f GB/s, %4.0f %% of a copy\n",
               kernels[i].name, SHORT_ROW, rate_of_row(c, &kernels[i], SHORT_ROW), memory,
               100 * memory / limits->copy_memory);
    }
}

void bench(check *c, const char *only)
{
    ceilings limits = measure_ceilings(c);
    printf(
        "%s: a copy of n %d %.1f GB/s, from memory %.1f GB/s; a read from memory %.1f GB/s\n",
        c->kernels->level, SHORT_ROW, limits.copy_cached, limits.copy_memory,
        limits.read_memory);
    bench_products(c, only, &limits);
    bench_rows(c, simple_kernels, n_simple_kernels, only, &limits);
    bench_rows(c, layer_kernels, n_layer_kernels, only, &limits);
}

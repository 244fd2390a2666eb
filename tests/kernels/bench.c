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

enum {
    MOST_TRIALS = 100,
    LEAST_TRIALS = 5,
    SHORT_ROW = 1024,
    LONG_ROW = 1 << 24,
    WINDOW = 1 << 18,
    HUGE_PAGE = 1 << 21
};
static const double trial_seconds = 3e-4; /* short: some trials are then undisturbed */
static const double most_seconds = 1;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double seconds_of(const job *timed, int rounds)
{
    double start = seconds();
    for (int round = 0; round < rounds; round++) timed->run(timed->context);
    return (seconds() - start) / rounds;
}

/* How many runs make a trial. */
static int rounds_of(const job *timed)
{
    seconds_of(timed, 1);
    double once = seconds_of(timed, 1) + 1e-9;
    return once < trial_seconds ? (int)(trial_seconds / once) + 1 : 1;
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

rates rates_of(const job *timed, const job *beside)
{
    int rounds = rounds_of(timed), rounds_beside = rounds_of(beside);
    double begin = seconds(), best = 1e30, best_beside = 1e30;
    for (int trial = 0; trial < MOST_TRIALS; trial++) {
        best = least(best, seconds_of(timed, rounds));
        best_beside = least(best_beside, seconds_of(beside, rounds_beside));
        if (trial >= LEAST_TRIALS && seconds() - begin > most_seconds) break;
    }
    return (rates){timed->amount / best * 1e-9, beside->amount / best_beside * 1e-9};
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

/* --- yardsticks --------------------------------------------------------------------------- */
typedef struct copy_work {
    rm_real *from, *to;
    int64_t n, at; /* the read: one window of it in turn */
    volatile uint64_t result;
} copy_work;

static void run_copy(void *context)
{
    copy_work *w = context;
    memcpy(w->to, w->from, (size_t)w->n * sizeof *w->to);
    __asm__ volatile("" : : : "memory");
}

/* Two streams, one from each half, since one alone does not fill the memory's lines. */
static void run_read(void *context)
{
    enum { CHAINS = 8 };
    copy_work *w = context;
    w->at = (w->at + WINDOW) % w->n;
    int64_t half = WINDOW * (int64_t)sizeof(rm_real) / 2 / (int64_t)sizeof(uint64_t);
    const uint64_t *first = (const uint64_t *)(const void *)(w->from + w->at);
    const uint64_t *second = first + half;
    uint64_t chains[2 * CHAINS] = {0};
    for (int64_t i = 0; i + CHAINS <= half; i += CHAINS) {
        for (int j = 0; j < CHAINS; j++) chains[j] ^= first[i + j];
        for (int j = 0; j < CHAINS; j++) chains[CHAINS + j] ^= second[i + j];
    }
    for (int j = 0; j < 2 * CHAINS; j++) w->result ^= chains[j];
}

/* --- rows --------------------------------------------------------------------------------- */
/* A row of n, or, so that it comes from memory, one of `windows` rows in turn. */
typedef struct row_work {
    const rm_kernels *kernels;
    const row_kernel *kernel;
    int64_t n, windows, at;
    rm_real *arrays[5];
    volatile double result;
} row_work;

static void run_row(void *context)
{
    row_work *w = context;
    rm_real *rows[5] = {0};
    w->at = (w->at + 1) % w->windows;
    for (int a = 0; a < w->kernel->n_arrays; a++)
        rows[a] = w->arrays[a] + w->at * w->n * w->kernel->lengths[a];
    w->result = w->kernel->run(w->kernels, w->n, rows);
}

/* The bytes of an array that is read and written count twice. */
static rates rates_of_row(check *c, const row_kernel *kernel, int64_t n, int64_t windows,
                          const job *copy)
{
    row_work w = {.kernels = c->kernels, .kernel = kernel, .n = n, .windows = windows};
    double bytes = 0;
    for (int a = 0; a < kernel->n_arrays; a++) {
        w.arrays[a] = random_row(c, kernel->lengths[a] * n * windows);
        int times = (int)(kernel->read >> a & 1) + (int)(kernel->written >> a & 1);
        bytes += (double)(times * kernel->lengths[a] * n) * sizeof(rm_real);
    }
    rates result = rates_of(&(job){run_row, &w, bytes}, copy);
    for (int a = 0; a < kernel->n_arrays; a++) free(w.arrays[a]);
    return result;
}

static void bench_row(check *c, const row_kernel *kernel, const job *copy)
{
    copy_work short_copy = {.from = random_row(c, SHORT_ROW), .to = random_row(c, SHORT_ROW)};
    short_copy.n = SHORT_ROW;
    job cached_copy = {run_copy, &short_copy, 2.0 * SHORT_ROW * sizeof(rm_real)};
    rates cached = rates_of_row(c, kernel, SHORT_ROW, 1, &cached_copy);
    rates memory = rates_of_row(c, kernel, WINDOW, LONG_ROW / WINDOW, copy);
    printf("%-18s n %d %8.1f GB/s, a copy %6.1f   from memory %5.1f GB/s, a copy %5.1f\n",
           kernel->name, SHORT_ROW, cached.job, cached.beside, memory.job, memory.beside);
    free(short_copy.from), free(short_copy.to);
}

/* --- conversions -------------------------------------------------------------------------- */
typedef struct widen_work {
    void (*widen)(int64_t n, const void *x, rm_real *y);
    rm_real *words, *y;
    int64_t n;
} widen_work;

static void run_widen(void *context)
{
    const widen_work *w = context;
    w->widen(w->n, w->words, w->y);
}

static void bench_widen(check *c, const char *name,
                        void (*widen)(int64_t n, const void *x, rm_real *y), const job *copy)
{
    widen_work w = {widen, random_row(c, LONG_ROW), random_row(c, LONG_ROW), SHORT_ROW};
    double bytes = sizeof(rm_bf16) + sizeof(rm_real);
    rates cached = rates_of(&(job){run_widen, &w, bytes * SHORT_ROW}, copy);
    w.n = LONG_ROW;
    rates memory = rates_of(&(job){run_widen, &w, bytes * LONG_ROW}, copy);
    printf("%-18s n %d %8.1f GB/s                  from memory %5.1f GB/s, a copy %5.1f\n",
           name, SHORT_ROW, cached.job, memory.job, memory.beside);
    free(w.words), free(w.y);
}

void bench(check *c, const char *only)
{
    double bytes = (double)LONG_ROW * sizeof(rm_real);
    copy_work w = {.from = random_row(c, LONG_ROW), .to = random_row(c, LONG_ROW)};
    w.n = LONG_ROW;
    yardsticks memory = {{run_copy, &w, 2 * bytes},
                         {run_read, &w, (double)WINDOW * sizeof(rm_real)}};
    printf("%s\n", c->kernels->level);
    bench_products(c, only, &memory);
    if (!only || strcmp(only, "widen_bf16") == 0)
        bench_widen(c, "widen_bf16", c->kernels->widen_bf16, &memory.copy);
    if (!only || strcmp(only, "widen_half") == 0)
        bench_widen(c, "widen_half", c->kernels->widen_half, &memory.copy);
    for (int i = 0; i < n_simple_kernels; i++)
        if (!only || strcmp(only, simple_kernels[i].name) == 0)
            bench_row(c, &simple_kernels[i], &memory.copy);
    for (int i = 0; i < n_layer_kernels; i++)
        if (!only || strcmp(only, layer_kernels[i].name) == 0)
            bench_row(c, &layer_kernels[i], &memory.copy);
    free(w.from), free(w.to);
}

/* SPDX-License-Identifier: MIT
 *
 * Speed of the kernels: tiles in GFLOP/s beside the peak of the registers alone, the others in
 * GB/s of their operands. Each figure is the best of many runs, on random values in the cache
 * (the last column: in memory). Kernels that work in place are run on their own results again:
 * those of scale and rope do not stay random but run to zero or infinity.
 */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TRIALS = 100, SHORT_ROW = 1024, LONG_ROW = 1 << 23 };
static const double trial_seconds = 3e-4; /* short: some trials are then undisturbed */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Work to be timed: run(context) any number of times. */
typedef void work(void *context);

/* Seconds of one run, the best of TRIALS. */
static double time_of(work *run, void *context)
{
    run(context);
    double start = seconds();
    run(context);
    double once = seconds() - start + 1e-9, best = 1e30;
    int rounds = once < trial_seconds ? (int)(trial_seconds / once) + 1 : 1;
    for (int trial = 0; trial < TRIALS; trial++) {
        start = seconds();
        for (int round = 0; round < rounds; round++) run(context);
        double time = (seconds() - start) / rounds;
        if (time < best) best = time;
    }
    return best;
}

static rm_real *random_row(check *c, int64_t n)
{
    rm_real *row = aligned_alloc(64, ((size_t)n * sizeof *row + 63) / 64 * 64);
    if (!row) {
        fprintf(stderr, "check_kernels: no memory for the bench\n");
        exit(1);
    }
    for (int64_t i = 0; i < n; i++) row[i] = (rm_real)random_between(c, 0.25, 1);
    return row;
}

typedef struct product_work {
    const rm_kernels *kernels;
    bool bf16, transposed;
    int64_t k, stride;
    rm_real *a, *b, *c;
    rm_bf16 *b_bf16;
} product_work;

static void run_product(void *context)
{
    const product_work *w = context;
    const rm_kernels *kernels = w->kernels;
    int64_t a_row = w->transposed ? 1 : w->k, a_col = w->transposed ? kernels->mr : 1;
    if (w->bf16)
        kernels->tile_bf16(w->k, w->a, a_row, a_col, w->b_bf16, w->c, kernels->nr, kernels->mr,
                           kernels->nr, true);
    else
        kernels->tile(w->k, w->a, a_row, a_col, w->b, w->c, kernels->nr, kernels->mr,
                      kernels->nr, true);
}

static void run_pack(void *context)
{
    const product_work *w = context;
    int64_t row = w->transposed ? 1 : w->stride, col = w->transposed ? w->stride : 1;
    if (w->bf16)
        w->kernels->pack_bf16(w->k, w->kernels->nr, w->a, row, col, w->b_bf16);
    else
        w->kernels->pack(w->k, w->kernels->nr, w->a, row, col, w->b);
}

static void bench_tiles(check *c, bool bf16, double peak)
{
    const rm_kernels *kernels = c->kernels;
    for (int64_t k = 64; k <= 1024; k *= 2)
        for (int transposed = 0; transposed < 2; transposed++) {
            product_work w = {.kernels = kernels, .bf16 = bf16, .transposed = transposed};
            w.k = k, w.stride = k;
            w.a = random_row(c, k * kernels->nr), w.b = random_row(c, k * kernels->nr);
            w.c = random_row(c, kernels->mr * kernels->nr);
            w.b_bf16 = (rm_bf16 *)random_row(c, k * kernels->nr);
            kernels->pack_bf16(k, kernels->nr, w.b, kernels->nr, 1, w.b_bf16);
            double flops = 2.0 * (double)k * kernels->mr * kernels->nr;
            double rate = flops / time_of(run_product, &w) * 1e-9;
            printf("%-18s k %4lld, A by %-7s %8.1f GFLOP/s %5.0f %%\n",
                   bf16 ? "tile_bf16" : "tile", (long long)k, transposed ? "columns" : "rows",
                   rate, peak > 0 ? 100 * rate / peak : 0);
            free(w.a), free(w.b), free(w.c), free(w.b_bf16);
        }
}

static void bench_packs(check *c, bool bf16)
{
    int64_t k = 512, stride = 520, nr = c->kernels->nr;
    for (int transposed = 0; transposed < 2; transposed++) {
        product_work w = {.kernels = c->kernels, .bf16 = bf16, .transposed = transposed};
        w.k = k, w.stride = stride;
        w.a = random_row(c, (k + nr) * stride), w.b = random_row(c, k * nr);
        w.b_bf16 = (rm_bf16 *)random_row(c, k * nr);
        double bytes = (double)(k * nr) * (sizeof(rm_real) + (bf16 ? 2 : sizeof(rm_real)));
        printf("%-18s k %4lld, by %-9s %8.1f GB/s\n", bf16 ? "pack_bf16" : "pack", (long long)k,
               transposed ? "columns" : "rows", bytes / time_of(run_pack, &w) * 1e-9);
        free(w.a), free(w.b), free(w.b_bf16);
    }
}

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

/* GB/s; an array that is written and read counts once. */
static double rate_of_row(check *c, const row_kernel *kernel, int64_t n)
{
    row_work w = {.kernels = c->kernels, .kernel = kernel, .n = n};
    double bytes = 0;
    for (int a = 0; a < kernel->n_arrays; a++) {
        w.arrays[a] = random_row(c, kernel->lengths[a] * n);
        bytes += (double)(kernel->lengths[a] * n) * sizeof(rm_real);
    }
    double rate = bytes / time_of(run_row, &w) * 1e-9;
    for (int a = 0; a < kernel->n_arrays; a++) free(w.arrays[a]);
    return rate;
}

static void bench_rows(check *c, const row_kernel *kernels, int n_kernels, const char *only)
{
    for (int i = 0; i < n_kernels; i++)
        if (!only || strcmp(only, kernels[i].name) == 0)
            printf("%-18s n %4d %24.1f GB/s   from memory %.1f GB/s\n", kernels[i].name,
                   SHORT_ROW, rate_of_row(c, &kernels[i], SHORT_ROW),
                   rate_of_row(c, &kernels[i], LONG_ROW));
}

void bench(check *c, const char *only)
{
    double peak = peak_of_level(c->kernels->level);
    printf("%s: multiply-adds on registers alone %.1f GFLOP/s\n", c->kernels->level, peak);
    if (!only || strcmp(only, "tile") == 0) bench_tiles(c, false, peak);
    if (!only || strcmp(only, "tile_bf16") == 0) bench_tiles(c, true, peak);
    if (!only || strcmp(only, "pack") == 0) bench_packs(c, false);
    if (!only || strcmp(only, "pack_bf16") == 0) bench_packs(c, true);
    bench_rows(c, simple_kernels, n_simple_kernels, only);
    bench_rows(c, layer_kernels, n_layer_kernels, only);
}

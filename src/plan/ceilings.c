/* SPDX-License-Identifier: MIT
 *
 * What the machine can do at most, measured: the tile of the level in use on operands that stay
 * in the first-level cache, `dot` over memory larger than the caches, and beside them OpenBLAS
 * on a square product, as the library to compare with. All threads work at the same time; of
 * several rounds, each as long as its slowest thread, the best counts, since other programs can
 * only make a round slower.
 */
#include <ringmoe/machine.h>

#include <cblas.h>

#include "base/clock.h"
#include "comm/context.h"
#include "plan/system.h"

enum { ROUNDS = 15, TILE_DEPTH = 256, SQUARE = 768 };
static const double least_round_seconds = 0.01;

/* The buffer read: well above the last-level caches of the cores that share it. */
static const int64_t least_buffer_bytes = 256 << 20, buffer_bytes_a_thread = 32 << 20;

typedef struct probe {
    const rm_compute *compute;
    rm_real *buffer; /* of n elements */
    int64_t n;
    int64_t repeats;
} probe;

/* Numbers of moderate size that are neither equal nor denormal. */
static void fill(rm_real *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++) values[i] = (rm_real)1 / (rm_real)(1 + i % 7);
}

static void run_tiles(const probe *tiles)
{
    const rm_compute *compute = tiles->compute;
    const rm_kernels *kernels = compute->kernels;
#pragma omp parallel num_threads(compute->n_threads)
    {
        rm_real *a = rm_compute_scratch(compute), *b = a + kernels->mr * TILE_DEPTH;
        rm_real *c = b + kernels->nr * TILE_DEPTH;
        fill(a, (kernels->mr + kernels->nr) * TILE_DEPTH);
        for (int64_t i = 0; i < tiles->repeats; i++)
            kernels->tile(TILE_DEPTH, a, TILE_DEPTH, 1, b, c, kernels->nr, kernels->mr,
                          kernels->nr, false);
    }
}

static void for_each_part(const probe *read, bool is_first)
{
    const rm_compute *compute = read->compute;
    int64_t part = read->n / compute->n_threads;
#pragma omp parallel for num_threads(compute->n_threads) schedule(static)
    for (int i = 0; i < compute->n_threads; i++) {
        rm_real *start = read->buffer + i * part;
        if (is_first)
            fill(start, part);
        else
            compute->kernels->dot(part / 2, start, start + part / 2);
    }
}

static void run_read(const probe *read)
{
    for_each_part(read, false);
}

static double best_seconds(void (*run)(const probe *), const probe *work)
{
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double start = rm_clock_seconds();
        run(work);
        double seconds = rm_clock_seconds() - start;
        if (round == 0 || seconds < best) best = seconds;
    }
    return best;
}

/* Repeats until a round is long enough for the clock and for the threads to start. */
static double measure_tiles(const rm_compute *compute)
{
    const rm_kernels *kernels = compute->kernels;
    probe tiles = {.compute = compute, .repeats = 512};
    double seconds;
    while ((seconds = best_seconds(run_tiles, &tiles)) < least_round_seconds)
        tiles.repeats *= 2;
    double operations = 2.0 * TILE_DEPTH * kernels->mr * kernels->nr * (double)tiles.repeats;
    return operations * compute->n_threads / seconds * 1e-9;
}

static void square_product(const rm_real *a, const rm_real *b, rm_real *c)
{
#ifdef RINGMOE_DOUBLE
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, SQUARE, SQUARE, SQUARE, 1, a, SQUARE,
                b, SQUARE, 0, c, SQUARE);
#else
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, SQUARE, SQUARE, SQUARE, 1, a, SQUARE,
                b, SQUARE, 0, c, SQUARE);
#endif
}

/* OpenBLAS runs on the calling thread alone inside a parallel region of several threads. */
static void run_blas(const probe *blas)
{
    int n_threads = blas->compute->n_threads;
#pragma omp parallel for num_threads(n_threads) schedule(static)
    for (int i = 0; i < n_threads; i++) {
        rm_real *a = blas->buffer + i * blas->n, *b = a + SQUARE * SQUARE;
        square_product(a, b, b + SQUARE * SQUARE);
    }
}

static ringmoe_status measure_blas(const rm_compute *compute, double *gflops, rm_error *error)
{
    rm_arena arena = {0};
    probe blas = {.compute = compute, .n = (int64_t)3 * SQUARE * SQUARE};
    int64_t elements = blas.n * compute->n_threads;
    RM_TRY(rm_arena_reserve(&arena, (size_t)elements * sizeof(rm_real), error));
    blas.buffer = (rm_real *)arena.base;
    fill(blas.buffer, elements);
    double operations = 2.0 * SQUARE * SQUARE * SQUARE * compute->n_threads;
    *gflops = operations / best_seconds(run_blas, &blas) * 1e-9;
    rm_arena_free(&arena);
    return RINGMOE_OK;
}

static ringmoe_status measure_read(const rm_compute *compute, double *gb_per_s, rm_error *error)
{
    ringmoe_machine machine = {0};
    rm_system_describe(&machine);
    int64_t bytes = least_buffer_bytes;
    if (bytes < compute->n_threads * buffer_bytes_a_thread)
        bytes = compute->n_threads * buffer_bytes_a_thread;
    if (bytes < 4 * machine.l3_bytes) bytes = 4 * machine.l3_bytes;
    if (machine.memory_free_bytes && bytes > machine.memory_free_bytes / 2)
        return rm_fail(
            error, RINGMOE_ERROR_MEMORY,
            "measuring the memory's speed needs %lld MiB, but only %lld MiB are free; "
            "use fewer threads or stop other programs",
            (long long)(bytes >> 20), (long long)(machine.memory_free_bytes >> 20));
    rm_arena arena = {0};
    RM_TRY(rm_arena_reserve(&arena, (size_t)bytes, error));
    probe read = {.compute = compute,
                  .buffer = (rm_real *)arena.base,
                  .n = bytes / (int64_t)sizeof(rm_real)};
    for_each_part(&read, true);
    *gb_per_s = (double)bytes / best_seconds(run_read, &read) * 1e-9;
    rm_arena_free(&arena);
    return RINGMOE_OK;
}

ringmoe_status ringmoe_machine_measure(ringmoe_context *context,
                                       ringmoe_machine_ceilings *ceilings)
{
    if (!context) return RINGMOE_ERROR_ARGUMENT;
    if (!ceilings)
        return rm_fail(&context->error, RINGMOE_ERROR_ARGUMENT,
                       "ringmoe_machine_measure: ceilings is NULL; pass where to put them");
    ringmoe_machine_ceilings measured;
    const rm_compute *compute = &context->compute;
    RM_TRY(measure_read(compute, &measured.read_gb_per_s, &context->error));
    RM_TRY(measure_blas(compute, &measured.blas_gflops, &context->error));
    measured.fma_gflops = measure_tiles(compute);
    *ceilings = measured;
    return RINGMOE_OK;
}

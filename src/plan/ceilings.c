/* SPDX-License-Identifier: MIT
 *
 * What the machine can do at most, measured: multiplications on registers alone at every level,
 * memory beyond the caches, and beside them OpenBLAS on a square product, as the library to
 * compare with. Probes (probes.h) take turns, since the speed of a shared machine changes
 * within seconds; of several rounds the best counts, since other programs can only make one
 * slower. Reading memory has its mean as well, which is what a long reading meets.
 */
#include <ringmoe/machine.h>

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "comm/context.h"
#include "plan/probes.h"
#include "plan/system.h"

enum { FIRST_PEAK_ROUNDS = 1000 };
/* Long enough for the clock and for the threads to start. */
static const double least_peak_seconds = 0.003;

/* The buffer: well above the last-level caches of the cores that share it. */
static const int64_t least_buffer_bytes = 256 << 20, buffer_bytes_a_thread = 32 << 20;

/* A probe, what it has done so far, and where its best rate goes. */
typedef struct measured_probe {
    rm_probe probe;
    double work, seconds;
    double *best;
} measured_probe;

/* Peaks of four precisions; and reading, writing, copying, and OpenBLAS. */
enum { PROBES_OF_LEVEL = 4, PROBES_BESIDE = 4 };

typedef struct probe_list {
    measured_probe probes[PROBES_OF_LEVEL * RINGMOE_MACHINE_LEVELS + PROBES_BESIDE];
    int count;
} probe_list;

static void measure(measured_probe *measured)
{
    double start = rm_clock_seconds();
    double work = measured->probe.run(&measured->probe);
    double seconds = rm_clock_seconds() - start;
    measured->work += work;
    measured->seconds += seconds;
    if (work / seconds * 1e-9 > *measured->best) *measured->best = work / seconds * 1e-9;
}

static void add_probe(probe_list *list, const rm_probe *probe, double *best)
{
    *best = 0;
    list->probes[list->count++] = (measured_probe){.probe = *probe, .best = best};
}

static double seconds_of(const rm_probe *probe)
{
    double start = rm_clock_seconds();
    probe->run(probe);
    return rm_clock_seconds() - start;
}

/* How long it takes is tried on one thread: the start of a team may take longer than its work.
 */
static void add_peak(probe_list *list, const rm_tile_kernels *tiles, int n_threads,
                     double *rate)
{
    rm_probe probe = {
        .run = rm_probe_peak, .n_threads = 1, .tiles = tiles, .rounds = FIRST_PEAK_ROUNDS};
    while (seconds_of(&probe) < least_peak_seconds) probe.rounds *= 2;
    probe.n_threads = n_threads;
    add_probe(list, &probe, rate);
}

static void add_levels(probe_list *list, ringmoe_machine_ceilings *ceilings)
{
    const char *const *level = rm_kernels_levels();
    for (; *level && ceilings->n_levels < RINGMOE_MACHINE_LEVELS; level++) {
        const rm_kernels *kernels = rm_kernels_of_level(*level);
        ringmoe_machine_peak *peak = &ceilings->levels[ceilings->n_levels++];
        snprintf(peak->level, sizeof peak->level, "%s", *level);
        add_peak(list, &kernels->fp32, ceilings->n_threads, &peak->fp32_gflops);
        add_peak(list, &kernels->bf16, ceilings->n_threads, &peak->bf16_gflops);
        add_peak(list, &kernels->q8, ceilings->n_threads, &peak->q8_gflops);
        add_peak(list, &kernels->q4, ceilings->n_threads, &peak->q4_gflops);
    }
}

/* Returns that which reads. */
static const measured_probe *add_memory(probe_list *list, const rm_arena *buffer,
                                        ringmoe_machine_ceilings *ceilings)
{
    const measured_probe *reading = &list->probes[list->count];
    rm_probe probe = {.n_threads = ceilings->n_threads,
                      .buffer = buffer->base,
                      .bytes = (int64_t)buffer->reserved};
    const struct {
        double (*run)(const rm_probe *);
        double *best;
    } kinds[] = {{rm_probe_read, &ceilings->read_gb_per_s},
                 {rm_probe_write, &ceilings->write_gb_per_s},
                 {rm_probe_copy, &ceilings->copy_gb_per_s}};
    rm_probe_fill(&probe);
    for (int i = 0; i < 3; i++) {
        probe.run = kinds[i].run;
        add_probe(list, &probe, kinds[i].best);
    }
    return reading;
}

static void run_rounds(probe_list *list, int n_rounds)
{
    for (int round = 0; round < n_rounds; round++)
        for (int i = 0; i < list->count; i++) measure(&list->probes[i]);
}

static ringmoe_status reserve_buffer(int n_threads, rm_arena *buffer, rm_error *error)
{
    ringmoe_machine machine = {0};
    rm_system_describe(&machine);
    int64_t bytes = least_buffer_bytes;
    if (bytes < n_threads * buffer_bytes_a_thread) bytes = n_threads * buffer_bytes_a_thread;
    if (bytes < 4 * machine.l3_bytes) bytes = 4 * machine.l3_bytes;
    if (machine.memory_free_bytes && bytes > machine.memory_free_bytes / 2)
        return rm_fail(
            error, RINGMOE_ERROR_MEMORY,
            "measuring the memory's speed needs %lld MiB, but only %lld MiB are free; "
            "use fewer threads or stop other programs",
            (long long)(bytes >> 20), (long long)(machine.memory_free_bytes >> 20));
    return rm_arena_reserve(buffer, (size_t)bytes, error);
}

static ringmoe_machine_peak peak_of_level(const ringmoe_machine_ceilings *ceilings,
                                          const char *level)
{
    for (int i = 0; i < ceilings->n_levels; i++)
        if (strcmp(ceilings->levels[i].level, level) == 0) return ceilings->levels[i];
    return (ringmoe_machine_peak){.fp32_gflops = 0};
}

/* The square product has a buffer of its own: its numbers must stay what they are. */
static ringmoe_status measure_all(const rm_compute *compute, int n_rounds, rm_arena buffers[2],
                                  ringmoe_machine_ceilings *ceilings, rm_error *error)
{
    probe_list list = {.count = 0};
    rm_probe blas = {.run = rm_probe_blas,
                     .n_threads = compute->n_threads,
                     .bytes = rm_probe_blas_bytes(compute->n_threads)};
    RM_TRY(reserve_buffer(compute->n_threads, &buffers[0], error));
    RM_TRY(rm_arena_reserve(&buffers[1], (size_t)blas.bytes, error));
    blas.buffer = buffers[1].base;
    rm_probe_fill(&blas);
    add_levels(&list, ceilings);
    const measured_probe *reading = add_memory(&list, &buffers[0], ceilings);
    add_probe(&list, &blas, &ceilings->blas_gflops);
    run_rounds(&list, n_rounds);
    ceilings->mean_read_gb_per_s = reading->work / reading->seconds * 1e-9;
    ceilings->peak = peak_of_level(ceilings, compute->kernels->level);
    return RINGMOE_OK;
}

ringmoe_status ringmoe_machine_measure(ringmoe_context *context, int n_rounds,
                                       ringmoe_machine_ceilings *ceilings)
{
    if (!context) return RINGMOE_ERROR_ARGUMENT;
    if (!ceilings)
        return rm_fail(&context->error, RINGMOE_ERROR_ARGUMENT,
                       "ringmoe_machine_measure: ceilings is NULL; pass where to put them");
    if (n_rounds < 1)
        return rm_fail(&context->error, RINGMOE_ERROR_ARGUMENT,
                       "ringmoe_machine_measure: n_rounds is %d; it must be positive",
                       n_rounds);
    ringmoe_machine_ceilings measured = {.n_threads = context->compute.n_threads};
    rm_arena buffers[2] = {{0}, {0}};
    ringmoe_status status =
        measure_all(&context->compute, n_rounds, buffers, &measured, &context->error);
    rm_arena_free(&buffers[0]);
    rm_arena_free(&buffers[1]);
    if (status == RINGMOE_OK) *ceilings = measured;
    return status;
}

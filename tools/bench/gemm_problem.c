/* SPDX-License-Identifier: MIT */
#include "gemm.h"

#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>

/* More sets of tiny weights would only take time to pack. */
enum { MOST_SETS = 512 };
static const int64_t huge_page = 2 << 20, cache_if_unknown = 32 << 20;

void *gemm_allocate(int64_t bytes)
{
    void *memory;
    size_t size = (size_t)((bytes + huge_page - 1) / huge_page * huge_page);
    if (posix_memalign(&memory, (size_t)huge_page, size ? size : (size_t)huge_page) != 0)
        return NULL;
#ifdef MADV_HUGEPAGE
    madvise(memory, size, MADV_HUGEPAGE);
#endif
    return memory;
}

/* Numbers in [-1, 1) from their indices: no zeros in a row, on which some CPUs clock higher. */
static void fill(ringmoe_real *values, int64_t n, uint32_t seed)
{
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i++) {
        uint32_t hash = (uint32_t)i * 0x9E3779B1u + seed;
        hash = (hash ^ hash >> 15) * 0x85EBCA77u;
        hash ^= hash >> 13;
        values[i] = (ringmoe_real)((int32_t)(hash >> 8) - (1 << 23)) / (ringmoe_real)(1 << 23);
    }
}

static ringmoe_real *allocate_filled(int64_t n, uint32_t seed)
{
    ringmoe_real *values = gemm_allocate(n * (int64_t)sizeof *values);
    if (values) fill(values, n, seed);
    return values;
}

static int64_t cache_bytes(int n_threads)
{
    ringmoe_machine machine;
    ringmoe_machine_describe(&machine);
    int64_t bytes = machine.l3_bytes + n_threads * machine.l2_bytes;
    return bytes ? bytes : cache_if_unknown;
}

int gemm_count_sets(const gemm_plan *plan, const gemm_shape *shape, int n_experts,
                    ringmoe_precision precision, int n_threads)
{
    if (plan->warm) return 1;
    double weights = (double)n_experts * (double)shape->n_in * (double)shape->n_out;
    double bytes = weights * gemm_weight_bytes(precision);
    double sets = ceil(2 * (double)cache_bytes(n_threads) / bytes);
    return sets < MOST_SETS ? (int)sets : MOST_SETS;
}

double gemm_bytes_needed(const gemm_plan *plan, const gemm_shape *shape, int n_experts,
                         int64_t max_rows, int n_threads)
{
    /* Two packed forms of ours, two of the grouped case's single expert, one of each library.
     */
    int copies = plan->grouped ? 6 : 4;
    int least = 0; /* the precision with the smallest weights has the most sets of them */
    for (int i = 0; i < GEMM_PRECISIONS; i++)
        if (plan->has_precision[i]) least = i;
    int sets = gemm_count_sets(plan, shape, n_experts, (ringmoe_precision)least, n_threads);
    double weights = (double)shape->n_in * (double)shape->n_out * n_experts * sets;
    double rows = (double)(max_rows + GEMM_ROW_BLOCK) * (double)(shape->n_in + shape->n_out);
    return (double)sizeof(ringmoe_real) * (copies * weights + 3 * rows);
}

bool gemm_arrays_open(gemm_arrays *arrays, const gemm_shape *shape, int n_sets, int n_experts,
                      int64_t max_rows, bool with_d_w)
{
    int64_t rows = max_rows + GEMM_ROW_BLOCK;
    int64_t n_weights = n_sets * n_experts * shape->n_in * shape->n_out;
    *arrays = (gemm_arrays){.weights = allocate_filled(n_weights, 1),
                            .x = allocate_filled(rows * shape->n_in, 2),
                            .d_y = allocate_filled(rows * shape->n_out, 3),
                            .y = allocate_filled(rows * shape->n_out, 4),
                            .d_x = allocate_filled(rows * shape->n_in, 5),
                            .d_w = with_d_w ? allocate_filled(n_weights, 6) : NULL,
                            .n_sets = n_sets};
    return arrays->weights && arrays->x && arrays->d_y && arrays->y && arrays->d_x &&
           (arrays->d_w || !with_d_w);
}

void gemm_arrays_close(gemm_arrays *arrays)
{
    ringmoe_real *all[] = {arrays->weights, arrays->x,   arrays->d_y,
                           arrays->y,       arrays->d_x, arrays->d_w};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
    *arrays = (gemm_arrays){.n_sets = 0};
}

/* The place in order of popularity of expert e: a fixed shuffle (Fisher and Yates). */
static void shuffle(int *places, int n)
{
    uint64_t state = 1;
    for (int i = 0; i < n; i++) places[i] = i;
    for (int i = n - 1; i > 0; i--) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        int j = (int)((state >> 33) % (uint64_t)(i + 1)), kept = places[i];
        places[i] = places[j];
        places[j] = kept;
    }
}

void gemm_zipf_offsets(int n_experts, int64_t tokens, int64_t *offsets)
{
    int places[GEMM_MAX_EXPERTS];
    double total = 0, share = 0;
    int64_t counts[GEMM_MAX_EXPERTS], given = 0;
    for (int i = 0; i < n_experts; i++) total += 1.0 / (i + 1);
    for (int i = 0; i < n_experts; i++) {
        share += 1.0 / (i + 1);
        int64_t up_to = i == n_experts - 1 ? tokens : (int64_t)(tokens * (share / total) + 0.5);
        counts[i] = up_to - given;
        given = up_to;
    }
    shuffle(places, n_experts);
    offsets[0] = 0;
    for (int e = 0; e < n_experts; e++) offsets[e + 1] = offsets[e] + counts[places[e]];
}

/* SPDX-License-Identifier: MIT */
#include "gemm.h"

#include <math.h>
#include <stdlib.h>

double gemm_work(double flops)
{
    return flops + 2e9;
}

int gemm_best_library(const gemm_result *result)
{
    int best = 0;
    for (int i = 1; i < GEMM_MAX_LIBRARIES; i++)
        if (result->libraries[i].best > 0 &&
            result->libraries[i].best < result->libraries[best].best)
            best = i;
    return best;
}

double gemm_ratio(const gemm_result *result)
{
    return result->libraries[gemm_best_library(result)].best / result->ours.best;
}

double gemm_share(const gemm_result *result)
{
    return result->roof / result->ours.best;
}

double gemm_grouped_share(const gemm_result *result)
{
    double rate = (double)result->rows / result->ours.best;
    return rate / ((double)result->single_rows / result->single.best);
}

/* The fastest that any level's instructions can multiply. */
static double peak_of(const ringmoe_machine_ceilings *ceilings, ringmoe_precision precision)
{
    double peak = 0;
    for (int i = 0; i < ceilings->n_levels; i++) {
        const ringmoe_machine_peak *level = &ceilings->levels[i];
        if (!gemm_is_quantised(precision)) peak = fmax(peak, level->fp32_gflops);
        if (precision == RINGMOE_PRECISION_BF16) peak = fmax(peak, level->bf16_gflops);
        if (precision == RINGMOE_PRECISION_Q8_0) peak = fmax(peak, level->q8_gflops);
        if (precision == RINGMOE_PRECISION_Q4_0) peak = fmax(peak, level->q4_gflops);
    }
    return peak;
}

/* Weights are read once, those of experts without rows not at all; their gradient is written in
 * fp32, zeros for experts without rows. Activations are taken to lie in the caches. */
void gemm_result_describe(gemm_result *result, const int64_t *offsets)
{
    bool is_weight = result->operation == GEMM_BACKWARD_WEIGHT;
    double matrix = (double)result->shape.n_in * (double)result->shape.n_out;
    int n_touched = 0;
    for (int e = 0; e < result->n_experts; e++) {
        int64_t m = offsets[e + 1] - offsets[e];
        if (m > result->most_rows) result->most_rows = m;
        n_touched += m > 0 || is_weight;
    }
    result->flops = 2 * matrix * (double)result->rows;
    result->bytes = matrix * n_touched * (is_weight ? 4 : gemm_weight_bytes(result->precision));
}

static void set_roof(gemm_result *result, const ringmoe_machine_ceilings *ceilings,
                     bool is_warm)
{
    double speed = result->operation == GEMM_BACKWARD_WEIGHT ? ceilings->write_gb_per_s
                                                             : ceilings->read_gb_per_s;
    result->roof = result->flops / peak_of(ceilings, result->precision) * 1e-9;
    if (!is_warm) result->roof = fmax(result->roof, result->bytes / speed * 1e-9);
}

void gemm_results_set_roof(gemm_run *run)
{
    for (int i = 0; i < run->n_results; i++)
        for (int t = 0; t < run->plan.n_threads; t++)
            if (run->results[i].n_threads == run->plan.threads[t])
                set_roof(&run->results[i], &run->ceilings[t], run->plan.warm);
}

bool gemm_result_append(gemm_run *run, const gemm_result *result)
{
    if (run->n_results == run->capacity) {
        int capacity = run->capacity ? 2 * run->capacity : 256;
        gemm_result *grown = realloc(run->results, (size_t)capacity * sizeof *grown);
        if (!grown) return false;
        run->results = grown;
        run->capacity = capacity;
    }
    run->results[run->n_results++] = *result;
    return true;
}

/* SPDX-License-Identifier: MIT */
#include "tensor/compute.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/team.h"

/* "scalar, avx2": what a wrong level could have been. */
static void list_levels(char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = 0;
    for (const char *const *level = rm_kernels_levels(); *level; level++) {
        size_t length = strlen(*level) + (used ? 2 : 0);
        if (used + length >= bytes) return;
        if (used) strcat(text, ", ");
        strcat(text, *level);
        used += length;
    }
}

const char *rm_compute_level_asked_for(const char *level)
{
    const char *variable = getenv("RINGMOE_CPU");
    return level ? level : variable && variable[0] ? variable : NULL;
}

static ringmoe_status choose_kernels(const char *level, const rm_kernels **kernels,
                                     rm_error *error)
{
    const char *named = rm_compute_level_asked_for(level);
    *kernels = named ? rm_kernels_of_level(named) : rm_kernels_best();
    if (*kernels) return RINGMOE_OK;
    char available[128];
    list_levels(available, sizeof available);
    return rm_fail(
        error, RINGMOE_ERROR_ARGUMENT,
        "kernel level \"%.40s\"%s is not one this build and CPU can run; choose from: "
        "%s",
        named ? named : "", level ? "" : " (from RINGMOE_CPU)", available);
}

ringmoe_status rm_compute_init(rm_compute *compute, const char *level, int n_threads,
                               ringmoe_precision precision, rm_error *error)
{
    *compute = (rm_compute){0};
    if (n_threads < 0)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "n_threads is %d; it must be positive, or 0 for OpenMP's own choice",
                       n_threads);
    if (precision != RINGMOE_PRECISION_FP32 && precision != RINGMOE_PRECISION_BF16)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "precision is %d; it must be 0 (fp32) or 1 (bf16)", (int)precision);
    const rm_kernels *kernels;
    RM_TRY(choose_kernels(level, &kernels, error));
    int threads = n_threads ? n_threads : omp_get_max_threads();
    rm_arena scratch = {0};
    rm_arena_take(&scratch, threads, RM_SCRATCH_BYTES);
    RM_TRY(rm_arena_reserve(&scratch, scratch.used, error));
    *compute = (rm_compute){.kernels = kernels,
                            .n_threads = threads,
                            .precision = precision,
                            .scratch = scratch,
                            .team = rm_team_create()};
    if (compute->team) return RINGMOE_OK;
    rm_compute_free(compute);
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a team of %d threads", threads);
}

void rm_compute_free(rm_compute *compute)
{
    rm_arena_free(&compute->scratch);
    rm_team_free(compute->team);
    *compute = (rm_compute){0};
}

void *rm_compute_scratch(const rm_compute *compute)
{
    return compute->scratch.base + (size_t)omp_get_thread_num() * RM_SCRATCH_BYTES;
}

void rm_rows_run(const rm_compute *compute, int64_t n_rows, rm_row_function *run, void *user)
{
    bool is_short = n_rows <= RM_ROWS_AT_ONCE;
    /* Scratch goes by the thread's number, which a caller from a region of its own brings. */
    if (is_short && omp_get_thread_num() == 0) {
        for (int64_t row = 0; row < n_rows; row++) run(user, row);
        return;
    }
    int n_threads = is_short ? 1 : compute->n_threads;
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, RM_ROWS_AT_ONCE)
    for (int64_t row = 0; row < n_rows; row++) run(user, row);
}

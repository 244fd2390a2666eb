/* SPDX-License-Identifier: MIT
 *
 * Our own grouped products: packed matrices, one set of them for each set of weights.
 */
#include "gemm.h"

#include <stdlib.h>

typedef struct ours {
    const gemm_problem *problem;
    ringmoe_context *context;
    ringmoe_matrices **sets; /* [problem->n_sets] */
    const int64_t *offsets;
} ours;

static void close_ours(void *state)
{
    ours *o = state;
    for (int i = 0; o->sets && i < o->problem->n_sets; i++)
        ringmoe_matrices_destroy(&o->sets[i]);
    free(o->sets);
    ringmoe_context_destroy(&o->context);
    free(o);
}

static ringmoe_status open_context(ours *o)
{
    ringmoe_context_settings settings;
    ringmoe_context_settings_default(&settings);
    settings.n_threads = o->problem->n_threads;
    if (!gemm_is_quantised(o->problem->precision)) settings.precision = o->problem->precision;
    return ringmoe_context_create(MPI_COMM_SELF, &settings, &o->context);
}

static ringmoe_status pack_set(ours *o, int set)
{
    const gemm_problem *problem = o->problem;
    int64_t n_weights = problem->n_experts * problem->shape.n_out * problem->shape.n_in;
    ringmoe_status status =
        gemm_is_quantised(problem->precision)
            ? ringmoe_matrices_create_in(o->context, problem->n_experts, problem->shape.n_out,
                                         problem->shape.n_in, problem->precision, &o->sets[set])
            : ringmoe_matrices_create(o->context, problem->n_experts, problem->shape.n_out,
                                      problem->shape.n_in,
                                      problem->operation == GEMM_BACKWARD_INPUT, &o->sets[set]);
    if (status != RINGMOE_OK || problem->operation == GEMM_BACKWARD_WEIGHT) return status;
    return ringmoe_matrices_pack(o->sets[set], problem->weights + set * n_weights);
}

static void *open_ours(const gemm_problem *problem, char error[256])
{
    ours *o = calloc(1, sizeof *o);
    ringmoe_status status = RINGMOE_ERROR_MEMORY;
    if (!o) return NULL;
    o->problem = problem;
    o->sets = calloc((size_t)problem->n_sets, sizeof(ringmoe_matrices *));
    if (o->sets) status = open_context(o);
    for (int i = 0; status == RINGMOE_OK && i < problem->n_sets; i++) status = pack_set(o, i);
    if (status == RINGMOE_OK) return o;
    snprintf(error, 256, "%s",
             o->context ? ringmoe_context_error(o->context) : ringmoe_status_text(status));
    close_ours(o);
    return NULL;
}

static bool prepare_ours(void *state, const int64_t *offsets)
{
    ((ours *)state)->offsets = offsets;
    return true;
}

static bool run_ours(void *state, int set)
{
    ours *o = state;
    const gemm_problem *p = o->problem;
    ringmoe_matrices *matrices = o->sets[set];
    int64_t n_weights = p->n_experts * p->shape.n_out * p->shape.n_in;
    switch (p->operation) {
    case GEMM_FORWARD:
        return !ringmoe_matrices_forward(matrices, o->offsets, p->x, NULL, p->y, NULL);
    case GEMM_BACKWARD_INPUT:
        return !ringmoe_matrices_backward_input(matrices, o->offsets, p->d_y, NULL, p->d_x,
                                                NULL);
    default:
        return !ringmoe_matrices_backward_weight(matrices, o->offsets, p->d_y, NULL, p->x, NULL,
                                                 0, p->d_w + set * n_weights);
    }
}

static const char *note_ours(const void *state)
{
    return "";
}

const gemm_contender gemm_ours = {.name = "ours",
                                  .key = "ours",
                                  .open = open_ours,
                                  .prepare = prepare_ours,
                                  .run = run_ours,
                                  .note = note_ours,
                                  .close = close_ours};

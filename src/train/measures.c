/* SPDX-License-Identifier: MIT */
#include "train/measures.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { LOSS, BALANCE, Z_LOSS, DROPPED, BAD_LAYER, N_FIGURES };

int64_t rm_measures_counts(const rm_measures *measures)
{
    return (int64_t)measures->n_layers * measures->n_experts;
}

ringmoe_status rm_measures_create(rm_measures *measures, const ringmoe_model_config *config,
                                  int n_microbatches, rm_error *error)
{
    *measures = (rm_measures){
        n_microbatches, config->num_hidden_layers, config->num_local_experts, NULL, NULL, NULL};
    if (n_microbatches > INT_MAX / N_FIGURES)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "%d microbatches in a global batch are too many (at most %d); raise "
                       "microbatch",
                       n_microbatches, INT_MAX / N_FIGURES);
    measures->rows = calloc((size_t)n_microbatches * N_FIGURES, sizeof *measures->rows);
    measures->counts =
        calloc((size_t)rm_measures_counts(measures) + 1, sizeof *measures->counts);
    measures->last_counts =
        calloc((size_t)rm_measures_counts(measures) + 1, sizeof *measures->last_counts);
    if (measures->rows && measures->counts && measures->last_counts) return RINGMOE_OK;
    rm_measures_free(measures);
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the figures of %d microbatches",
                   n_microbatches);
}

void rm_measures_free(rm_measures *measures)
{
    free(measures->rows);
    free(measures->counts);
    free(measures->last_counts);
    *measures = (rm_measures){0};
}

void rm_measures_clear(rm_measures *measures)
{
    memset(measures->rows, 0,
           (size_t)measures->n_microbatches * N_FIGURES * sizeof *measures->rows);
    memset(measures->counts, 0,
           (size_t)rm_measures_counts(measures) * sizeof *measures->counts);
}

void rm_measures_record(rm_measures *measures, int64_t microbatch, const rm_pass_result *result)
{
    double *row = measures->rows + microbatch * N_FIGURES;
    row[LOSS] = result->loss;
    row[BALANCE] = result->balance_loss;
    row[Z_LOSS] = result->z_loss;
    row[DROPPED] = (double)result->n_dropped;
    row[BAD_LAYER] = result->first_bad_layer;
}

/* A row is zero on all ranks but one, so its sum over the ranks is exact in any order. */
ringmoe_status rm_measures_gather(rm_measures *measures, const ringmoe_mesh *mesh)
{
    ringmoe_context *context = mesh->context;
    double start = rm_clock_seconds();
    RM_TRY(rm_allreduce(&mesh->dense, measures->rows, measures->n_microbatches * N_FIGURES,
                        MPI_DOUBLE, MPI_SUM, &context->error));
    RM_TRY(rm_allreduce(&mesh->dense, measures->counts, (int)rm_measures_counts(measures),
                        MPI_INT64_T, MPI_SUM, &context->error));
    context->times.wait += rm_clock_seconds() - start;
    return RINGMOE_OK;
}

void rm_measures_finish(rm_measures *measures)
{
    memcpy(measures->last_counts, measures->counts,
           (size_t)rm_measures_counts(measures) * sizeof *measures->last_counts);
}

static double mean_of(const rm_measures *measures, int figure)
{
    double sum = 0;
    for (int m = 0; m < measures->n_microbatches; m++)
        sum += measures->rows[m * N_FIGURES + figure];
    return sum / measures->n_microbatches;
}

static double load_max_over_mean(const int64_t *counts, int n_experts)
{
    int64_t most = 0, sum = 0;
    for (int e = 0; e < n_experts; e++) {
        sum += counts[e];
        if (counts[e] > most) most = counts[e];
    }
    return sum ? (double)most * n_experts / (double)sum : 0;
}

void rm_measures_summarize(const rm_measures *measures, ringmoe_step_metrics *metrics)
{
    metrics->loss = mean_of(measures, LOSS);
    metrics->balance_loss = mean_of(measures, BALANCE);
    metrics->z_loss = mean_of(measures, Z_LOSS);
    metrics->n_dropped = 0;
    for (int m = 0; m < measures->n_microbatches; m++)
        metrics->n_dropped += (int64_t)measures->rows[m * N_FIGURES + DROPPED];
    metrics->load_max_over_mean = 0;
    for (int layer = 0; layer < measures->n_layers; layer++) {
        double load = load_max_over_mean(
            measures->counts + (int64_t)layer * measures->n_experts, measures->n_experts);
        if (load > metrics->load_max_over_mean) metrics->load_max_over_mean = load;
    }
}

rm_place_text rm_bad_place(int first_bad_layer, int n_layers)
{
    rm_place_text place = {"the losses"};
    if (first_bad_layer >= n_layers)
        snprintf(place.text, sizeof place.text, "the output head");
    else if (first_bad_layer >= 0)
        snprintf(place.text, sizeof place.text, "layer %d", first_bad_layer);
    return place;
}

ringmoe_status rm_measures_check(const rm_measures *measures, int64_t step, rm_error *error)
{
    for (int m = 0; m < measures->n_microbatches; m++) {
        const double *row = measures->rows + m * N_FIGURES;
        int layer = (int)row[BAD_LAYER];
        if (isfinite(row[LOSS]) && isfinite(row[BALANCE]) && isfinite(row[Z_LOSS]) && layer < 0)
            continue;
        return rm_fail(error, RINGMOE_ERROR_NUMERIC,
                       "step %lld: the loss of microbatch %d is %g; the first numbers that are "
                       "not finite come from %s; the weights are those before the step: try a "
                       "lower lr",
                       (long long)step, m, row[LOSS],
                       rm_bad_place(layer, measures->n_layers).text);
    }
    return RINGMOE_OK;
}

/* SPDX-License-Identifier: MIT */
#include "train/measures.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum {
    LOSS,
    DROPPED,
    N_BAD,
    N_FIGURES,
    LAYER_FIGURES = sizeof(rm_layer_losses) / sizeof(double)
};

int64_t rm_measures_counts(const rm_measures *measures)
{
    return (int64_t)measures->n_layers * measures->n_experts;
}

static void take_arrays(rm_measures *measures)
{
    int64_t n_counts = rm_measures_counts(measures), n = measures->n_microbatches;
    int64_t n_layer_figures = n * measures->n_layers * LAYER_FIGURES;
    measures->n_gathered = n * N_FIGURES + n_layer_figures + n_counts;
    measures->gathered = calloc((size_t)measures->n_gathered, sizeof(double));
    measures->bad_layers = calloc((size_t)n, sizeof *measures->bad_layers);
    measures->counts = calloc((size_t)n_counts + 1, sizeof *measures->counts);
    measures->last_counts = calloc((size_t)n_counts + 1, sizeof *measures->last_counts);
    if (!measures->gathered) return;
    measures->rows = measures->gathered;
    measures->layers = (rm_layer_losses *)(measures->rows + n * N_FIGURES);
    measures->gathered_counts = measures->rows + n * N_FIGURES + n_layer_figures;
}

ringmoe_status rm_measures_create(rm_measures *measures, const ringmoe_model_config *config,
                                  int n_microbatches, rm_error *error)
{
    *measures = (rm_measures){.n_microbatches = n_microbatches,
                              .n_layers = config->num_hidden_layers,
                              .n_moe_layers = rm_moe_layer_count(config),
                              .n_experts = config->num_local_experts};
    take_arrays(measures);
    if (measures->gathered && measures->bad_layers && measures->counts && measures->last_counts)
        return RINGMOE_OK;
    rm_measures_free(measures);
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the figures of %d microbatches",
                   n_microbatches);
}

void rm_measures_free(rm_measures *measures)
{
    free(measures->gathered);
    free(measures->bad_layers);
    free(measures->counts);
    free(measures->last_counts);
    *measures = (rm_measures){0};
}

void rm_measures_clear(rm_measures *measures)
{
    memset(measures->gathered, 0, (size_t)measures->n_gathered * sizeof(double));
    memset(measures->counts, 0,
           (size_t)rm_measures_counts(measures) * sizeof *measures->counts);
    for (int m = 0; m < measures->n_microbatches; m++) measures->bad_layers[m] = INT32_MAX;
}

rm_layer_losses *rm_measures_layers(const rm_measures *measures, int64_t microbatch)
{
    return measures->layers + microbatch * measures->n_layers;
}

void rm_measures_record(rm_measures *measures, int64_t microbatch, const rm_pass_result *result)
{
    double *row = measures->rows + microbatch * N_FIGURES;
    int32_t *bad = &measures->bad_layers[microbatch];
    row[LOSS] += result->loss;
    row[DROPPED] += (double)result->n_dropped;
    if (result->first_bad_layer < 0) return;
    row[N_BAD]++;
    if (result->first_bad_layer < *bad) *bad = result->first_bad_layer;
}

/* Sums of doubles; each is not 0 on one rank alone, or a whole number below 2^53, so that they
 * are exact in any order. */
static ringmoe_status sum_gathered(rm_measures *measures, const rm_axis *world, rm_error *error)
{
    enum { PIECE = 1 << 24 };
    for (int64_t done = 0; done < measures->n_gathered; done += PIECE) {
        int64_t left = measures->n_gathered - done;
        RM_TRY(rm_allreduce(world, measures->gathered + done,
                            (int)(left < PIECE ? left : PIECE), MPI_DOUBLE, MPI_SUM, error));
    }
    return RINGMOE_OK;
}

/* Only asked for if something is wrong somewhere, which by now all ranks know. */
static ringmoe_status find_bad_layers(rm_measures *measures, const rm_axis *world,
                                      rm_error *error)
{
    double n_bad = 0;
    for (int m = 0; m < measures->n_microbatches; m++)
        n_bad += measures->rows[m * N_FIGURES + N_BAD];
    if (n_bad == 0) return RINGMOE_OK;
    return rm_allreduce(world, measures->bad_layers, measures->n_microbatches, MPI_INT32_T,
                        MPI_MIN, error);
}

ringmoe_status rm_measures_gather(rm_measures *measures, const ringmoe_mesh *mesh)
{
    ringmoe_context *context = mesh->context;
    const rm_axis *world = &context->world;
    double start = rm_clock_seconds();
    int64_t n_counts = rm_measures_counts(measures);
    for (int64_t i = 0; i < n_counts; i++)
        measures->gathered_counts[i] = (double)measures->counts[i];
    if (mesh->tensor.rank != 0)
        memset(measures->gathered, 0, (size_t)measures->n_gathered * sizeof(double));
    RM_TRY(sum_gathered(measures, world, &context->error));
    RM_TRY(find_bad_layers(measures, world, &context->error));
    for (int64_t i = 0; i < n_counts; i++)
        measures->counts[i] = (int64_t)measures->gathered_counts[i];
    context->times.wait += rm_clock_seconds() - start;
    return RINGMOE_OK;
}

void rm_measures_finish(rm_measures *measures)
{
    memcpy(measures->last_counts, measures->counts,
           (size_t)rm_measures_counts(measures) * sizeof *measures->last_counts);
}

static double sum_of(const rm_measures *measures, int figure)
{
    double sum = 0;
    for (int m = 0; m < measures->n_microbatches; m++)
        sum += measures->rows[m * N_FIGURES + figure];
    return sum;
}

/* Means over the MoE layers of one microbatch. */
static rm_layer_losses losses_of(const rm_measures *measures, int microbatch)
{
    rm_layer_losses mean = {0};
    const rm_layer_losses *layers = rm_measures_layers(measures, microbatch);
    if (measures->n_moe_layers == 0) return mean;
    for (int layer = 0; layer < measures->n_layers; layer++) {
        mean.balance_loss += layers[layer].balance_loss;
        mean.z_loss += layers[layer].z_loss;
    }
    mean.balance_loss /= measures->n_moe_layers;
    mean.z_loss /= measures->n_moe_layers;
    return mean;
}

ringmoe_layer_load rm_load_of(const int64_t *counts, int n_experts)
{
    ringmoe_layer_load load = {0};
    int64_t most = 0;
    double squares = 0;
    for (int e = 0; e < n_experts; e++) {
        load.n_tokens += counts[e];
        load.dead_experts += counts[e] == 0;
        if (counts[e] > most) most = counts[e];
    }
    if (load.n_tokens == 0) return (ringmoe_layer_load){0};
    double mean = (double)load.n_tokens / n_experts;
    for (int e = 0; e < n_experts; e++)
        squares += ((double)counts[e] - mean) * ((double)counts[e] - mean);
    load.max_over_mean = (double)most * n_experts / (double)load.n_tokens;
    load.cv = sqrt(squares / n_experts) / mean;
    return load;
}

static void summarize_load(const rm_measures *measures, ringmoe_step_metrics *metrics)
{
    metrics->load_max_over_mean = metrics->load_cv = 0;
    metrics->dead_experts = 0;
    for (int layer = 0; layer < measures->n_layers; layer++) {
        ringmoe_layer_load load = rm_load_of(
            measures->counts + (int64_t)layer * measures->n_experts, measures->n_experts);
        if (load.max_over_mean > metrics->load_max_over_mean)
            metrics->load_max_over_mean = load.max_over_mean;
        if (load.cv > metrics->load_cv) metrics->load_cv = load.cv;
        metrics->dead_experts += load.dead_experts;
    }
}

void rm_measures_summarize(const rm_measures *measures, ringmoe_step_metrics *metrics)
{
    rm_layer_losses sum = {0};
    for (int m = 0; m < measures->n_microbatches; m++) {
        rm_layer_losses losses = losses_of(measures, m);
        sum.balance_loss += losses.balance_loss;
        sum.z_loss += losses.z_loss;
    }
    metrics->loss = sum_of(measures, LOSS) / measures->n_microbatches;
    metrics->balance_loss = sum.balance_loss / measures->n_microbatches;
    metrics->z_loss = sum.z_loss / measures->n_microbatches;
    metrics->n_dropped = (int64_t)sum_of(measures, DROPPED);
    summarize_load(measures, metrics);
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
        rm_layer_losses losses = losses_of(measures, m);
        if (isfinite(row[LOSS]) && isfinite(losses.balance_loss) && isfinite(losses.z_loss) &&
            row[N_BAD] == 0)
            continue;
        return rm_fail(
            error, RINGMOE_ERROR_NUMERIC,
            "step %lld: the loss of microbatch %d is %g; the first numbers that are "
            "not finite come from %s; the weights are those before the step: try a "
            "lower lr",
            (long long)step, m, row[LOSS],
            rm_bad_place(row[N_BAD] > 0 ? measures->bad_layers[m] : -1, measures->n_layers)
                .text);
    }
    return RINGMOE_OK;
}

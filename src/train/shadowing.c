/* SPDX-License-Identifier: MIT */
#include "train/shadowing.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "train/gradients.h"

ringmoe_status rm_shadowing_create(rm_shadowing *shadowing, const ringmoe_model_config *config,
                                   rm_error *error)
{
    *shadowing = (rm_shadowing){.n_layers = config->num_hidden_layers,
                                .n_model_experts = config->num_local_experts};
    size_t n = (size_t)shadowing->n_layers;
    shadowing->layers = calloc(n, sizeof *shadowing->layers);
    shadowing->counts =
        calloc(n * (size_t)shadowing->n_model_experts + 1, sizeof *shadowing->counts);
    if (shadowing->layers && shadowing->counts) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the copies of %d layers",
                   shadowing->n_layers);
}

void rm_shadowing_free(rm_shadowing *shadowing)
{
    free(shadowing->layers);
    free(shadowing->counts);
    *shadowing = (rm_shadowing){0};
}

/* An expert travels as one message. */
static bool is_possible(const ringmoe_mesh *mesh, const ringmoe_model_config *config)
{
    return mesh->expert.size > 1 &&
           3 * (int64_t)config->hidden_size * config->intermediate_size <= INT_MAX;
}

static rm_shadow_costs costs_of(const rm_shadowing *shadowing, const ringmoe_mesh *mesh,
                                const ringmoe_model_config *config, int n_microbatches)
{
    double row_bytes = (double)config->hidden_size * (double)sizeof(rm_real);
    return (rm_shadow_costs){
        .n_experts = config->num_local_experts,
        .expert_ranks = mesh->expert.size,
        .n_replicas = mesh->data.size,
        .n_microbatches = n_microbatches / mesh->dense.size,
        .row_bytes = row_bytes,
        .expert_bytes = 3 * row_bytes * config->intermediate_size / mesh->tensor.size,
        .row_seconds = shadowing->rates.row.seconds,
        .byte_seconds = shadowing->rates.byte.seconds,
        .copied_byte_seconds = rm_shadow_rates_copied_byte(&shadowing->rates)};
}

/* The last step counts as much as all before it. */
static void smooth(rm_shadowing *shadowing, const int64_t *last_counts)
{
    int64_t n = (int64_t)shadowing->n_layers * shadowing->n_model_experts, total = 0;
    for (int64_t i = 0; i < n; i++) total += last_counts[i];
    if (total == 0) return;
    for (int64_t i = 0; i < n; i++) {
        double count = (double)last_counts[i];
        shadowing->counts[i] =
            shadowing->has_counts ? (shadowing->counts[i] + count) / 2 : count;
    }
    shadowing->has_counts = true;
}

static void decide(rm_shadowing *shadowing, int64_t shadow, const rm_shadow_costs *costs)
{
    for (int layer = 0; layer < shadowing->n_layers; layer++) {
        const double *counts = shadowing->counts + (int64_t)layer * costs->n_experts;
        rm_shadows *shadows = &shadowing->layers[layer];
        *shadows = shadow == RINGMOE_SHADOW_ON ? rm_shadows_hottest(costs->n_experts, counts)
                                               : rm_shadows_worthwhile(costs, counts, shadows);
    }
}

ringmoe_status rm_shadowing_begin(rm_shadowing *shadowing,
                                  const ringmoe_train_settings *settings, ringmoe_model *model,
                                  int n_microbatches, const int64_t *last_counts)
{
    const ringmoe_mesh *mesh = rm_model_mesh(model);
    const ringmoe_model_config *config = ringmoe_model_get_config(model);
    rm_error *error = &mesh->context->error;
    size_t bytes = (size_t)shadowing->n_layers * sizeof *shadowing->layers;
    shadowing->n_experts = 0;
    if (settings->shadow == RINGMOE_SHADOW_OFF || !is_possible(mesh, config)) return RINGMOE_OK;
    rm_shadow_costs costs = costs_of(shadowing, mesh, config, n_microbatches);
    smooth(shadowing, last_counts);
    if (mesh->context->world.rank == 0) decide(shadowing, settings->shadow, &costs);
    RM_TRY(
        rm_broadcast(&mesh->context->world, shadowing->layers, (int)bytes, MPI_BYTE, 0, error));
    for (int layer = 0; layer < shadowing->n_layers; layer++)
        shadowing->n_experts += shadowing->layers[layer].n;
    return shadowing->n_experts ? rm_model_share_experts(model, shadowing->layers) : RINGMOE_OK;
}

void rm_shadowing_end(rm_shadowing *shadowing, ringmoe_model *model,
                      const ringmoe_comm_times *times)
{
    rm_shadow_sample *sample = &shadowing->sample;
    if (shadowing->n_experts) rm_model_share_experts(model, NULL);
    sample->expert_seconds = times->experts;
    sample->expert_rows = (double)times->expert_rows;
    sample->exchange_seconds = times->tokens;
    sample->exchange_bytes = (double)(times->bytes_within_node + times->bytes_between_nodes);
    sample->copy_seconds = times->copies;
    sample->copy_bytes = (double)times->bytes_copies;
}

void rm_shadowing_gathered(rm_shadowing *shadowing, double seconds, int64_t bytes)
{
    shadowing->sample.gather_seconds = seconds;
    shadowing->sample.gather_bytes = (double)bytes;
}

/* --- rates --- */

_Static_assert(RM_N_RANK_FIGURES - RM_FIGURE_SHADOWS ==
                   sizeof(rm_shadow_sample) / sizeof(double),
               "a sample is handed round as so many figures");

void rm_shadowing_tell(const rm_shadowing *shadowing, double *figures)
{
    memcpy(figures + RM_FIGURE_SHADOWS, &shadowing->sample, sizeof shadowing->sample);
}

void rm_shadowing_learn(rm_shadowing *shadowing, const double *figures, int n_ranks)
{
    rm_shadow_step step = {0};
    for (int rank = 0; rank < n_ranks; rank++) {
        rm_shadow_sample sample;
        memcpy(&sample, figures + rank * RM_N_RANK_FIGURES + RM_FIGURE_SHADOWS, sizeof sample);
        rm_shadow_step_add(&step, &sample);
    }
    rm_shadow_rates_learn(&shadowing->rates, &step);
}

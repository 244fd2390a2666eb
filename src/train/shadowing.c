/* SPDX-License-Identifier: MIT */
#include "train/shadowing.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "train/gradients.h"

ringmoe_status rm_shadowing_create(rm_shadowing *shadowing, const ringmoe_model_config *config,
                                   rm_error *error)
{
    *shadowing = (rm_shadowing){.n_layers = config->num_hidden_layers};
    shadowing->layers = calloc((size_t)shadowing->n_layers, sizeof *shadowing->layers);
    if (shadowing->layers) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the copies of %d layers",
                   shadowing->n_layers);
}

void rm_shadowing_free(rm_shadowing *shadowing)
{
    free(shadowing->layers);
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
    return (rm_shadow_costs){.n_experts = config->num_local_experts,
                             .expert_ranks = mesh->expert.size,
                             .n_replicas = mesh->data.size,
                             .n_microbatches = n_microbatches / mesh->dense.size,
                             .row_bytes = row_bytes,
                             .expert_bytes =
                                 3 * row_bytes * config->intermediate_size / mesh->tensor.size,
                             .row_seconds = shadowing->row_seconds,
                             .byte_seconds = shadowing->byte_seconds};
}

static void decide(rm_shadowing *shadowing, int64_t shadow, const rm_shadow_costs *costs,
                   const int64_t *last_counts)
{
    for (int layer = 0; layer < shadowing->n_layers; layer++) {
        const int64_t *counts = last_counts + (int64_t)layer * costs->n_experts;
        shadowing->layers[layer] = shadow == RINGMOE_SHADOW_ON
                                       ? rm_shadows_hottest(costs->n_experts, counts)
                                       : rm_shadows_worthwhile(costs, counts);
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
    memset(shadowing->layers, 0, bytes);
    if (mesh->context->world.rank == 0)
        decide(shadowing, settings->shadow, &costs, last_counts);
    RM_TRY(
        rm_broadcast(&mesh->context->world, shadowing->layers, (int)bytes, MPI_BYTE, 0, error));
    for (int layer = 0; layer < shadowing->n_layers; layer++)
        shadowing->n_experts += shadowing->layers[layer].n;
    return shadowing->n_experts ? rm_model_share_experts(model, shadowing->layers) : RINGMOE_OK;
}

void rm_shadowing_end(rm_shadowing *shadowing, ringmoe_model *model,
                      const ringmoe_comm_times *times)
{
    if (shadowing->n_experts) rm_model_share_experts(model, NULL);
    shadowing->expert_seconds = times->experts;
    shadowing->expert_rows = (double)times->expert_rows;
    shadowing->exchange_seconds = times->exchange;
    shadowing->copied_bytes = (double)times->bytes_copies;
}

/* --- rates --- */

void rm_shadowing_tell(const rm_shadowing *shadowing, double *figures)
{
    figures[RM_FIGURE_EXPERT_SECONDS] = shadowing->expert_seconds;
    figures[RM_FIGURE_EXPERT_ROWS] = shadowing->expert_rows;
    figures[RM_FIGURE_EXCHANGE_SECONDS] = shadowing->exchange_seconds;
    figures[RM_FIGURE_BYTES_COPIES] = shadowing->copied_bytes;
}

/* Three forward passes' worth a row. */
void rm_shadowing_learn(rm_shadowing *shadowing, const double *figures, int n_ranks)
{
    double sums[RM_N_RANK_FIGURES] = {0};
    for (int i = 0; i < n_ranks * RM_N_RANK_FIGURES; i++)
        sums[i % RM_N_RANK_FIGURES] += figures[i];
    double rows = sums[RM_FIGURE_EXPERT_ROWS];
    double bytes = sums[RM_FIGURE_BYTES_WITHIN] + sums[RM_FIGURE_BYTES_BETWEEN] +
                   sums[RM_FIGURE_BYTES_COPIES];
    shadowing->row_seconds = rows > 0 ? sums[RM_FIGURE_EXPERT_SECONDS] / (3 * rows) : 0;
    shadowing->byte_seconds = bytes > 0 ? sums[RM_FIGURE_EXCHANGE_SECONDS] / bytes : 0;
}

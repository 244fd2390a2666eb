/* SPDX-License-Identifier: MIT */
#include "train/stages.h"

#include "pipeline/lists.h"
#include "train/costs.h"

/* Layers all of one kind divide evenly, and the head is so small that no layer would be moved
 * for its sake: products of a token are a measure good enough to see that. */
static bool is_even(const ringmoe_model_config *config, int n_stages)
{
    int n_layers = config->num_hidden_layers;
    for (int layer = 1; layer < n_layers; layer++)
        if (rm_layer_is_dense(config, layer) != rm_layer_is_dense(config, 0)) return false;
    double head = (double)config->vocab_size * config->hidden_size;
    double all = (double)ringmoe_model_config_active_parameters(config);
    return n_layers % n_stages == 0 && head < 0.25 * all / n_layers;
}

static ringmoe_status cut_by_cost(rm_partition *partition, ringmoe_mesh *mesh,
                                  const ringmoe_model_config *config,
                                  const ringmoe_train_settings *settings)
{
    rm_costs measured;
    double costs[RINGMOE_MAX_LAYERS];
    RM_TRY(rm_costs_measure(mesh, config, settings, &measured));
    for (int layer = 0; layer < config->num_hidden_layers; layer++)
        costs[layer] = rm_layer_is_dense(config, layer) ? measured.dense : measured.moe;
    return ringmoe_partition_layers(mesh->context, costs, config->num_hidden_layers, 0,
                                    measured.head, partition->n_stages, partition->bounds);
}

/* A word, once, of what is allowed but hardly meant. A stage of the head alone, where that
 * costs more than layers do, is no such thing. */
static void tell_of_empty_stages(const rm_partition *partition, const ringmoe_mesh *mesh,
                                 int n_layers)
{
    int n_empty = 0;
    if (n_layers >= partition->n_stages) return;
    for (int stage = 0; stage < partition->n_stages; stage++)
        n_empty += partition->bounds[stage] == partition->bounds[stage + 1];
    if (mesh->context->world.rank == 0)
        rm_log(mesh->context, RINGMOE_LOG_WARNING,
               "%d of %d pipeline stages have no layer: take fewer pipeline ranks or chunks",
               n_empty, partition->n_stages);
}

/* May fail on some ranks only. */
static ringmoe_status cut(rm_partition *partition, ringmoe_mesh *mesh,
                          const ringmoe_model_config *config,
                          const ringmoe_train_settings *settings)
{
    int n_pipeline = mesh->pipeline.size;
    *partition = (rm_partition){.n_stages = n_pipeline * (int)settings->chunks,
                                .n_pipeline = n_pipeline};
    rm_partition_evenly(partition, config->num_hidden_layers);
    if (n_pipeline > 1 && !is_even(config, partition->n_stages))
        RM_TRY(cut_by_cost(partition, mesh, config, settings));
    tell_of_empty_stages(partition, mesh, config->num_hidden_layers);
    return RINGMOE_OK;
}

ringmoe_status rm_stages_create(rm_stages *stages, ringmoe_mesh *mesh,
                                const ringmoe_model_config *config,
                                const ringmoe_train_settings *settings, int n_microbatches)
{
    ringmoe_context *context = mesh->context;
    *stages = (rm_stages){0};
    ringmoe_status status = cut(&stages->partition, mesh, config, settings);
    if (status == RINGMOE_OK)
        status =
            ringmoe_schedule_create(context, settings->schedule, mesh->pipeline.size,
                                    n_microbatches, (int)settings->chunks, &stages->schedule);
    return rm_agree(&context->world, status, &context->error);
}

ringmoe_status rm_stages_connect(rm_stages *stages, ringmoe_mesh *mesh, int64_t n_elements)
{
    ringmoe_context *context = mesh->context;
    ringmoe_status status =
        ringmoe_pipeline_create(mesh, stages->schedule, n_elements, &stages->pipeline);
    return rm_agree(&context->world, status, &context->error);
}

void rm_stages_free(rm_stages *stages)
{
    ringmoe_pipeline_destroy(&stages->pipeline);
    ringmoe_schedule_destroy(&stages->schedule);
    *stages = (rm_stages){0};
}

void rm_stages_model_settings(const rm_stages *stages, const ringmoe_mesh *mesh,
                              rm_model_settings *settings)
{
    int rank = mesh->pipeline.rank;
    settings->partition = stages->partition;
    for (int chunk = 0; chunk < stages->partition.n_stages / stages->partition.n_pipeline;
         chunk++)
        settings->n_slots[chunk] = ringmoe_schedule_slots(stages->schedule, rank, chunk);
    settings->split_backward = rm_schedule_is_split(stages->schedule, rank);
}

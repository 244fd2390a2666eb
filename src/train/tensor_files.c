/* SPDX-License-Identifier: MIT */
#include "train/tensor_files.h"

#include <stdio.h>
#include <stdlib.h>

#include "train/manifest.h"

int rm_tensor_entries_most(const ringmoe_trainer *trainer)
{
    return 2 * rm_model_parameters(trainer->model)->n_parameters +
           ringmoe_model_get_config(trainer->model)->num_hidden_layers;
}

static rm_tensor_entry entry_of(const rm_parameter *parameter, const char *prefix)
{
    rm_tensor_entry entry = {.dtype = RM_DTYPE_REAL, .n_dims = parameter->n_dims};
    snprintf(entry.name, sizeof entry.name, "%s%s", prefix, parameter->name);
    for (int i = 0; i < parameter->n_dims; i++) entry.shape[i] = parameter->shape[i];
    return entry;
}

bool rm_has_router_bias(const ringmoe_trainer *trainer, int layer)
{
    return rm_model_router_bias(trainer->model) &&
           !ringmoe_model_get_config(trainer->model)->is_dense_layer[layer];
}

static int list_weights(const ringmoe_trainer *trainer, rm_tensor_entry *entries)
{
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    const ringmoe_model_config *config = ringmoe_model_get_config(trainer->model);
    int n = 0;
    for (int i = 0; i < table->n_parameters; i++)
        if (!table->parameters[i].tied) entries[n++] = entry_of(&table->parameters[i], "");
    for (int layer = 0; layer < config->num_hidden_layers; layer++) {
        if (!rm_has_router_bias(trainer, layer)) continue;
        entries[n] = (rm_tensor_entry){
            .dtype = RM_DTYPE_REAL, .n_dims = 1, .shape = {config->num_local_experts}};
        snprintf(entries[n].name, sizeof entries[n].name, RM_ROUTER_BIAS_NAME, layer);
        n++;
    }
    return n;
}

static int list_moments(const ringmoe_trainer *trainer, rm_tensor_entry *entries)
{
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    int n = 0;
    for (int i = 0; i < table->n_parameters; i++) {
        if (table->parameters[i].tied) continue;
        entries[n++] = entry_of(&table->parameters[i], RM_MOMENT1_PREFIX);
        entries[n++] = entry_of(&table->parameters[i], RM_MOMENT2_PREFIX);
    }
    return n;
}

/* The data of list_weights' entries, in their order. */
static ringmoe_status collect_weights(const ringmoe_trainer *trainer, rm_collector *collector)
{
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    const ringmoe_model_config *config = ringmoe_model_get_config(trainer->model);
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *parameter = &table->parameters[i];
        rm_share share = rm_share_of_weights(trainer, parameter);
        const rm_real *values = share.n ? rm_model_weights(trainer->model, parameter) : NULL;
        if (!parameter->tied) RM_TRY(rm_collect(collector, parameter, share, values));
    }
    for (int layer = 0; layer < config->num_hidden_layers; layer++)
        if (rm_has_router_bias(trainer, layer))
            rm_collect_own(collector,
                           rm_model_router_bias(trainer->model) +
                               (int64_t)layer * config->num_local_experts,
                           config->num_local_experts);
    return RINGMOE_OK;
}

static ringmoe_status collect_moments(const ringmoe_trainer *trainer, rm_collector *collector)
{
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    rm_real *const *const moments[] = {trainer->optimizer.moments1,
                                       trainer->optimizer.moments2};
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *parameter = &table->parameters[i];
        rm_share share = rm_share_of_shards(trainer, parameter);
        for (int which = 0; which < 2 && !parameter->tied; which++)
            RM_TRY(rm_collect(
                collector, parameter, share,
                share.n ? rm_shards_at(trainer, moments[which], parameter, share.first)
                        : NULL));
    }
    return RINGMOE_OK;
}

/* On rank 0: opens the file with its list of entries. */
static ringmoe_status open_tensors(const ringmoe_trainer *trainer, const rm_tensor_file *file,
                                   const char *folder, rm_collector *collector)
{
    char *path = rm_path_join(folder, file->name);
    rm_tensor_entry *entries = calloc((size_t)rm_tensor_entries_most(trainer), sizeof *entries);
    ringmoe_status status;
    if (path && entries)
        status = rm_safetensors_create(path, entries, file->list(trainer, entries),
                                       &collector->writer, collector->error);
    else
        status = rm_fail(collector->error, RINGMOE_ERROR_MEMORY, "%s: no memory for its list",
                         file->name);
    free(entries);
    free(path);
    return status;
}

/* Collective. A failure is everyone's. */
ringmoe_status rm_tensor_file_write(const ringmoe_trainer *trainer, const rm_tensor_file *file,
                                    const char *folder)
{
    const rm_axis *axis = &trainer->mesh->context->world;
    rm_error *error = &trainer->mesh->context->error;
    rm_collector collector;
    ringmoe_status status = rm_collector_init(&collector, trainer, error);
    if (status == RINGMOE_OK && axis->rank == 0)
        status = open_tensors(trainer, file, folder, &collector);
    status = rm_agree(axis, status, error);
    if (status == RINGMOE_OK) status = file->collect(trainer, &collector);
    if (status == RINGMOE_OK) status = collector.status;
    if (status == RINGMOE_OK && axis->rank == 0)
        status = rm_safetensors_commit(&collector.writer, error);
    rm_collector_free(&collector);
    return rm_agree(axis, status, error);
}

const rm_tensor_file rm_weights_file = {RM_WEIGHTS_FILE, list_weights, collect_weights};
const rm_tensor_file rm_optimizer_file = {RM_OPTIMIZER_FILE, list_moments, collect_moments};

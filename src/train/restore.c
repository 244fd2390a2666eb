/* SPDX-License-Identifier: MIT
 *
 * Going on from a checkpoint. Each rank maps the files and reads its own parts of them,
 * whatever layout wrote them. Everything is checked (recipe, names, shapes, hashes) before the
 * first value of the trainer changes, so a refused checkpoint leaves it as it was.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/digest.h"
#include "train/folders.h"
#include "train/manifest.h"
#include "train/tensor_files.h"

typedef struct checkpoint {
    rm_manifest manifest;
    rm_safetensors *weights, *moments;
} checkpoint;

/* --- checks --------------------------------------------------------------------------------
 */

static ringmoe_status check_recipe(const rm_recipe *own, const rm_recipe *found,
                                   const char *folder, rm_error *error)
{
    for (int i = 0; i < own->n_items; i++)
        if (strcmp(own->items[i].value, found->items[i].value))
            return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                           "%s was made with %s %s, this run has %s; give the same to go on",
                           folder, own->items[i].name, found->items[i].value,
                           own->items[i].value);
    return RINGMOE_OK;
}

/* Each MoE layer has chosen k experts for each token of the last global batch. */
static ringmoe_status check_counts(const ringmoe_trainer *trainer, const rm_manifest *manifest,
                                   const char *folder, rm_error *error)
{
    const ringmoe_model_config *config = ringmoe_model_get_config(trainer->model);
    const ringmoe_train_settings *settings = &trainer->settings;
    int64_t n_experts = config->num_local_experts;
    int64_t n_choices = manifest->step == 0 ? 0
                                            : settings->global_batch * settings->seq_len *
                                                  config->num_experts_per_tok;
    if (!manifest->balance_counts) return RINGMOE_OK;
    for (int layer = 0; layer < config->num_hidden_layers; layer++) {
        int64_t left = config->is_dense_layer[layer] ? 0 : n_choices;
        for (int64_t e = 0; e < n_experts && left >= 0; e++) {
            int64_t count = manifest->balance_counts[layer * n_experts + e];
            left = count > left ? -1 : left - count;
        }
        if (left != 0)
            return rm_fail(error, RINGMOE_ERROR_FORMAT,
                           "%s: the balance_counts of layer %d in " RM_STATE_FILE
                           " do not add up to the choices of a global batch; the file is "
                           "damaged: use another checkpoint",
                           folder, layer);
    }
    return RINGMOE_OK;
}

static ringmoe_status check_tensor(const rm_safetensors *file, const rm_tensor_entry *entry,
                                   const char *name, rm_error *error)
{
    const rm_tensor *tensor = rm_safetensors_find(file, entry->name);
    if (!tensor)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: tensor %s is missing", name,
                       entry->name);
    bool fits = tensor->dtype == entry->dtype && tensor->n_dims == entry->n_dims &&
                !memcmp(tensor->shape, entry->shape, (size_t)entry->n_dims * sizeof(int64_t));
    if (fits) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "%s: tensor %s has not the shape or number type of the model's", name,
                   entry->name);
}

static ringmoe_status check_tensors(const ringmoe_trainer *trainer, const rm_tensor_file *kind,
                                    const rm_safetensors *file, rm_error *error)
{
    rm_tensor_entry *entries = calloc((size_t)rm_tensor_entries_most(trainer), sizeof *entries);
    if (!entries)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its list", kind->name);
    int n = kind->list(trainer, entries);
    ringmoe_status status = RINGMOE_OK;
    if (rm_safetensors_count(file) != n)
        status = rm_fail(error, RINGMOE_ERROR_FORMAT,
                         "%s: has %d tensors; a checkpoint of this model has %d", kind->name,
                         rm_safetensors_count(file), n);
    for (int i = 0; i < n && status == RINGMOE_OK; i++)
        status = check_tensor(file, &entries[i], kind->name, error);
    free(entries);
    return status;
}

static ringmoe_status open_tensors(const ringmoe_trainer *trainer, const rm_tensor_file *kind,
                                   const char *folder, rm_safetensors **file, rm_error *error)
{
    char *path = rm_path_join(folder, kind->name);
    if (!path) return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for a path", folder);
    ringmoe_status status = rm_safetensors_open(path, file, error);
    free(path);
    if (status == RINGMOE_OK) status = check_tensors(trainer, kind, *file, error);
    return status;
}

static ringmoe_status open_checkpoint(const ringmoe_trainer *trainer, const char *folder,
                                      checkpoint *from, rm_error *error)
{
    bool global = ringmoe_model_get_config(trainer->model)->router_balance_global;
    int64_t n_counts = global ? rm_measures_counts(&trainer->measures) : 0;
    RM_TRY(rm_manifest_read(&from->manifest, &trainer->recipe, n_counts, folder, error));
    RM_TRY(check_recipe(&trainer->recipe, &from->manifest.recipe, folder, error));
    RM_TRY(check_counts(trainer, &from->manifest, folder, error));
    RM_TRY(open_tensors(trainer, &rm_weights_file, folder, &from->weights, error));
    return open_tensors(trainer, &rm_optimizer_file, folder, &from->moments, error);
}

static void close_checkpoint(checkpoint *from)
{
    rm_manifest_free(&from->manifest);
    rm_safetensors_close(&from->weights);
    rm_safetensors_close(&from->moments);
}

/* --- reading -------------------------------------------------------------------------------
 */

/* Values that a file has under prefix + the parameter's name. */
typedef struct tensor_source {
    const rm_safetensors *file;
    const char *prefix;
} tensor_source;

/* Elements of this rank's part of a parameter, of which the file has the whole. */
static void read_elements(const tensor_source *source, const ringmoe_trainer *trainer,
                          const rm_parameter *parameter, rm_share elements, rm_real *values)
{
    char name[sizeof((rm_tensor_entry *)0)->name];
    snprintf(name, sizeof name, "%s%s", source->prefix, parameter->name);
    const rm_tensor *tensor = rm_safetensors_find(source->file, name);
    rm_parameter_part part = rm_own_part(trainer, parameter);
    for (int64_t done = 0; done < elements.n;) {
        rm_part_run run =
            rm_part_run_at(parameter, &part, elements.first + done, elements.n - done);
        rm_tensor_read(trainer->mesh->context->compute.kernels, tensor, run.global, run.n,
                       values + done);
        done += run.n;
    }
}

static const rm_real *values_of_file(const void *source, const ringmoe_trainer *trainer,
                                     const rm_parameter *parameter, rm_share elements,
                                     rm_real *buffer)
{
    read_elements(source, trainer, parameter, elements, buffer);
    return buffer;
}

/* Collective. */
static ringmoe_status check_hash(const ringmoe_trainer *trainer, const tensor_source *source,
                                 const rm_real *biases, const char *expected, const char *what,
                                 const char *folder)
{
    char found[17];
    RM_TRY(rm_digest(trainer, values_of_file, source, biases, found));
    if (!strcmp(found, expected)) return RINGMOE_OK;
    return rm_fail(&trainer->mesh->context->error, RINGMOE_ERROR_FORMAT,
                   "%s: the %s have the hash %s, not %s as when they were written; the file is "
                   "damaged: use another checkpoint",
                   folder, what, found, expected);
}

static void read_weights(const ringmoe_trainer *trainer, const checkpoint *from)
{
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    const tensor_source source = {from->weights, ""};
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *parameter = &table->parameters[i];
        if (parameter->tied || !rm_model_holds(trainer->model, parameter)) continue;
        rm_share all = {0, rm_own_part(trainer, parameter).n_elements};
        read_elements(&source, trainer, parameter, all,
                      rm_model_weights(trainer->model, parameter));
    }
}

static void read_router_biases(const ringmoe_trainer *trainer, const checkpoint *from,
                               rm_real *biases)
{
    const ringmoe_model_config *config = ringmoe_model_get_config(trainer->model);
    int64_t n_experts = config->num_local_experts;
    for (int layer = 0; layer < config->num_hidden_layers; layer++) {
        if (!rm_has_router_bias(trainer, layer)) continue;
        char name[RM_NAME_BYTES];
        snprintf(name, sizeof name, RM_ROUTER_BIAS_NAME, layer);
        rm_tensor_read(trainer->mesh->context->compute.kernels,
                       rm_safetensors_find(from->weights, name), 0, n_experts,
                       biases + layer * n_experts);
    }
}

/* Weights and selection biases are hashed together. Collective. */
static ringmoe_status check_weights(const ringmoe_trainer *trainer, const checkpoint *from,
                                    const char *folder)
{
    rm_error *error = &trainer->mesh->context->error;
    const tensor_source source = {from->weights, ""};
    size_t n_biases = (size_t)rm_measures_counts(&trainer->measures);
    bool has_biases = rm_model_router_bias(trainer->model) != NULL;
    rm_real *biases = has_biases ? calloc(n_biases, sizeof *biases) : NULL;
    ringmoe_status status = RINGMOE_OK;
    if (has_biases && !biases)
        status =
            rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %zu router biases", n_biases);
    status = rm_agree(&trainer->mesh->context->world, status, error);
    if (status == RINGMOE_OK) {
        read_router_biases(trainer, from, biases);
        status = check_hash(trainer, &source, biases, from->manifest.weights_hash, "weights",
                            folder);
    }
    free(biases);
    return status;
}

static void read_moments(const ringmoe_trainer *trainer, const tensor_source *source,
                         rm_real *const *moments)
{
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *parameter = &table->parameters[i];
        rm_share share = rm_share_in_shard(trainer, parameter);
        if (share.n > 0)
            read_elements(source, trainer, parameter, share,
                          rm_shards_at(trainer, moments, parameter, share.first));
    }
}

/* Collective. */
static ringmoe_status restore(ringmoe_trainer *trainer, const checkpoint *from,
                              const char *folder)
{
    const rm_manifest *manifest = &from->manifest;
    const tensor_source moments1 = {from->moments, RM_MOMENT1_PREFIX};
    const tensor_source moments2 = {from->moments, RM_MOMENT2_PREFIX};
    RM_TRY(check_weights(trainer, from, folder));
    RM_TRY(
        check_hash(trainer, &moments1, NULL, manifest->moment1_hash, "first moments", folder));
    RM_TRY(
        check_hash(trainer, &moments2, NULL, manifest->moment2_hash, "second moments", folder));
    rm_gradients_clear(&trainer->gradients);
    read_weights(trainer, from);
    read_router_biases(trainer, from, rm_model_router_bias(trainer->model));
    if (manifest->balance_counts)
        memcpy(trainer->measures.last_counts, manifest->balance_counts,
               (size_t)manifest->n_balance_counts * sizeof *manifest->balance_counts);
    read_moments(trainer, &moments1, trainer->optimizer.moments1);
    read_moments(trainer, &moments2, trainer->optimizer.moments2);
    RM_TRY(rm_model_tie_head(trainer->model));
    rm_model_pack(trainer->model);
    trainer->steps_done = manifest->step;
    return RINGMOE_OK;
}

/* Rank 0 makes a checkpoint of that name whole, if need be, before the others look. */
static ringmoe_status recover_folder(const ringmoe_trainer *trainer, const char *folder)
{
    const rm_axis *axis = &trainer->mesh->context->world;
    rm_error *error = &trainer->mesh->context->error;
    rm_folder_names names;
    ringmoe_status status = rm_folder_names_init(&names, folder, error);
    if (status == RINGMOE_OK && axis->rank == 0) status = rm_folder_recover(&names, error);
    rm_folder_names_free(&names);
    return rm_agree(axis, status, error);
}

ringmoe_status ringmoe_trainer_restore(ringmoe_trainer *trainer, const char *folder)
{
    if (!trainer) return RINGMOE_ERROR_ARGUMENT;
    rm_error *error = &trainer->mesh->context->error;
    checkpoint from = {0};
    rm_progress_at(&trainer->mesh->context->progress,
                   (rm_label){.layer = -1, .operation = RM_OPERATION_CHECKPOINT});
    RM_TRY(recover_folder(trainer, folder));
    ringmoe_status status = open_checkpoint(trainer, folder, &from, error);
    status = rm_agree(&trainer->mesh->context->world, status, error);
    if (status == RINGMOE_OK) status = restore(trainer, &from, folder);
    close_checkpoint(&from);
    return status;
}

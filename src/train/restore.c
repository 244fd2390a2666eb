/* SPDX-License-Identifier: MIT
 *
 * Going on from a checkpoint, whatever layout wrote it. Recipe, names, shapes and number types
 * of all tensors are checked before the first value of the trainer changes. Then the files are
 * read, once: each rank takes the weights it holds and its shard of the moments, and every byte
 * is compared with the manifest as it comes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/checkpoint.h"
#include "train/contents.h"
#include "train/folders.h"
#include "train/shares.h"
#include "train/tensor_files.h"

/* --- checks of the state ---------------------------------------------------------------------
 */

/* Each MoE layer has chosen k experts for each token of the last global batch. */
static ringmoe_status check_counts(const ringmoe_trainer *trainer, const rm_state *state,
                                   const char *folder, rm_error *error)
{
    const ringmoe_model_config *config = ringmoe_model_get_config(trainer->model);
    const ringmoe_train_settings *settings = &trainer->settings;
    int64_t n_experts = config->num_local_experts;
    int64_t n_counts =
        config->router_balance_global ? rm_measures_counts(&trainer->measures) : 0;
    int64_t n_choices = state->step == 0 ? 0
                                         : settings->global_batch * settings->seq_len *
                                               config->num_experts_per_tok;
    bool adds_up = n_counts == 0 || state->n_balance_counts == n_counts;
    for (int layer = 0; layer < config->num_hidden_layers && n_counts && adds_up; layer++) {
        int64_t left = config->is_dense_layer[layer] ? 0 : n_choices;
        for (int64_t e = 0; e < n_experts && left >= 0; e++) {
            int64_t count = state->balance_counts[layer * n_experts + e];
            left = count > left ? -1 : left - count;
        }
        adds_up = left == 0;
    }
    if (adds_up) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "%s: the balance_counts in " RM_STATE_FILE
                   " do not add up to the choices of a global batch",
                   folder);
}

static ringmoe_status open_state(const ringmoe_trainer *trainer, rm_checkpoint *checkpoint,
                                 const char *folder, rm_error *error)
{
    const rm_state *state = &checkpoint->state;
    RM_TRY(rm_checkpoint_open(checkpoint, folder, error));
    RM_TRY(rm_recipe_check(&trainer->recipe, &state->recipe, folder, error));
    RM_TRY(check_counts(trainer, state, folder, error));
    if (!rm_model_router_bias(trainer->model)) return RINGMOE_OK;
    return rm_checkpoint_read_biases(checkpoint, ringmoe_model_get_config(trainer->model),
                                     error);
}

/* --- checks of the tensors -------------------------------------------------------------------
 */

enum { NAME_BYTES = sizeof((rm_tensor_entry *)0)->name };

static const rm_stored_tensor *find_tensor(const rm_weight_files *files, const char *prefix,
                                           const rm_parameter *parameter)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s%s", prefix, parameter->name);
    return rm_weight_files_find(files, name);
}

static ringmoe_status check_tensor(const rm_stored_tensor *stored, const char *prefix,
                                   const rm_parameter *parameter, const char *folder,
                                   rm_error *error)
{
    if (!stored)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: tensor %s%s is missing", folder,
                       prefix, parameter->name);
    const rm_tensor *tensor = stored->tensor;
    size_t bytes = (size_t)parameter->n_dims * sizeof *parameter->shape;
    bool fits = tensor->dtype == RM_DTYPE_REAL && tensor->n_dims == parameter->n_dims &&
                !memcmp(tensor->shape, parameter->shape, bytes);
    if (fits) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "%s: tensor %s has not the shape or number type of the model's",
                   tensor->path, tensor->name);
}

/* Whether it is `prefix` and a parameter's name. */
static bool is_expected(const rm_parameter_table *table, const rm_tensor_file *kind,
                        const char *name)
{
    for (int t = 0; t < kind->n_tensors; t++) {
        size_t length = strlen(kind->prefixes[t]);
        if (strncmp(name, kind->prefixes[t], length)) continue;
        for (int i = 0; i < table->n_parameters; i++)
            if (!table->parameters[i].tied && !strcmp(name + length, table->parameters[i].name))
                return true;
    }
    return false;
}

/* There are more tensors than parameters have: names the first that belongs to none. */
static ringmoe_status name_surplus(const rm_parameter_table *table, const rm_tensor_file *kind,
                                   const rm_weight_files *files, rm_error *error)
{
    int64_t i = 0;
    while (i + 1 < files->n_tensors && is_expected(table, kind, files->tensors[i].tensor->name))
        i++;
    const rm_tensor *tensor = files->tensors[i].tensor;
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: tensor %.150s belongs to no parameter",
                   tensor->path, tensor->name);
}

/* Every tensor is there, and no other. */
static ringmoe_status check_tensors(const ringmoe_trainer *trainer, const rm_tensor_file *kind,
                                    const rm_weight_files *files, const char *folder,
                                    rm_error *error)
{
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    int64_t n_expected = 0;
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *parameter = &table->parameters[i];
        for (int t = 0; t < kind->n_tensors && !parameter->tied; t++, n_expected++)
            RM_TRY(check_tensor(find_tensor(files, kind->prefixes[t], parameter),
                                kind->prefixes[t], parameter, folder, error));
    }
    return files->n_tensors == n_expected ? RINGMOE_OK
                                          : name_surplus(table, kind, files, error);
}

static ringmoe_status open_tensors(const ringmoe_trainer *trainer, rm_checkpoint *checkpoint,
                                   rm_error *error)
{
    const char *folder = checkpoint->folder;
    RM_TRY(rm_checkpoint_open_weights(checkpoint, error));
    RM_TRY(check_tensors(trainer, &rm_weights_file, &checkpoint->weights, folder, error));
    RM_TRY(rm_checkpoint_open_moments(checkpoint, error));
    return check_tensors(trainer, &rm_optimizer_file, &checkpoint->moments, folder, error);
}

/* --- reading ---------------------------------------------------------------------------------
 */

/* A share of a parameter's tensor, into its place. */
static ringmoe_status want(const ringmoe_trainer *trainer, const rm_weight_files *files,
                           const char *prefix, const rm_parameter *parameter, rm_share share,
                           rm_real *values, rm_contents *contents)
{
    const rm_stored_tensor *stored = find_tensor(files, prefix, parameter);
    rm_parameter_part part = rm_own_part(trainer, parameter);
    int64_t begin = rm_safetensors_offset(files->files[stored->file], stored->tensor);
    return rm_contents_want(contents, files->names[stored->file], begin, parameter, &part,
                            share, values, &trainer->mesh->context->error);
}

static ringmoe_status want_weights(const ringmoe_trainer *trainer,
                                   const rm_checkpoint *checkpoint, rm_contents *contents)
{
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *parameter = &table->parameters[i];
        if (parameter->tied || !rm_model_holds(trainer->model, parameter)) continue;
        rm_share all = {0, rm_own_part(trainer, parameter).n_elements};
        RM_TRY(want(trainer, &checkpoint->weights, "", parameter, all,
                    rm_model_weights(trainer->model, parameter), contents));
    }
    return RINGMOE_OK;
}

static ringmoe_status want_moments(const ringmoe_trainer *trainer,
                                   const rm_checkpoint *checkpoint, const char *prefix,
                                   rm_real *const *moments, rm_contents *contents)
{
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *parameter = &table->parameters[i];
        rm_share share = rm_share_in_shard(trainer, parameter);
        if (share.n == 0) continue;
        RM_TRY(want(trainer, &checkpoint->moments, prefix, parameter, share,
                    rm_shards_at(trainer, moments, parameter, share.first), contents));
    }
    return RINGMOE_OK;
}

static ringmoe_status want_all(const ringmoe_trainer *trainer, const rm_checkpoint *checkpoint,
                               rm_contents *contents)
{
    const rm_optimizer *optimizer = &trainer->optimizer;
    int most = 3 * rm_model_parameters(trainer->model)->n_parameters;
    RM_TRY(rm_contents_init(contents, checkpoint->folder, &checkpoint->manifest, most,
                            &trainer->mesh->context->error));
    RM_TRY(want_weights(trainer, checkpoint, contents));
    RM_TRY(want_moments(trainer, checkpoint, RM_MOMENT1_PREFIX, optimizer->moments1, contents));
    return want_moments(trainer, checkpoint, RM_MOMENT2_PREFIX, optimizer->moments2, contents);
}

/* Collective. */
static ringmoe_status read_contents(const ringmoe_trainer *trainer,
                                    const rm_checkpoint *checkpoint)
{
    ringmoe_context *context = trainer->mesh->context;
    rm_contents contents = {0};
    ringmoe_status status = want_all(trainer, checkpoint, &contents);
    status = rm_agree(&context->world, status, &context->error);
    if (status == RINGMOE_OK) status = rm_contents_read(&contents, context);
    rm_contents_free(&contents);
    return status;
}

static void take_state(ringmoe_trainer *trainer, const rm_state *state)
{
    rm_real *biases = rm_model_router_bias(trainer->model);
    size_t n_counts = (size_t)rm_measures_counts(&trainer->measures);
    if (biases) memcpy(biases, state->router_biases, n_counts * sizeof *biases);
    if (ringmoe_model_get_config(trainer->model)->router_balance_global)
        memcpy(trainer->measures.last_counts, state->balance_counts,
               n_counts * sizeof *state->balance_counts);
    trainer->steps_done = state->step;
}

/* What damage or a failing disk ends midway leaves a trainer that is of no use until it is
 * restored. Collective. */
static ringmoe_status read_all(ringmoe_trainer *trainer, const rm_checkpoint *checkpoint)
{
    const rm_axis *world = &trainer->mesh->context->world;
    rm_error *error = &trainer->mesh->context->error;
    rm_save_keep_values(&trainer->save, trainer->mesh);
    trainer->is_mixed = true;
    rm_gradients_clear(&trainer->gradients);
    RM_TRY(read_contents(trainer, checkpoint));
    RM_TRY(rm_agree(world, rm_model_tie_head(trainer->model), error));
    rm_model_pack(trainer->model);
    take_state(trainer, &checkpoint->state);
    trainer->is_mixed = false;
    return RINGMOE_OK;
}

/* --- the whole -------------------------------------------------------------------------------
 */

/* Rank 0 makes a checkpoint of that name whole, if need be, before the others look. */
static ringmoe_status recover_folder(const ringmoe_trainer *trainer, const char *folder)
{
    const rm_axis *world = &trainer->mesh->context->world;
    rm_error *error = &trainer->mesh->context->error;
    rm_folder_names names;
    ringmoe_status status = rm_folder_names_init(&names, folder, error);
    if (status == RINGMOE_OK && world->rank == 0) status = rm_folder_recover(&names, error);
    rm_folder_names_free(&names);
    return rm_agree(world, status, error);
}

static void log_changes(const ringmoe_trainer *trainer, const rm_checkpoint *checkpoint)
{
    char changes[400];
    rm_recipe_describe_changes(&trainer->recipe, &checkpoint->state.recipe, changes,
                               sizeof changes);
    if (changes[0] && trainer->mesh->context->world.rank == 0)
        rm_log(trainer->mesh->context, RINGMOE_LOG_INFO, "%s: going on with %s",
               checkpoint->folder, changes);
}

/* Collective. */
static ringmoe_status restore(ringmoe_trainer *trainer, rm_checkpoint *checkpoint,
                              const char *folder)
{
    ringmoe_context *context = trainer->mesh->context;
    const rm_axis *world = &context->world;
    rm_error *error = &context->error;
    RM_TRY(rm_agree(world, open_state(trainer, checkpoint, folder, error), error));
    RM_TRY(rm_agree(world, open_tensors(trainer, checkpoint, error), error));
    RM_TRY(read_all(trainer, checkpoint));
    log_changes(trainer, checkpoint);
    return RINGMOE_OK;
}

ringmoe_status ringmoe_trainer_restore(ringmoe_trainer *trainer, const char *folder)
{
    if (!trainer) return RINGMOE_ERROR_ARGUMENT;
    rm_checkpoint checkpoint = {0};
    rm_progress_at(&trainer->mesh->context->progress,
                   (rm_label){.layer = -1, .operation = RM_OPERATION_CHECKPOINT});
    RM_TRY(recover_folder(trainer, folder));
    ringmoe_status status = restore(trainer, &checkpoint, folder);
    rm_checkpoint_close(&checkpoint);
    return status;
}

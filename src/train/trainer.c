/* SPDX-License-Identifier: MIT
 *
 * The life of a trainer: settings are checked and agreed on before anything is allocated; then
 * the model, its shards, and the memory of a step.
 */
#include "train/trainer.h"

#include <stdlib.h>
#include <string.h>

#include "format/config.h"

/* Numbers are compared over the ranks first, so that a setting that only one rank has wrong is
 * called a mismatch; then the data, whose hash takes reading it. */
static ringmoe_status agree_on_recipe(ringmoe_trainer *trainer,
                                      const ringmoe_model_config *config, rm_error *error)
{
    const rm_axis *world = &trainer->mesh->context->world;
    rm_recipe layout;
    rm_recipe_write(&trainer->recipe, &trainer->settings, config,
                    trainer->mesh->context->compute.precision, trainer->data_hash);
    RM_TRY(rm_recipe_agree(&trainer->recipe, world, error));
    rm_recipe_write_layout(&layout, &trainer->settings);
    return rm_recipe_agree(&layout, world, error);
}

static ringmoe_status check_settings(ringmoe_trainer *trainer,
                                     const ringmoe_model_config *config, rm_error *error)
{
    ringmoe_train_settings *settings = &trainer->settings;
    ringmoe_mesh_dims dims = ringmoe_mesh_get_dims(trainer->mesh);
    RM_TRY(rm_config_check(config, error));
    RM_TRY(rm_settings_check(settings, config, &dims, error));
    rm_settings_choose(settings, config, &dims);
    trainer->n_microbatches = (int)(settings->global_batch / settings->microbatch);
    return RINGMOE_OK;
}

static ringmoe_status check_data(ringmoe_trainer *trainer, const ringmoe_model_config *config,
                                 rm_error *error)
{
    const ringmoe_train_settings *settings = &trainer->settings;
    int64_t n_tokens = ringmoe_tokens_count(trainer->data);
    RM_TRY(rm_order_init(&trainer->order, n_tokens, settings->seq_len, settings->global_batch,
                         settings->seed, error));
    RM_TRY(rm_token_ids_check(trainer->data, 0, n_tokens, config->vocab_size, error));
    return ringmoe_tokens_hash(trainer->data, trainer->data_hash);
}

static ringmoe_status check_all(ringmoe_trainer *trainer, const ringmoe_model_config *config,
                                rm_error *error)
{
    const rm_axis *axis = &trainer->mesh->context->world;
    RM_TRY(agree_on_recipe(trainer, config, error));
    RM_TRY(rm_agree(axis, check_settings(trainer, config, error), error));
    RM_TRY(rm_agree(axis, check_data(trainer, config, error), error));
    return agree_on_recipe(trainer, config, error);
}

static ringmoe_status create_model(ringmoe_trainer *trainer, const ringmoe_model_config *config)
{
    const ringmoe_train_settings *settings = &trainer->settings;
    rm_model_settings wanted = {.use = RM_MODEL_TRAINING,
                                .max_tokens = settings->microbatch * settings->seq_len,
                                .seed = settings->seed,
                                .recompute = (ringmoe_recompute)settings->recompute,
                                .reproducible = settings->reproducible,
                                .shadows = settings->shadow != RINGMOE_SHADOW_OFF};
    rm_stages_model_settings(&trainer->stages, trainer->mesh, &wanted);
    return rm_model_create(trainer->mesh, config, &wanted, &trainer->model);
}

static ringmoe_status create_shards(ringmoe_trainer *trainer, rm_error *error)
{
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    const ringmoe_mesh *mesh = trainer->mesh;
    trainer->n_spaces = rm_model_spaces(trainer->model);
    for (int s = 0; s < trainer->n_spaces; s++) {
        int stage = s / RM_N_KINDS * mesh->pipeline.size + mesh->pipeline.rank;
        rm_shard_place place = rm_mesh_shard_place(mesh, stage, (rm_kind)(s % RM_N_KINDS),
                                                   trainer->settings.reproducible);
        RM_TRY(rm_shard_create(&trainer->shards[s], table, place, error));
    }
    return RINGMOE_OK;
}

static ringmoe_status create_parts(ringmoe_trainer *trainer, const ringmoe_model_config *config,
                                   rm_error *error)
{
    const ringmoe_train_settings *settings = &trainer->settings;
    RM_TRY(create_shards(trainer, error));
    RM_TRY(rm_gradients_create(&trainer->gradients, trainer->mesh,
                               rm_model_parameters(trainer->model), trainer->shards,
                               trainer->n_spaces, trainer->n_microbatches, error));
    RM_TRY(rm_tied_create(&trainer->tied, trainer->model, trainer->stages.partition.n_stages,
                          settings->reproducible, error));
    RM_TRY(rm_optimizer_create(&trainer->optimizer, trainer->model, trainer->shards, error));
    RM_TRY(rm_shadowing_create(&trainer->shadowing, config, error));
    RM_TRY(rm_measures_create(&trainer->measures, config, trainer->n_microbatches, error));
    return rm_batch_buffer_create(&trainer->batch, settings->microbatch, settings->seq_len,
                                  error);
}

/* Collective over all ranks. */
static ringmoe_status create(ringmoe_trainer *trainer, const ringmoe_model_config *config)
{
    const rm_axis *world = &trainer->mesh->context->world;
    const ringmoe_train_settings *settings = &trainer->settings;
    rm_error *error = &trainer->mesh->context->error;
    RM_TRY(check_all(trainer, config, error));
    RM_TRY(rm_stages_create(&trainer->stages, trainer->mesh, config, settings,
                            trainer->n_microbatches / trainer->mesh->dense.size));
    RM_TRY(rm_agree(world, create_model(trainer, config), error));
    RM_TRY(rm_agree(world, create_parts(trainer, config, error), error));
    RM_TRY(rm_stages_connect(&trainer->stages, trainer->mesh,
                             settings->microbatch * settings->seq_len * config->hidden_size));
    rm_model_initialize(trainer->model, settings->seed);
    RM_TRY(rm_agree(world, rm_model_tie_head(trainer->model), error));
    rm_model_pack(trainer->model);
    return RINGMOE_OK;
}

ringmoe_status ringmoe_trainer_create(ringmoe_mesh *mesh, const ringmoe_model_config *config,
                                      const ringmoe_train_settings *settings,
                                      const ringmoe_tokens *data, ringmoe_trainer **trainer)
{
    if (trainer) *trainer = NULL;
    if (!mesh) return RINGMOE_ERROR_ARGUMENT;
    rm_error *error = &mesh->context->error;
    ringmoe_status status = RINGMOE_OK;
    ringmoe_trainer *made = NULL;
    if (!config || !settings || !data || !trainer)
        status = rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                         "a trainer needs a config, settings, data and a place for its handle; "
                         "one of them is NULL");
    else if (!(made = calloc(1, sizeof *made)))
        status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a trainer");
    status = rm_agree(&mesh->context->world, status, error);
    if (status == RINGMOE_OK) {
        made->mesh = mesh;
        made->data = data;
        made->settings = *settings;
        status = create(made, config);
    }
    if (status == RINGMOE_OK)
        *trainer = made;
    else
        ringmoe_trainer_destroy(&made);
    return status;
}

void ringmoe_trainer_destroy(ringmoe_trainer **trainer)
{
    if (!trainer || !*trainer) return;
    ringmoe_trainer *old = *trainer;
    rm_save_free(&old->save, old->mesh);
    rm_batch_buffer_free(&old->batch);
    rm_measures_free(&old->measures);
    rm_shadowing_free(&old->shadowing);
    rm_optimizer_free(&old->optimizer);
    rm_tied_free(&old->tied);
    rm_gradients_free(&old->gradients);
    for (int s = 0; s < old->n_spaces; s++) rm_shard_free(&old->shards[s]);
    ringmoe_model_destroy(&old->model);
    rm_stages_free(&old->stages);
    free(old);
    *trainer = NULL;
}

ringmoe_status rm_trainer_check_whole(const ringmoe_trainer *trainer)
{
    if (!trainer->is_mixed) return RINGMOE_OK;
    return rm_fail(&trainer->mesh->context->error, RINGMOE_ERROR_STATE,
                   "reading a checkpoint failed midway, so the trainer has some of its values "
                   "and some older ones; restore one first");
}

int64_t ringmoe_trainer_steps_done(const ringmoe_trainer *trainer)
{
    return trainer ? trainer->steps_done : 0;
}

void ringmoe_trainer_settings(const ringmoe_trainer *trainer, ringmoe_train_settings *settings)
{
    if (trainer && settings) *settings = trainer->settings;
}

int ringmoe_trainer_stages(const ringmoe_trainer *trainer, int *bounds)
{
    if (!trainer) return 0;
    const rm_partition *partition = &trainer->stages.partition;
    size_t n_bounds = (size_t)partition->n_stages + 1;
    if (bounds) memcpy(bounds, partition->bounds, n_bounds * sizeof *bounds);
    return partition->n_stages;
}

ringmoe_model *ringmoe_trainer_model(ringmoe_trainer *trainer)
{
    return trainer ? trainer->model : NULL;
}

/* SPDX-License-Identifier: MIT
 *
 * The life of a trainer: settings are checked and agreed on before anything is allocated; then
 * the model, its shards, and the memory of a step.
 */
#include "train/trainer.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "format/config.h"
#include "train/fields.h"

void ringmoe_train_settings_default(ringmoe_train_settings *settings)
{
    *settings = (ringmoe_train_settings){
        .steps = 1000,
        .seq_len = 256,
        .microbatch = 4,
        .global_batch = 16,
        .lr = 1e-3,
        .lr_min_ratio = 0.1,
        .warmup_steps = 20,
        .weight_decay = 0.1,
        .beta1 = 0.9,
        .beta2 = 0.95,
        .epsilon = 1e-8,
        .clip_norm = 1,
        .seed = 0,
    };
}

static ringmoe_status check_batch(const ringmoe_train_settings *settings, int n_ranks,
                                  rm_error *error)
{
    long long batch = settings->global_batch, microbatch = settings->microbatch;
    if (batch % microbatch != 0)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "training setting global_batch is %lld; it must be a multiple of "
                       "microbatch, %lld",
                       batch, microbatch);
    if (batch / microbatch % n_ranks != 0)
        return rm_fail(
            error, RINGMOE_ERROR_LAYOUT,
            "a global batch of %lld sequences is %lld microbatches of %lld, which do "
            "not divide over %d ranks; make global_batch a multiple of %lld",
            batch, batch / microbatch, microbatch, n_ranks, microbatch * n_ranks);
    return RINGMOE_OK;
}

ringmoe_status rm_train_settings_check(const ringmoe_train_settings *settings,
                                       const ringmoe_model_config *config, int n_ranks,
                                       rm_error *error)
{
    RM_TRY(rm_fields_check(&rm_train_fields, settings, error));
    if (settings->seq_len > config->max_position_embeddings)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "training setting seq_len is %lld; the model's max_position_embeddings "
                       "allows at most %d",
                       (long long)settings->seq_len, config->max_position_embeddings);
    return check_batch(settings, n_ranks, error);
}

/* What every rank must have alike, beside settings and configuration. */
static ringmoe_status agree_on_data(const ringmoe_trainer *trainer,
                                    const ringmoe_model_config *config, rm_error *error)
{
    int64_t low[2] = {(int64_t)XXH64(trainer->data_hash, sizeof trainer->data_hash, 0),
                      (int64_t)XXH64(config->is_dense_layer, sizeof config->is_dense_layer, 0)};
    int64_t high[2] = {low[0], low[1]};
    static const char *const what[2] = {"the training data", "which layers are dense"};
    RM_TRY(rm_allreduce(&trainer->mesh->dense, low, 2, MPI_INT64_T, MPI_MIN, error));
    RM_TRY(rm_allreduce(&trainer->mesh->dense, high, 2, MPI_INT64_T, MPI_MAX, error));
    for (int i = 0; i < 2; i++)
        if (low[i] != high[i])
            return rm_fail(error, RINGMOE_ERROR_MISMATCH,
                           "ranks disagree about %s; give every rank the same", what[i]);
    return RINGMOE_OK;
}

static ringmoe_status check_local(ringmoe_trainer *trainer, const ringmoe_model_config *config,
                                  rm_error *error)
{
    const ringmoe_train_settings *settings = &trainer->settings;
    int64_t n_tokens = ringmoe_tokens_count(trainer->data);
    RM_TRY(rm_config_check(config, error));
    RM_TRY(rm_train_settings_check(settings, config, trainer->mesh->dense.size, error));
    RM_TRY(rm_order_init(&trainer->order, n_tokens, settings->seq_len, settings->global_batch,
                         settings->seed, error));
    RM_TRY(rm_token_ids_check(trainer->data, 0, n_tokens, config->vocab_size, error));
    trainer->n_microbatches = (int)(settings->global_batch / settings->microbatch);
    return ringmoe_tokens_hash(trainer->data, trainer->data_hash);
}

static ringmoe_status check_all(ringmoe_trainer *trainer, const ringmoe_model_config *config,
                                rm_error *error)
{
    const rm_axis *axis = &trainer->mesh->dense;
    RM_TRY(rm_fields_agree(&rm_train_fields, &trainer->settings, axis, error));
    RM_TRY(rm_fields_agree(&rm_config_fields, config, axis, error));
    RM_TRY(rm_agree(axis, check_local(trainer, config, error), error));
    return agree_on_data(trainer, config, error);
}

static ringmoe_status create_parts(ringmoe_trainer *trainer, const ringmoe_model_config *config,
                                   rm_error *error)
{
    const ringmoe_train_settings *settings = &trainer->settings;
    RM_TRY(rm_model_create(trainer->mesh, config, RM_MODEL_TRAINING,
                           settings->microbatch * settings->seq_len, settings->seed,
                           &trainer->model));
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    for (int s = 0; s < RM_N_SPACES; s++)
        RM_TRY(rm_shard_create(&trainer->shards[s], table,
                               rm_mesh_shard_place(trainer->mesh, s), error));
    RM_TRY(rm_gradients_create(&trainer->gradients, trainer->mesh, table, trainer->shards,
                               trainer->n_microbatches, error));
    RM_TRY(rm_optimizer_create(&trainer->optimizer, trainer->shards, error));
    RM_TRY(rm_measures_create(&trainer->measures, config, trainer->n_microbatches, error));
    RM_TRY(rm_batch_buffer_create(&trainer->batch, settings->microbatch, settings->seq_len,
                                  error));
    rm_model_initialize(trainer->model, settings->seed);
    rm_model_pack(trainer->model);
    return RINGMOE_OK;
}

static ringmoe_status create(ringmoe_trainer *trainer, const ringmoe_model_config *config)
{
    rm_error *error = &trainer->mesh->context->error;
    RM_TRY(check_all(trainer, config, error));
    return rm_agree(&trainer->mesh->dense, create_parts(trainer, config, error), error);
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
    status = rm_agree(&mesh->dense, status, error);
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
    rm_batch_buffer_free(&old->batch);
    rm_measures_free(&old->measures);
    rm_optimizer_free(&old->optimizer);
    rm_gradients_free(&old->gradients);
    for (int s = 0; s < RM_N_SPACES; s++) rm_shard_free(&old->shards[s]);
    ringmoe_model_destroy(&old->model);
    free(old);
    *trainer = NULL;
}

int64_t ringmoe_trainer_steps_done(const ringmoe_trainer *trainer)
{
    return trainer ? trainer->steps_done : 0;
}

ringmoe_model *ringmoe_trainer_model(ringmoe_trainer *trainer)
{
    return trainer ? trainer->model : NULL;
}

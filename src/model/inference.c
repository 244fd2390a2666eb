/* SPDX-License-Identifier: MIT
 *
 * Models for evaluation and generation: how they are loaded, and what they take.
 */
#include "format/config.h"
#include "model/state.h"
#include "model/verify.h"

RINGMOE_API void ringmoe_load_settings_default(ringmoe_load_settings *settings)
{
    *settings = (ringmoe_load_settings){.max_tokens = 512, .max_sequences = 8};
}

static ringmoe_status check_range(const char *name, int64_t value, int64_t low, int64_t high,
                                  rm_error *error)
{
    if (value >= low && value <= high) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "%s is %lld; it must be %lld..%lld", name,
                   (long long)value, (long long)low, (long long)high);
}

static ringmoe_status check_settings(const ringmoe_load_settings *settings, rm_error *error)
{
    RM_TRY(check_range("max_tokens", settings->max_tokens, 1, INT32_MAX, error));
    RM_TRY(check_range("max_sequences", settings->max_sequences, 1, 4096, error));
    RM_TRY(check_range("weights", settings->weights, RINGMOE_WEIGHTS_AUTO, RINGMOE_WEIGHTS_Q4_0,
                       error));
    return check_range("experts_in_memory", settings->experts_in_memory, 0, INT64_MAX, error);
}

/* A pass takes a token of each text at least. */
static rm_model_settings settings_of(const ringmoe_load_settings *settings)
{
    rm_model_settings result = {.use = RM_MODEL_INFERENCE,
                                .max_tokens = settings->max_tokens,
                                .max_sequences = settings->max_sequences,
                                .reproducible = settings->reproducible != 0};
    if (result.max_tokens < result.max_sequences) result.max_tokens = result.max_sequences;
    return result;
}

/* Collective over all ranks. */
static ringmoe_status load(ringmoe_mesh *mesh, const char *folder,
                           const rm_model_settings *settings, ringmoe_model **model)
{
    const rm_axis *world = &mesh->context->world;
    rm_error *error = &mesh->context->error;
    ringmoe_model_config config;
    bool changes;
    RM_TRY(rm_verify_weights(mesh->context, folder));
    RM_TRY(rm_agree(world, rm_config_read(folder, &config, error), error));
    RM_TRY(rm_agree(world, rm_model_create(mesh, &config, settings, model), error));
    RM_TRY(rm_model_read_weights(*model, folder, &changes));
    RM_TRY(rm_agree(world, rm_model_tie_head(*model), error));
    rm_model_pack(*model);
    return RINGMOE_OK;
}

RINGMOE_API ringmoe_status ringmoe_model_load(ringmoe_mesh *mesh, const char *folder,
                                              const ringmoe_load_settings *settings,
                                              ringmoe_model **model)
{
    ringmoe_context *context = mesh->context;
    ringmoe_load_settings defaults;
    ringmoe_load_settings_default(&defaults);
    if (!settings) settings = &defaults;
    *model = NULL;
    RM_TRY(
        rm_agree(&context->world, check_settings(settings, &context->error), &context->error));
    rm_model_settings inside = settings_of(settings);
    ringmoe_status status = load(mesh, folder, &inside, model);
    if (status != RINGMOE_OK) ringmoe_model_destroy(model);
    return status;
}

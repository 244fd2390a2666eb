/* SPDX-License-Identifier: MIT
 *
 * The memory of saves beside training, before the first of them: the system clears it while it
 * is being touched, for which training would otherwise stand still.
 */
#include "train/trainer.h"

static ringmoe_status check_arguments(const ringmoe_trainer *trainer,
                                      const ringmoe_save_settings *settings, rm_error *error)
{
    if (trainer->save.is_under_way)
        return rm_fail(error, RINGMOE_ERROR_STATE,
                       "the save of step %lld is under way; its buffer cannot be replaced",
                       (long long)trainer->save.state.step);
    if (settings && settings->buffer_bytes >= 0) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                   "a save needs settings with a buffer of at least 0 bytes");
}

/* The ring of what this rank would write. */
static ringmoe_status reserve(ringmoe_trainer *trainer, const ringmoe_save_settings *settings,
                              rm_error *error)
{
    rm_arena *ring = &trainer->save.ring;
    size_t before = ring->reserved;
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    const ringmoe_context *context = trainer->mesh->context;
    ringmoe_mesh_dims dims = ringmoe_mesh_get_dims(trainer->mesh);
    rm_writers writers = {0};
    rm_output output = {0};
    RM_TRY(check_arguments(trainer, settings, error));
    ringmoe_status status = rm_writers_create(&writers, table, &dims, error);
    if (status == RINGMOE_OK)
        status = rm_output_plan(&output, table, &writers, context->world.rank, "", error);
    if (status == RINGMOE_OK)
        status = rm_output_reserve(&output, ring, settings->buffer_bytes, error);
    if (status == RINGMOE_OK && ring->reserved != before)
        rm_arena_touch(ring, context->compute.n_threads);
    rm_output_close(&output);
    rm_writers_free(&writers);
    return status;
}

ringmoe_status ringmoe_trainer_save_reserve(ringmoe_trainer *trainer,
                                            const ringmoe_save_settings *settings)
{
    if (!trainer) return RINGMOE_ERROR_ARGUMENT;
    ringmoe_context *context = trainer->mesh->context;
    return rm_agree(&context->world, reserve(trainer, settings, &context->error),
                    &context->error);
}

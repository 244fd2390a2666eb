/* SPDX-License-Identifier: MIT
 *
 * The weights of another model for a new run, from a checkpoint or any folder in Hugging Face's
 * layout. A checkpoint's files, but for the optimizer's, are compared with its manifest first.
 */
#include <string.h>

#include "model/verify.h"
#include "train/trainer.h"

static ringmoe_status check_arguments(const ringmoe_trainer *trainer, const char *folder,
                                      rm_error *error)
{
    if (!folder)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "no folder with weights was given");
    if (trainer->steps_done > 0)
        return rm_fail(error, RINGMOE_ERROR_STATE,
                       "weights are taken before the first step; this trainer has done %lld",
                       (long long)trainer->steps_done);
    return RINGMOE_OK;
}

/* Of a trainer whose moments another checkpoint has changed in part; they are a new one's again
 * afterwards. */
static void clear_moments(ringmoe_trainer *trainer)
{
    for (int space = 0; space < trainer->n_spaces; space++) {
        size_t bytes = (size_t)trainer->shards[space].n_updated * sizeof(rm_real);
        if (bytes == 0) continue;
        memset(trainer->optimizer.moments1[space], 0, bytes);
        memset(trainer->optimizer.moments2[space], 0, bytes);
    }
}

/* Collective. The trainer is of no use while its weights are neither the old nor the new. */
static ringmoe_status take_weights(ringmoe_trainer *trainer, const char *folder)
{
    ringmoe_context *context = trainer->mesh->context;
    bool changes;
    rm_save_keep_values(&trainer->save, trainer->mesh);
    rm_gradients_clear(&trainer->gradients);
    ringmoe_status status = rm_model_read_weights(trainer->model, folder, &changes);
    if (changes && trainer->is_mixed) clear_moments(trainer);
    trainer->is_mixed = trainer->is_mixed || changes;
    RM_TRY(status);
    RM_TRY(rm_agree(&context->world, rm_model_tie_head(trainer->model), &context->error));
    rm_model_pack(trainer->model);
    trainer->is_mixed = false;
    return RINGMOE_OK;
}

ringmoe_status ringmoe_trainer_load_weights(ringmoe_trainer *trainer, const char *folder)
{
    if (!trainer) return RINGMOE_ERROR_ARGUMENT;
    ringmoe_context *context = trainer->mesh->context;
    const rm_axis *world = &context->world;
    rm_error *error = &context->error;
    rm_progress_at(&context->progress,
                   (rm_label){.layer = -1, .operation = RM_OPERATION_CHECKPOINT});
    RM_TRY(rm_agree(world, check_arguments(trainer, folder, error), error));
    RM_TRY(rm_verify_weights(context, folder));
    return take_weights(trainer, folder);
}

/* SPDX-License-Identifier: MIT
 *
 * The weights of another model for a new run, from a checkpoint or any folder in Hugging Face's
 * layout. A checkpoint's files, but for the optimizer's, are compared with its manifest first.
 */
#include <stdlib.h>
#include <string.h>

#include "format/router_biases.h"
#include "train/checkpoint.h"
#include "train/tensor_files.h"
#include "train/trainer.h"

/* Takes the optimizer's files from a manifest's list; what is left shares its memory. */
static void leave_out_moments(const rm_file_manifest *manifest, rm_file_manifest *left)
{
    size_t length = strlen(RM_OPTIMIZER_PREFIX);
    left->block_bytes = manifest->block_bytes;
    left->n_files = 0;
    for (int i = 0; i < manifest->n_files; i++)
        if (strncmp(manifest->files[i].name, RM_OPTIMIZER_PREFIX, length))
            left->files[left->n_files++] = manifest->files[i];
}

/* Collective. */
static ringmoe_status verify_listed(ringmoe_context *context, const char *folder,
                                    const rm_file_manifest *manifest)
{
    rm_error *error = &context->error;
    rm_file_manifest left = {.files =
                                 calloc((size_t)manifest->n_files + 1, sizeof *left.files)};
    ringmoe_status status = RINGMOE_OK;
    if (!left.files)
        status =
            rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its list of files", folder);
    status = rm_agree(&context->world, status, error);
    if (status == RINGMOE_OK) {
        leave_out_moments(manifest, &left);
        status = rm_checkpoint_verify_files(context, folder, &left, NULL);
    }
    free(left.files);
    return status;
}

/* Of a folder that has a manifest. Collective. */
static ringmoe_status verify(ringmoe_context *context, const char *folder)
{
    rm_error *error = &context->error;
    rm_file_manifest manifest = {0};
    ringmoe_status status = rm_checkpoint_read_manifest(folder, &manifest, error);
    status = rm_agree(&context->world, status, error);
    if (status == RINGMOE_OK) status = verify_listed(context, folder, &manifest);
    rm_file_manifest_free(&manifest);
    return status;
}

/* Rank 0 looks; the answer is everyone's. Collective. */
static ringmoe_status has_manifest(const ringmoe_trainer *trainer, const char *folder,
                                   int *answer)
{
    const rm_axis *world = &trainer->mesh->context->world;
    *answer = world->rank == 0 && rm_is_checkpoint(folder);
    return rm_broadcast(world, answer, 1, MPI_INT, 0, &trainer->mesh->context->error);
}

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

/* A model whose routers have selection biases needs a folder that has them. */
static ringmoe_status check_biases(const ringmoe_trainer *trainer, const char *folder,
                                   rm_error *error)
{
    size_t n_biases = (size_t)rm_measures_counts(&trainer->measures);
    if (!rm_model_router_bias(trainer->model)) return RINGMOE_OK;
    rm_real *biases = calloc(n_biases + 1, sizeof *biases);
    if (!biases)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for %zu router biases",
                       folder, n_biases);
    ringmoe_status status =
        rm_router_biases_read(folder, ringmoe_model_get_config(trainer->model), biases, error);
    free(biases);
    return status;
}

ringmoe_status ringmoe_trainer_load_weights(ringmoe_trainer *trainer, const char *folder)
{
    if (!trainer) return RINGMOE_ERROR_ARGUMENT;
    ringmoe_context *context = trainer->mesh->context;
    const rm_axis *world = &context->world;
    rm_error *error = &context->error;
    int is_checkpoint;
    rm_progress_at(&context->progress,
                   (rm_label){.layer = -1, .operation = RM_OPERATION_CHECKPOINT});
    RM_TRY(rm_agree(world, check_arguments(trainer, folder, error), error));
    RM_TRY(has_manifest(trainer, folder, &is_checkpoint));
    if (is_checkpoint) RM_TRY(verify(context, folder));
    RM_TRY(rm_agree(world, check_biases(trainer, folder, error), error));
    rm_gradients_clear(&trainer->gradients);
    RM_TRY(rm_agree(world, rm_model_read_weights(trainer->model, folder, error), error));
    RM_TRY(rm_agree(world, rm_model_tie_head(trainer->model), error));
    rm_model_pack(trainer->model);
    return RINGMOE_OK;
}

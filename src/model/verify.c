/* SPDX-License-Identifier: MIT */
#include "model/verify.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"

bool rm_is_checkpoint(const char *folder)
{
    char *path = folder ? rm_path_join(folder, RM_FILE_MANIFEST_NAME) : NULL;
    bool found = path && access(path, F_OK) == 0;
    free(path);
    return found;
}

ringmoe_status rm_checkpoint_read_manifest(const char *folder, rm_file_manifest *manifest,
                                           rm_error *error)
{
    ringmoe_status status = rm_file_manifest_read(folder, manifest, error);
    if (status == RINGMOE_ERROR_FILE && rm_path_is_folder(folder) && !rm_is_checkpoint(folder))
        status = rm_fail(error, RINGMOE_ERROR_FORMAT,
                         "%s: has no " RM_FILE_MANIFEST_NAME
                         "; it is no checkpoint, or a damaged one",
                         folder);
    return status;
}

ringmoe_status rm_checkpoint_verify_shares(ringmoe_context *context, const char *folder,
                                           const rm_file_manifest *manifest,
                                           rm_block_share share, int64_t *bytes)
{
    const rm_axis *world = &context->world;
    rm_error *error = &context->error;
    rm_block_findings findings;
    ringmoe_status status = rm_file_manifest_verify(manifest, folder, share, &findings, error);
    int64_t first = findings.block, sum = findings.bytes;
    ringmoe_status sent = rm_allreduce(world, &first, 1, MPI_INT64_T, MPI_MIN, error);
    if (sent == RINGMOE_OK) sent = rm_allreduce(world, &sum, 1, MPI_INT64_T, MPI_SUM, error);
    if (sent != RINGMOE_OK) return sent;
    if (bytes) *bytes = sum;
    /* Of several ranks' findings the first in the checkpoint is everyone's. */
    return rm_agree(world, findings.block == first ? status : RINGMOE_OK, error);
}

ringmoe_status rm_checkpoint_verify_files(ringmoe_context *context, const char *folder,
                                          const rm_file_manifest *manifest, int64_t *bytes)
{
    const rm_block_share share = {.number = context->world.rank,
                                  .of = context->world.size,
                                  .n_threads = context->compute.n_threads};
    return rm_checkpoint_verify_shares(context, folder, manifest, share, bytes);
}

/* --- what a model needs ----------------------------------------------------------------------
 */

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
static ringmoe_status verify_by_manifest(ringmoe_context *context, const char *folder)
{
    rm_error *error = &context->error;
    rm_file_manifest manifest = {0};
    ringmoe_status status = rm_checkpoint_read_manifest(folder, &manifest, error);
    status = rm_agree(&context->world, status, error);
    if (status == RINGMOE_OK) status = verify_listed(context, folder, &manifest);
    rm_file_manifest_free(&manifest);
    return status;
}

ringmoe_status rm_verify_weights(ringmoe_context *context, const char *folder)
{
    const rm_axis *world = &context->world;
    int is_checkpoint = world->rank == 0 && rm_is_checkpoint(folder);
    RM_TRY(rm_broadcast(world, &is_checkpoint, 1, MPI_INT, 0, &context->error));
    return is_checkpoint ? verify_by_manifest(context, folder) : RINGMOE_OK;
}

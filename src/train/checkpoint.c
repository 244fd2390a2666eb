/* SPDX-License-Identifier: MIT */
#include "train/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "format/router_biases.h"

/* --- manifest and state ----------------------------------------------------------------------
 */

/* Checks the content of a file that is small enough for each rank to read it. */
static ringmoe_status verify_file(const rm_checkpoint *checkpoint, const char *name,
                                  rm_error *error)
{
    const rm_listed_file *file = rm_file_manifest_find(&checkpoint->manifest, name);
    if (!file)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "%s: " RM_FILE_MANIFEST_NAME " does not list %s", checkpoint->folder,
                       name);
    rm_listed_file listed = *file;
    rm_file_manifest alone = {checkpoint->manifest.block_bytes, &listed, 1};
    rm_block_share all = {.of = 1, .n_threads = 1};
    rm_block_findings findings;
    return rm_file_manifest_verify(&alone, checkpoint->folder, all, &findings, error);
}

ringmoe_status rm_checkpoint_open(rm_checkpoint *checkpoint, const char *folder,
                                  rm_error *error)
{
    *checkpoint = (rm_checkpoint){.folder = folder};
    RM_TRY(rm_checkpoint_read_manifest(folder, &checkpoint->manifest, error));
    RM_TRY(rm_file_manifest_check_sizes(&checkpoint->manifest, folder, error));
    RM_TRY(verify_file(checkpoint, RM_STATE_FILE, error));
    return rm_state_read(&checkpoint->state, folder, NULL, error);
}

ringmoe_status rm_checkpoint_read_biases(rm_checkpoint *checkpoint,
                                         const ringmoe_model_config *config, rm_error *error)
{
    rm_state *state = &checkpoint->state;
    int64_t n = (int64_t)config->num_hidden_layers * config->num_local_experts;
    state->router_biases = calloc((size_t)n + 1, sizeof *state->router_biases);
    state->n_router_biases = n;
    if (!state->router_biases)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for %lld router biases",
                       checkpoint->folder, (long long)n);
    return rm_router_biases_read(checkpoint->folder, config, state->router_biases, error);
}

/* --- tensors ---------------------------------------------------------------------------------
 */

ringmoe_status rm_checkpoint_open_weights(rm_checkpoint *checkpoint, rm_error *error)
{
    return rm_weight_files_open(checkpoint->folder, &checkpoint->weights, error);
}

ringmoe_status rm_checkpoint_open_moments(rm_checkpoint *checkpoint, rm_error *error)
{
    const rm_file_manifest *manifest = &checkpoint->manifest;
    const char **names = calloc((size_t)manifest->n_files + 1, sizeof *names);
    int n = 0;
    if (!names)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its list of files",
                       checkpoint->folder);
    for (int i = 0; i < manifest->n_files; i++)
        if (!strncmp(manifest->files[i].name, RM_OPTIMIZER_PREFIX, strlen(RM_OPTIMIZER_PREFIX)))
            names[n++] = manifest->files[i].name;
    ringmoe_status status =
        rm_weight_files_open_list(checkpoint->folder, names, n, &checkpoint->moments, error);
    free(names);
    return status;
}

void rm_checkpoint_close(rm_checkpoint *checkpoint)
{
    rm_file_manifest_free(&checkpoint->manifest);
    rm_state_free(&checkpoint->state);
    rm_weight_files_close(&checkpoint->weights);
    rm_weight_files_close(&checkpoint->moments);
}

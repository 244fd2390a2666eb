/* SPDX-License-Identifier: MIT
 *
 * Writing a checkpoint. Rank 0 writes everything, to `folder`.tmp; the other ranks send it
 * their parts, one tensor at a time, so that it never holds more than a piece beside its own.
 * When all is on disk the folder gets its name; when anything failed it is removed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "format/config.h"
#include "train/digest.h"
#include "train/folders.h"
#include "train/manifest.h"
#include "train/tensor_files.h"

static void print_index(FILE *out, const ringmoe_trainer *trainer,
                        const rm_tensor_entry *entries, int n_entries)
{
    int64_t bytes = 0;
    for (int i = 0; i < n_entries; i++)
        bytes += entries[i].shape[0] * (entries[i].n_dims > 1 ? entries[i].shape[1] : 1) *
                 (int64_t)sizeof(rm_real);
    fprintf(out, "{\n  \"metadata\": {\"total_size\": %lld},\n  \"weight_map\": {\n",
            (long long)bytes);
    for (int i = 0; i < n_entries; i++)
        fprintf(out, "    \"%s\": \"" RM_WEIGHTS_FILE "\"%s\n", entries[i].name,
                i + 1 < n_entries ? "," : "");
    fprintf(out, "  }\n}\n");
}

static ringmoe_status write_index(const ringmoe_trainer *trainer, const char *path,
                                  rm_error *error)
{
    int n_most = rm_tensor_entries_most(trainer);
    char *text = NULL;
    size_t size = 0;
    rm_tensor_entry *entries = calloc((size_t)n_most, sizeof *entries);
    FILE *out = entries ? open_memstream(&text, &size) : NULL;
    if (out) print_index(out, trainer, entries, rm_weights_file.list(trainer, entries));
    ringmoe_status status;
    if (out && fclose(out) == 0)
        status = rm_file_write_whole(path, text, (int64_t)size, error);
    else
        status = rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for it", path);
    free(text);
    free(entries);
    return status;
}

static ringmoe_status write_small_files(const ringmoe_trainer *trainer,
                                        const rm_manifest *manifest, const char *folder,
                                        rm_error *error)
{
    char *config = rm_path_join(folder, RM_CONFIG_FILE);
    char *index = rm_path_join(folder, RM_INDEX_FILE);
    ringmoe_status status = RINGMOE_OK;
    if (!config || !index)
        status = rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its name", folder);
    if (status == RINGMOE_OK)
        status = rm_config_write(ringmoe_model_get_config(trainer->model), config, error);
    if (status == RINGMOE_OK) status = write_index(trainer, index, error);
    if (status == RINGMOE_OK) status = rm_manifest_write(manifest, folder, error);
    free(config);
    free(index);
    return status;
}

/* Collective. */
static ringmoe_status fill_manifest(const ringmoe_trainer *trainer, rm_manifest *manifest)
{
    const ringmoe_mesh *mesh = trainer->mesh;
    *manifest = (rm_manifest){
        .step = trainer->steps_done,
        .recipe = trainer->recipe,
        .layout = ringmoe_mesh_get_dims(mesh),
        .kernel_level = mesh->context->compute.kernels->level,
    };
    if (ringmoe_model_get_config(trainer->model)->router_balance_global) {
        manifest->balance_counts = trainer->measures.last_counts;
        manifest->n_balance_counts = rm_measures_counts(&trainer->measures);
    }
    RM_TRY(rm_weights_digest(trainer, manifest->weights_hash));
    RM_TRY(rm_shards_digest(trainer, trainer->optimizer.moments1, manifest->moment1_hash));
    return rm_shards_digest(trainer, trainer->optimizer.moments2, manifest->moment2_hash);
}

/* Collective: everything into the temporary folder. */
static ringmoe_status write_all(const ringmoe_trainer *trainer, const rm_folder_names *names)
{
    const rm_axis *axis = &trainer->mesh->context->world;
    rm_error *error = &trainer->mesh->context->error;
    rm_manifest manifest;
    RM_TRY(fill_manifest(trainer, &manifest));
    ringmoe_status status = RINGMOE_OK;
    if (axis->rank == 0) status = rm_folder_open(names, error);
    if (axis->rank == 0 && status == RINGMOE_OK)
        status = write_small_files(trainer, &manifest, names->temporary, error);
    RM_TRY(rm_agree(axis, status, error));
    RM_TRY(rm_tensor_file_write(trainer, &rm_weights_file, names->temporary));
    return rm_tensor_file_write(trainer, &rm_optimizer_file, names->temporary);
}

ringmoe_status ringmoe_trainer_save(ringmoe_trainer *trainer, const char *folder)
{
    if (!trainer) return RINGMOE_ERROR_ARGUMENT;
    const rm_axis *axis = &trainer->mesh->context->world;
    rm_error *error = &trainer->mesh->context->error;
    rm_folder_names names;
    rm_progress_at(axis->progress, (rm_label){.step = trainer->steps_done,
                                              .layer = -1,
                                              .operation = RM_OPERATION_CHECKPOINT});
    ringmoe_status status = rm_agree(axis, rm_folder_names_init(&names, folder, error), error);
    if (status == RINGMOE_OK) {
        status = write_all(trainer, &names);
        if (status == RINGMOE_OK && axis->rank == 0) status = rm_folder_publish(&names, error);
        if (status != RINGMOE_OK && axis->rank == 0) rm_folder_abandon(&names);
        status = rm_agree(axis, status, error);
    }
    rm_folder_names_free(&names);
    return status;
}

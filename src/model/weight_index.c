/* SPDX-License-Identifier: MIT */
#include "model/weight_index.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "format/json.h"
#include "format/printable.h"

/* Two million tensors. */
static const rm_json_limits index_limits = {
    .bytes = (int64_t)256 << 20, .values = (int64_t)1 << 21, .depth = 4};

static ringmoe_status fail_memory(const char *folder, rm_error *error)
{
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its index", folder);
}

/* A FORMAT error of the index that names a tensor or a file. */
static ringmoe_status bad(const rm_weight_index *index, const char *what, const char *name,
                          const char *rule, rm_error *error)
{
    rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: %s %.150s %s", index->path, what, name, rule);
    if (error) rm_text_make_printable(error->text);
    return RINGMOE_ERROR_FORMAT;
}

/* The distinct files of the map, in the order they are first named. */
static ringmoe_status list_files(rm_weight_index *index, rm_error *error)
{
    const char *tensor;
    json_t *value;
    json_object_foreach(index->map, tensor, value)
    {
        const char *name = json_string_value(value);
        if (!name || !*name || strchr(name, '/') || name[0] == '.')
            return bad(index, "the file of tensor", tensor,
                       "is not the name of a file beside it", error);
        if (json_object_set(index->distinct, name, value) != 0)
            return fail_memory(index->path, error);
    }
    index->files = calloc(json_object_size(index->distinct), sizeof *index->files);
    if (!index->files) return fail_memory(index->path, error);
    const char *file;
    json_object_foreach(index->distinct, file, value)
    {
        index->files[index->n_files++] = file;
    }
    return RINGMOE_OK;
}

ringmoe_status rm_weight_index_read(const char *folder, rm_weight_index *index, rm_error *error)
{
    *index = (rm_weight_index){.path = rm_path_join(folder, RM_WEIGHT_INDEX_NAME)};
    index->distinct = json_object();
    if (!index->path || !index->distinct) return fail_memory(folder, error);
    RM_TRY(rm_json_read(index->path, &index_limits, &index->root, error));
    index->map = json_object_get(index->root, "weight_map");
    if (!json_is_object(index->map) || json_object_size(index->map) == 0)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: weight_map is missing or empty",
                       index->path);
    return list_files(index, error);
}

void rm_weight_index_free(rm_weight_index *index)
{
    json_decref(index->root);
    json_decref(index->distinct);
    free(index->files);
    free(index->path);
    *index = (rm_weight_index){0};
}

static bool is_weights_name(const char *name)
{
    static const char suffix[] = ".safetensors";
    size_t length = strlen(name), n = sizeof suffix - 1;
    return length > n && !strncmp(name, "model", 5) && !strcmp(name + length - n, suffix);
}

ringmoe_status rm_weight_index_check_folder(const rm_weight_index *index, const char *folder,
                                            rm_error *error)
{
    DIR *listing = rm_folder_list(folder);
    if (!listing)
        return rm_fail(error, RINGMOE_ERROR_FILE, "%s: cannot open this folder: %s", folder,
                       strerror(errno));
    ringmoe_status status = RINGMOE_OK;
    for (struct dirent *entry; status == RINGMOE_OK && (entry = readdir(listing));)
        if (is_weights_name(entry->d_name) && !json_object_get(index->distinct, entry->d_name))
            status =
                bad(index, "does not name", entry->d_name,
                    "which lies beside it; remove the one that is not of this model", error);
    closedir(listing);
    return status;
}

ringmoe_status rm_weight_index_check_tensors(const rm_weight_index *index,
                                             const rm_weight_files *files, rm_error *error)
{
    const char *name;
    json_t *value;
    json_object_foreach(index->map, name, value)
    {
        const rm_stored_tensor *stored = rm_weight_files_find(files, name);
        if (!stored) return bad(index, "tensor", name, "is in none of its files", error);
        if (strcmp(files->names[stored->file], json_string_value(value)) != 0)
            return bad(index, "tensor", name, "is in another file than it says", error);
    }
    for (int64_t i = 0; i < files->n_tensors; i++)
        if (!json_object_get(index->map, files->tensors[i].tensor->name))
            return bad(index, "tensor", files->tensors[i].tensor->name,
                       "is in a file, but not in its weight_map", error);
    return RINGMOE_OK;
}

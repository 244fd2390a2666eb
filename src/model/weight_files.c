/* SPDX-License-Identifier: MIT */
#include "model/weight_files.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INDEX_LIMIT_BYTES ((int64_t)64 << 20)
#define INDEX_NAME "model.safetensors.index.json"

static ringmoe_status fail_memory(const char *folder, rm_error *error)
{
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its list of files", folder);
}

/* Opens one more file of the folder. */
static ringmoe_status open_file(const char *folder, const char *name, rm_weight_files *files,
                                rm_error *error)
{
    rm_safetensors **grown =
        realloc(files->files, (size_t)(files->n_files + 1) * sizeof *files->files);
    if (!grown) return fail_memory(folder, error);
    files->files = grown;
    char *path = rm_path_join(folder, name);
    if (!path) return fail_memory(folder, error);
    ringmoe_status status = rm_safetensors_open(path, &files->files[files->n_files], error);
    if (status == RINGMOE_OK) files->n_files++;
    free(path);
    return status;
}

/* The distinct file names of an index, as the keys of a JSON object. */
static ringmoe_status collect_names(const char *path, json_t *map, json_t *names,
                                    rm_error *error)
{
    const char *tensor;
    json_t *value;
    if (!json_is_object(map) || json_object_size(map) == 0)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: weight_map is missing or empty", path);
    json_object_foreach(map, tensor, value)
    {
        const char *name = json_string_value(value);
        if (!name || !*name || strchr(name, '/') || name[0] == '.')
            return rm_fail(error, RINGMOE_ERROR_FORMAT,
                           "%s: the file of tensor %s is not the name of a file beside it",
                           path, tensor);
        if (json_object_set(names, name, value) != 0) return fail_memory(path, error);
    }
    return RINGMOE_OK;
}

static ringmoe_status open_named(const char *folder, json_t *names, rm_weight_files *files,
                                 rm_error *error)
{
    const char *name;
    json_t *value;
    json_object_foreach(names, name, value)
    {
        RM_TRY(open_file(folder, name, files, error));
    }
    return RINGMOE_OK;
}

static ringmoe_status open_indexed(const char *folder, const char *path, rm_weight_files *files,
                                   rm_error *error)
{
    char *text;
    int64_t size;
    RM_TRY(rm_file_read(path, INDEX_LIMIT_BYTES, &text, &size, error));
    json_error_t json_error;
    json_t *root = json_loadb(text, (size_t)size, JSON_REJECT_DUPLICATES, &json_error);
    json_t *names = json_object();
    ringmoe_status status = RINGMOE_OK;
    if (!names)
        status = fail_memory(folder, error);
    else if (!root)
        status = rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: line %d: %s", path, json_error.line,
                         json_error.text);
    else
        status = collect_names(path, json_object_get(root, "weight_map"), names, error);
    if (status == RINGMOE_OK) status = open_named(folder, names, files, error);
    json_decref(names);
    json_decref(root);
    free(text);
    return status;
}

ringmoe_status rm_weight_files_open(const char *folder, rm_weight_files *files, rm_error *error)
{
    *files = (rm_weight_files){0};
    char *index = rm_path_join(folder, INDEX_NAME);
    if (!index) return fail_memory(folder, error);
    ringmoe_status status = access(index, F_OK) == 0
                                ? open_indexed(folder, index, files, error)
                                : open_file(folder, "model.safetensors", files, error);
    free(index);
    return status;
}

void rm_weight_files_close(rm_weight_files *files)
{
    for (int i = 0; i < files->n_files; i++) rm_safetensors_close(&files->files[i]);
    free(files->files);
    *files = (rm_weight_files){0};
}

int64_t rm_weight_files_count(const rm_weight_files *files)
{
    int64_t count = 0;
    for (int i = 0; i < files->n_files; i++) count += rm_safetensors_count(files->files[i]);
    return count;
}

const rm_tensor *rm_weight_files_find(const rm_weight_files *files, const char *name)
{
    const rm_tensor *tensor = NULL;
    for (int i = 0; i < files->n_files && !tensor; i++)
        tensor = rm_safetensors_find(files->files[i], name);
    return tensor;
}

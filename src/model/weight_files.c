/* SPDX-License-Identifier: MIT */
#include "model/weight_files.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/weight_index.h"

static ringmoe_status fail_memory(const char *folder, rm_error *error)
{
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its list of files", folder);
}

/* Opens the next file of the folder; there is room for it. */
static ringmoe_status open_file(const char *folder, const char *name, rm_weight_files *files,
                                rm_error *error)
{
    int next = files->n_files;
    char *path = rm_path_join(folder, name);
    files->names[next] = strdup(name);
    ringmoe_status status = path && files->names[next]
                                ? rm_safetensors_open(path, &files->files[next], error)
                                : fail_memory(folder, error);
    free(path);
    if (status != RINGMOE_OK) free(files->names[next]);
    files->n_files += status == RINGMOE_OK;
    return status;
}

static int compare_tensors(const void *a, const void *b)
{
    const rm_stored_tensor *left = a, *right = b;
    int order = strcmp(left->tensor->name, right->tensor->name);
    return order ? order : (left->file > right->file) - (left->file < right->file);
}

/* Gathers the tensors of all files. */
static ringmoe_status list_tensors(const char *folder, rm_weight_files *files, rm_error *error)
{
    int64_t count = files->gguf ? rm_gguf_count(files->gguf) : 0, n = 0;
    for (int i = 0; i < files->n_files; i++) count += rm_safetensors_count(files->files[i]);
    files->tensors = calloc((size_t)count + 1, sizeof *files->tensors);
    if (!files->tensors) return fail_memory(folder, error);
    for (; files->gguf && n < count; n++)
        files->tensors[n] = (rm_stored_tensor){rm_gguf_tensor(files->gguf, (int)n), 0};
    for (int i = 0; i < files->n_files; i++)
        for (int at = 0; at < rm_safetensors_count(files->files[i]); at++)
            files->tensors[n++] =
                (rm_stored_tensor){rm_safetensors_tensor(files->files[i], at), i};
    files->n_tensors = n;
    qsort(files->tensors, (size_t)n, sizeof *files->tensors, compare_tensors);
    for (int64_t i = 1; i < n; i++) {
        const rm_stored_tensor *first = &files->tensors[i - 1], *again = &files->tensors[i];
        if (!strcmp(first->tensor->name, again->tensor->name))
            return rm_fail(error, RINGMOE_ERROR_FORMAT,
                           "%s: tensor %.150s is in two files, %.80s and %.80s", folder,
                           again->tensor->name, files->names[first->file],
                           files->names[again->file]);
    }
    return RINGMOE_OK;
}

ringmoe_status rm_weight_files_open_list(const char *folder, const char *const *names, int n,
                                         rm_weight_files *files, rm_error *error)
{
    *files = (rm_weight_files){0};
    files->files = calloc((size_t)n + 1, sizeof(*files->files));
    files->names = calloc((size_t)n + 1, sizeof(*files->names));
    if (!files->files || !files->names) return fail_memory(folder, error);
    for (int i = 0; i < n; i++) RM_TRY(open_file(folder, names[i], files, error));
    return list_tensors(folder, files, error);
}

static ringmoe_status open_indexed(const char *folder, rm_weight_files *files, rm_error *error)
{
    rm_weight_index index;
    ringmoe_status status = rm_weight_index_read(folder, &index, error);
    if (status == RINGMOE_OK) status = rm_weight_index_check_folder(&index, folder, error);
    if (status == RINGMOE_OK)
        status = rm_weight_files_open_list(folder, index.files, index.n_files, files, error);
    if (status == RINGMOE_OK) status = rm_weight_index_check_tensors(&index, files, error);
    rm_weight_index_free(&index);
    return status;
}

ringmoe_status rm_weight_files_open(const char *folder, rm_weight_files *files, rm_error *error)
{
    static const char *const single = RM_SINGLE_WEIGHTS_NAME;
    *files = (rm_weight_files){0};
    char *index = rm_path_join(folder, RM_WEIGHT_INDEX_NAME);
    if (!index) return fail_memory(folder, error);
    ringmoe_status status = access(index, F_OK) == 0
                                ? open_indexed(folder, files, error)
                                : rm_weight_files_open_list(folder, &single, 1, files, error);
    free(index);
    return status;
}

ringmoe_status rm_weight_files_open_gguf(const char *path, rm_weight_files *files,
                                         rm_error *error)
{
    *files = (rm_weight_files){0};
    RM_TRY(rm_gguf_open(path, &files->gguf, error));
    return list_tensors(path, files, error);
}

void rm_weight_files_close(rm_weight_files *files)
{
    for (int i = 0; i < files->n_files; i++) {
        rm_safetensors_close(&files->files[i]);
        free(files->names[i]);
    }
    rm_gguf_close(&files->gguf);
    free(files->files);
    free(files->names);
    free(files->tensors);
    *files = (rm_weight_files){0};
}

static int compare_name(const void *name, const void *stored)
{
    return strcmp(name, ((const rm_stored_tensor *)stored)->tensor->name);
}

const rm_stored_tensor *rm_weight_files_find(const rm_weight_files *files, const char *name)
{
    return bsearch(name, files->tensors, (size_t)files->n_tensors, sizeof *files->tensors,
                   compare_name);
}

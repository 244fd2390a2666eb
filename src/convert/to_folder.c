/* SPDX-License-Identifier: MIT
 *
 * A Hugging Face folder: config.json, model.safetensors or several files with an index, and the
 * tokenizer's files. It is made under another name, which it gives up when it is complete.
 */
#include <jansson.h>
#include <ringmoe/tokenizer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "convert/conversion.h"
#include "format/config.h"
#include "model/weight_index.h"

enum { FILE_NAME_BYTES = 64 };

/* What lies beside a model and is copied as it is. */
static const char *const companions[] = {
    "tokenizer.json",      "tokenizer_config.json", "special_tokens_map.json",
    "chat_template.jinja", "added_tokens.json",     "vocab.json",
    "merges.txt",          "tokenizer.model",       "generation_config.json",
};
enum { N_COMPANIONS = sizeof companions / sizeof *companions };
static const int64_t most_companion_bytes = (int64_t)1 << 30;

/* The tensor behind the last one that goes into the same file as `first`. */
static int end_of_file(const rm_conversion *conversion, int first)
{
    int64_t bytes = conversion->tensors[first].bytes;
    int end = first + 1;
    while (end < conversion->n_tensors &&
           bytes + conversion->tensors[end].bytes <= conversion->settings->file_bytes)
        bytes += conversion->tensors[end++].bytes;
    return end;
}

static int count_files(const rm_conversion *conversion)
{
    int n = 0;
    for (int first = 0; first < conversion->n_tensors; n++)
        first = end_of_file(conversion, first);
    return n;
}

static void file_name(int file, int n_files, char name[FILE_NAME_BYTES])
{
    if (n_files == 1)
        snprintf(name, FILE_NAME_BYTES, "%s", RM_SINGLE_WEIGHTS_NAME);
    else
        snprintf(name, FILE_NAME_BYTES, "model-%05d-of-%05d.safetensors", file + 1, n_files);
}

static ringmoe_status fail_memory(const rm_conversion *conversion)
{
    return rm_fail(conversion->error, RINGMOE_ERROR_MEMORY, "%s: no memory to write it",
                   conversion->out);
}

static ringmoe_status append(void *writer, const void *data, int64_t bytes, rm_error *error)
{
    return rm_safetensors_append(writer, data, bytes, error);
}

/* Tensors [first, end) to a file. */
static ringmoe_status write_file(rm_conversion *conversion, const char *path, int first,
                                 int end)
{
    rm_safetensors_writer *writer;
    rm_tensor_entry *entries = calloc((size_t)(end - first), sizeof *entries);
    if (!entries) return fail_memory(conversion);
    for (int i = first; i < end; i++) entries[i - first] = conversion->tensors[i].entry;
    ringmoe_status status =
        rm_safetensors_create(path, entries, end - first, &writer, conversion->error);
    free(entries);
    if (status != RINGMOE_OK) return status;
    for (int i = first; status == RINGMOE_OK && i < end; i++)
        status = rm_conversion_write(conversion, &conversion->tensors[i], append, writer);
    if (status == RINGMOE_OK) return rm_safetensors_commit(&writer, conversion->error);
    rm_safetensors_abandon(&writer);
    return status;
}

static ringmoe_status write_files(rm_conversion *conversion, const char *folder)
{
    int n_files = count_files(conversion), first = 0;
    ringmoe_status status = RINGMOE_OK;
    for (int file = 0; status == RINGMOE_OK && file < n_files; file++) {
        char name[FILE_NAME_BYTES];
        int end = end_of_file(conversion, first);
        file_name(file, n_files, name);
        char *path = rm_path_join(folder, name);
        status = path ? write_file(conversion, path, first, end) : fail_memory(conversion);
        free(path);
        first = end;
    }
    return status;
}

/* NULL without memory. */
static json_t *make_map(const rm_conversion *conversion)
{
    int n_files = count_files(conversion), first = 0;
    json_t *map = json_object();
    bool is_whole = map != NULL;
    for (int file = 0; is_whole && file < n_files; file++) {
        char name[FILE_NAME_BYTES];
        int end = end_of_file(conversion, first);
        file_name(file, n_files, name);
        for (int i = first; is_whole && i < end; i++)
            is_whole = json_object_set_new(map, conversion->tensors[i].entry.name,
                                           json_string(name)) == 0;
        first = end;
    }
    if (is_whole) return map;
    json_decref(map);
    return NULL;
}

static ringmoe_status write_index(const rm_conversion *conversion, const char *folder)
{
    json_t *map = make_map(conversion);
    json_t *index = map ? json_pack("{s:{s:I}, s:o}", "metadata", "total_size",
                                    (json_int_t)conversion->total, "weight_map", map)
                        : NULL;
    size_t size = index ? json_dumpb(index, NULL, 0, JSON_INDENT(2)) : 0;
    char *text = size > 0 ? malloc(size) : NULL;
    char *path = rm_path_join(folder, RM_WEIGHT_INDEX_NAME);
    ringmoe_status status =
        text && path && json_dumpb(index, text, size, JSON_INDENT(2)) == size
            ? rm_file_write_whole(path, text, (int64_t)size, conversion->error)
            : fail_memory(conversion);
    free(path);
    free(text);
    json_decref(index);
    return status;
}

static ringmoe_status copy_file(const rm_conversion *conversion, const char *folder,
                                const char *name)
{
    char *from = rm_path_join(conversion->model, name), *to = rm_path_join(folder, name);
    char *content = NULL;
    int64_t size;
    ringmoe_status status = from && to ? RINGMOE_OK : fail_memory(conversion);
    if (status == RINGMOE_OK && access(from, F_OK) == 0) {
        status = rm_file_read(from, most_companion_bytes, &content, &size, conversion->error);
        if (status == RINGMOE_OK)
            status = rm_file_write_whole(to, content, size, conversion->error);
    }
    free(content);
    free(from);
    free(to);
    return status;
}

/* The lists of a GGUF file as a tokenizer's files; it may have none. */
static ringmoe_status write_tokenizer(const rm_conversion *conversion, const char *folder)
{
    ringmoe_tokenizer *tokenizer = NULL;
    rm_error kept = *conversion->error;
    ringmoe_status status =
        ringmoe_tokenizer_open(conversion->context, conversion->model, &tokenizer);
    if (status == RINGMOE_ERROR_STATE) {
        *conversion->error = kept;
        return RINGMOE_OK;
    }
    if (status == RINGMOE_OK)
        status = ringmoe_tokenizer_save(tokenizer, folder);
    else
        status = rm_conversion_refuse_tokenizer(conversion, status);
    ringmoe_tokenizer_destroy(&tokenizer);
    return status;
}

static ringmoe_status write_companions(const rm_conversion *conversion, const char *folder)
{
    if (conversion->settings->without_tokenizer) return RINGMOE_OK;
    if (!rm_path_is_folder(conversion->model)) return write_tokenizer(conversion, folder);
    for (int i = 0; i < N_COMPANIONS; i++) RM_TRY(copy_file(conversion, folder, companions[i]));
    return RINGMOE_OK;
}

static ringmoe_status fill_folder(rm_conversion *conversion, const char *folder)
{
    const char *dtype = conversion->type == RM_DTYPE_BF16 ? "bfloat16" : "float32";
    char *config = rm_path_join(folder, "config.json");
    ringmoe_status status =
        config ? rm_config_write_as(&conversion->to, dtype, config, conversion->error)
               : fail_memory(conversion);
    free(config);
    if (status == RINGMOE_OK) status = write_companions(conversion, folder);
    if (status == RINGMOE_OK && count_files(conversion) > 1)
        status = write_index(conversion, folder);
    return status == RINGMOE_OK ? write_files(conversion, folder) : status;
}

/* Fills `folder`, which is not there yet, and gives it its name. */
static ringmoe_status make_folder(rm_conversion *conversion, const char *folder,
                                  const char *name)
{
    if (access(folder, F_OK) == 0)
        return rm_fail(
            conversion->error, RINGMOE_ERROR_FILE,
            "%s is there; remove it if it is what a conversion left that was stopped", folder);
    ringmoe_status status = rm_folder_create(folder, conversion->error);
    if (status != RINGMOE_OK) return status;
    status = fill_folder(conversion, folder);
    if (status == RINGMOE_OK) status = rm_path_rename(folder, name, conversion->error);
    if (status != RINGMOE_OK) rm_folder_remove(folder, NULL);
    return status;
}

ringmoe_status rm_conversion_to_folder(rm_conversion *conversion)
{
    size_t length = strlen(conversion->out), room = length + sizeof ".tmp";
    char *name = strdup(conversion->out), *folder = malloc(room);
    ringmoe_status status;
    if (!name || !folder) {
        status = fail_memory(conversion);
    } else {
        while (length > 1 && name[length - 1] == '/') name[--length] = 0;
        snprintf(folder, room, "%s.tmp", name);
        status = make_folder(conversion, folder, name);
    }
    free(name);
    free(folder);
    return status;
}

/* SPDX-License-Identifier: MIT
 *
 * Opening a GGUF file. How long its header is one knows only at its end, so a beginning of the
 * file is copied and read, and, if that was cut short, a longer one.
 */
#include "format/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "format/gguf_file.h"

static const int64_t first_bytes = (int64_t)1 << 20, most_header_bytes = (int64_t)1 << 30;

/* Frees what was read. */
static void forget(rm_gguf *file)
{
    for (int i = 0; i < file->n_values; i++) free(file->values[i].texts);
    free(file->values);
    free(file->by_key);
    free(file->tensors);
    free(file->names);
    free(file->header);
    *file = (rm_gguf){.source = file->source};
}

static ringmoe_status read_header(rm_gguf *file, rm_gguf_cursor *cursor, rm_error *error)
{
    const unsigned char *magic;
    uint32_t version;
    uint64_t n_tensors, n_values;
    RM_TRY(rm_gguf_take(cursor, 1, 4, &magic));
    if (memcmp(magic, "GGUF", 4) != 0)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "is no GGUF file: it does not begin with GGUF");
    RM_TRY(rm_gguf_take_u32(cursor, &version));
    if (version >= 1u << 24 && (version & 0xffffff) == 0)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "its numbers are big-endian; only little-endian ones are read");
    if (version != 2 && version != 3)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "is of version %u; versions 2 and 3 are read", version);
    RM_TRY(rm_gguf_take_u64(cursor, &n_tensors));
    RM_TRY(rm_gguf_take_u64(cursor, &n_values));
    RM_TRY(rm_gguf_read_values(file, cursor, n_values, error));
    return rm_gguf_read_tensors(file, cursor, n_tensors, error);
}

/* A copy of the file's first bytes, in place of an older one. */
static ringmoe_status copy_beginning(rm_gguf *file, int64_t bytes, rm_error *error)
{
    forget(file);
    file->header = malloc((size_t)bytes + 1);
    if (!file->header) return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for its header");
    return rm_tensor_source_read(&file->source, 0, file->header, bytes, error);
}

static ringmoe_status read_file(void *opened, rm_error *error)
{
    rm_gguf *file = opened;
    int64_t size = file->source.map.size,
            most = size < most_header_bytes ? size : most_header_bytes;
    for (int64_t bytes = first_bytes;; bytes *= 4) {
        if (bytes > most) bytes = most;
        RM_TRY(copy_beginning(file, bytes, error));
        rm_gguf_cursor cursor = {.at = file->header, .end = file->header + bytes};
        cursor.begin = cursor.at;
        cursor.behind = (uint64_t)(size - bytes);
        ringmoe_status status = read_header(file, &cursor, error);
        if (!cursor.ran_out) return status;
        if (bytes < most && !cursor.is_over) continue;
        bool is_endless = most < size && !cursor.is_over;
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "its header goes on behind byte %lld, %s",
                       (long long)(is_endless ? most : size),
                       is_endless ? "which is longer than any model's"
                                  : "where the file ends; it is damaged or cut short");
    }
}

ringmoe_status rm_gguf_open_one(const char *path, rm_gguf **file, rm_error *error)
{
    *file = NULL;
    rm_gguf *opened = calloc(1, sizeof *opened);
    if (!opened) return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory to open it", path);
    ringmoe_status status =
        rm_tensor_source_open(&opened->source, path, read_file, opened, error);
    if (status != RINGMOE_OK) rm_gguf_close(&opened);
    *file = opened;
    return status;
}

ringmoe_status rm_gguf_open(const char *path, rm_gguf **file, rm_error *error)
{
    RM_TRY(rm_gguf_open_one(path, file, error));
    ringmoe_status status = rm_gguf_open_parts(*file, error);
    if (status == RINGMOE_OK) status = rm_gguf_check_names(*file, error);
    if (status != RINGMOE_OK) rm_gguf_close(file);
    return status;
}

void rm_gguf_close(rm_gguf **file)
{
    if (!file || !*file) return;
    for (int i = 0; i < (*file)->n_parts; i++) rm_gguf_close(&(*file)->parts[i]);
    free((*file)->parts);
    forget(*file);
    rm_tensor_source_close(&(*file)->source);
    free(*file);
    *file = NULL;
}

const char *rm_gguf_path(const rm_gguf *file)
{
    return file->source.path;
}

int rm_gguf_file_count(const rm_gguf *file)
{
    return 1 + file->n_parts;
}

int rm_gguf_count(const rm_gguf *file)
{
    int n = file->n_tensors;
    for (int i = 0; i < file->n_parts; i++) n += file->parts[i]->n_tensors;
    return n;
}

const rm_tensor *rm_gguf_tensor(const rm_gguf *file, int index)
{
    const rm_gguf *part = file;
    for (int i = 0; index >= part->n_tensors; i++) {
        index -= part->n_tensors;
        part = file->parts[i];
    }
    return &part->tensors[index];
}

bool rm_path_is_gguf(const char *path)
{
    size_t length = strlen(path);
    return length > 5 && !strcmp(path + length - 5, ".gguf") && !rm_path_is_folder(path);
}

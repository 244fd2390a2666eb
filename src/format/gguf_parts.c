/* SPDX-License-Identifier: MIT
 *
 * A model in several GGUF files, as llama-gguf-split makes them: NAME-00001-of-00003.gguf has
 * all keys, the others have their number and further tensors.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/gguf_file.h"

enum { PARTS_MOST = 99999, NUMBER_BYTES = 32 };

static ringmoe_status read_number(const rm_gguf *file, const char *key, int64_t otherwise,
                                  int64_t *number, rm_error *error)
{
    const rm_gguf_value *value = rm_gguf_find(file, key);
    *number = otherwise;
    if (!value || (!value->is_array && rm_gguf_integer(value, 0, number) && *number >= 0 &&
                   *number <= INT32_MAX))
        return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: key %s: must be a whole number",
                   file->source.path, key);
}

/* Bytes of the path before its "-00001-of-00003.gguf"; -1: it has another end. */
static int stem_length(const char *path, int64_t index, int64_t count)
{
    char end[NUMBER_BYTES];
    int length = (int)strlen(path);
    int n = snprintf(end, sizeof end, "-%05d-of-%05d.gguf", (int)index + 1, (int)count);
    return length > n && !strcmp(path + length - n, end) ? length - n : -1;
}

static ringmoe_status open_part(rm_gguf *file, int64_t index, int64_t count, rm_error *error)
{
    size_t room = strlen(file->source.path) + NUMBER_BYTES;
    char *path = malloc(room);
    rm_gguf *part = NULL;
    int64_t own_index, own_count;
    if (!path) return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory", file->source.path);
    snprintf(path, room, "%.*s-%05d-of-%05d.gguf", stem_length(file->source.path, 0, count),
             file->source.path, (int)index + 1, (int)count);
    ringmoe_status status = rm_gguf_open_one(path, &part, error);
    free(path);
    if (status != RINGMOE_OK) return status;
    file->parts[file->n_parts++] = part;
    RM_TRY(read_number(part, "split.no", -1, &own_index, error));
    RM_TRY(read_number(part, "split.count", -1, &own_count, error));
    if (own_index == index && own_count == count) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "%s: says it is file %lld of %lld; its name and %s say another",
                   part->source.path, (long long)own_index + 1, (long long)own_count,
                   file->source.path);
}

static ringmoe_status check_first(const rm_gguf *file, int64_t index, int64_t count,
                                  rm_error *error)
{
    if (count > PARTS_MOST)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "%s: is one of %lld files of a model; at most %d are read",
                       file->source.path, (long long)count, PARTS_MOST);
    if (index != 0)
        return rm_fail(
            error, RINGMOE_ERROR_FORMAT,
            "%s: is file %lld of %lld of a model; give the first, whose name ends in "
            "-00001-of-%05d.gguf",
            file->source.path, (long long)index + 1, (long long)count, (int)count);
    if (stem_length(file->source.path, 0, count) >= 0) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "%s: is the first of %lld files of a model, and its name must end in "
                   "-00001-of-%05d.gguf, so that the others are found",
                   file->source.path, (long long)count, (int)count);
}

ringmoe_status rm_gguf_open_parts(rm_gguf *file, rm_error *error)
{
    int64_t count, index, n_tensors;
    RM_TRY(read_number(file, "split.count", 1, &count, error));
    RM_TRY(read_number(file, "split.no", 0, &index, error));
    if (count <= 1) return RINGMOE_OK;
    RM_TRY(check_first(file, index, count, error));
    file->parts = calloc((size_t)count, sizeof(*file->parts));
    if (!file->parts)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory", file->source.path);
    for (index = 1; index < count; index++) RM_TRY(open_part(file, index, count, error));
    RM_TRY(read_number(file, "split.tensors.count", rm_gguf_count(file), &n_tensors, error));
    if (n_tensors == rm_gguf_count(file)) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "%s: its %lld files should have %lld tensors and have %d", file->source.path,
                   (long long)count, (long long)n_tensors, rm_gguf_count(file));
}

/* SPDX-License-Identifier: MIT
 *
 * Writing safetensors, tensor after tensor. The header is padded with blanks so that the data
 * begins at a multiple of 8 bytes, and carries the metadata {"format": "pt"}, without which
 * transformers refuses a file.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "format/dtype.h"
#include "format/safetensors.h"

enum { LENGTH_BYTES = 8, HEADER_ALIGN = 8 };

struct rm_safetensors_writer {
    rm_file_writer file;
    int64_t total;    /* bytes of data the entries promise */
    int64_t appended; /* bytes of data so far */
};

/* Bytes of an entry's data. */
static ringmoe_status entry_bytes(const rm_tensor_entry *entry, int64_t *bytes, rm_error *error)
{
    bool valid = entry->n_dims >= 0 && entry->n_dims <= RM_TENSOR_MAX_DIMS;
    *bytes = rm_dtype_bytes(entry->dtype);
    for (int i = 0; valid && i < entry->n_dims; i++)
        valid = entry->shape[i] >= 0 && !__builtin_mul_overflow(*bytes, entry->shape[i], bytes);
    if (valid) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "tensor %s: its shape cannot be stored",
                   entry->name);
}

/* NULL without memory. */
static json_t *shape_json(const rm_tensor_entry *entry)
{
    json_t *shape = json_array();
    bool whole = shape != NULL;
    for (int i = 0; i < entry->n_dims && whole; i++)
        whole = json_array_append_new(shape, json_integer(entry->shape[i])) == 0;
    if (whole) return shape;
    json_decref(shape);
    return NULL;
}

/* NULL without memory. */
static json_t *entry_json(const rm_tensor_entry *entry, int64_t begin, int64_t end)
{
    json_t *shape = shape_json(entry);
    if (!shape) return NULL;
    return json_pack("{s:s, s:o, s:[I,I]}", "dtype", rm_dtype_name(entry->dtype), "shape",
                     shape, "data_offsets", (json_int_t)begin, (json_int_t)end);
}

/* An entry that jansson did not take: for its name, or without memory. */
static ringmoe_status refuse_entry(const rm_tensor_entry *entry, rm_error *error)
{
    for (const char *at = entry->name; *at; at++)
        if ((unsigned char)*at >= 0x80)
            return rm_fail(error, RINGMOE_ERROR_FORMAT,
                           "tensor %s: cannot be written as JSON (is its name UTF-8?)",
                           entry->name);
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "tensor %s: no memory for its entry",
                   entry->name);
}

/* Adds all entries to the header and sums their bytes. */
static ringmoe_status add_entries(const rm_tensor_entry *entries, int n_entries, json_t *header,
                                  int64_t *total, rm_error *error)
{
    *total = 0;
    for (int i = 0; i < n_entries; i++) {
        const rm_tensor_entry *entry = &entries[i];
        int64_t bytes, begin = *total;
        RM_TRY(entry_bytes(entry, &bytes, error));
        if (__builtin_add_overflow(*total, bytes, total))
            return rm_fail(error, RINGMOE_ERROR_FORMAT,
                           "tensor %s: the file would be too large", entry->name);
        if (json_object_get(header, entry->name))
            return rm_fail(error, RINGMOE_ERROR_FORMAT, "tensor %s: is named twice",
                           entry->name);
        if (json_object_set_new(header, entry->name, entry_json(entry, begin, *total)) != 0)
            return refuse_entry(entry, error);
    }
    return RINGMOE_OK;
}

/* Length and padded JSON, in new memory; NULL: there is none. */
static char *frame(const char *json, int64_t *bytes)
{
    size_t length = strlen(json);
    size_t padding = (HEADER_ALIGN - length % HEADER_ALIGN) % HEADER_ALIGN;
    char *header = malloc(LENGTH_BYTES + length + padding);
    if (!header) return NULL;
    for (int i = 0; i < LENGTH_BYTES; i++)
        header[i] = (char)((uint64_t)(length + padding) >> (8 * i));
    memcpy(header + LENGTH_BYTES, json, length);
    memset(header + LENGTH_BYTES + length, ' ', padding);
    *bytes = (int64_t)(LENGTH_BYTES + length + padding);
    return header;
}

/* json_dumps does not look whether the text of a key found memory; into a buffer of ours
 * nothing gets lost. NULL without memory. */
static char *text_of(const json_t *object)
{
    size_t size = json_dumpb(object, NULL, 0, JSON_COMPACT);
    char *text = size > 0 ? malloc(size + 1) : NULL;
    bool is_whole = text && json_dumpb(object, text, size, JSON_COMPACT) == size;
    if (is_whole) text[size] = 0;
    if (is_whole) return text;
    free(text);
    return NULL;
}

static ringmoe_status make_header(const rm_tensor_entry *entries, int n_entries, char **header,
                                  int64_t *bytes, int64_t *total, rm_error *error)
{
    json_t *object = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    ringmoe_status status = add_entries(entries, n_entries, object, total, error);
    char *json = status == RINGMOE_OK ? text_of(object) : NULL;
    json_decref(object);
    *header = json ? frame(json, bytes) : NULL;
    free(json);
    if (status == RINGMOE_OK && !*header)
        status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the header of %d tensors",
                         n_entries);
    return status;
}

ringmoe_status rm_safetensors_header(const rm_tensor_entry *entries, int n_entries,
                                     char **header, int64_t *bytes, rm_error *error)
{
    int64_t total;
    return make_header(entries, n_entries, header, bytes, &total, error);
}

static ringmoe_status begin_file(const char *path, const rm_tensor_entry *entries,
                                 int n_entries, rm_safetensors_writer *writer, rm_error *error)
{
    rm_error why = {""};
    char *header;
    int64_t bytes;
    ringmoe_status status =
        make_header(entries, n_entries, &header, &bytes, &writer->total, &why);
    if (status != RINGMOE_OK) return rm_fail(error, status, "%s: %s", path, why.text);
    status = rm_file_create(path, &writer->file, error);
    if (status == RINGMOE_OK) status = rm_file_write(&writer->file, header, bytes, error);
    free(header);
    return status;
}

ringmoe_status rm_safetensors_create(const char *path, const rm_tensor_entry *entries,
                                     int n_entries, rm_safetensors_writer **writer,
                                     rm_error *error)
{
    *writer = calloc(1, sizeof **writer);
    if (!*writer)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory to write it", path);
    ringmoe_status status = begin_file(path, entries, n_entries, *writer, error);
    if (status != RINGMOE_OK) rm_safetensors_abandon(writer);
    return status;
}

ringmoe_status rm_safetensors_append(rm_safetensors_writer *writer, const void *data,
                                     int64_t bytes, rm_error *error)
{
    if (bytes < 0 || bytes > writer->total - writer->appended)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "%s: %lld more bytes do not fit into the %lld its entries promise",
                       writer->file.path, (long long)bytes, (long long)writer->total);
    RM_TRY(rm_file_write(&writer->file, data, bytes, error));
    writer->appended += bytes;
    return RINGMOE_OK;
}

ringmoe_status rm_safetensors_commit(rm_safetensors_writer **writer, rm_error *error)
{
    rm_safetensors_writer *done = *writer;
    ringmoe_status status;
    if (done->appended != done->total)
        status = rm_fail(error, RINGMOE_ERROR_FORMAT,
                         "%s: got %lld bytes of data, but its entries promise %lld",
                         done->file.path, (long long)done->appended, (long long)done->total);
    else
        status = rm_file_commit(&done->file, error);
    rm_safetensors_abandon(writer);
    return status;
}

void rm_safetensors_abandon(rm_safetensors_writer **writer)
{
    if (!writer || !*writer) return;
    rm_file_abandon(&(*writer)->file);
    free(*writer);
    *writer = NULL;
}

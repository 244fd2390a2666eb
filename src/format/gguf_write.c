/* SPDX-License-Identifier: MIT */
#include "format/gguf_write.h"

#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "format/dtype.h"
#include "format/gguf_file.h"

enum { VERSION = 3 };

/* Bytes to be written; once memory ran out it stays empty. */
typedef struct byte_list {
    unsigned char *bytes;
    int64_t size, room;
    bool failed;
} byte_list;

struct rm_gguf_writer {
    byte_list values, tensors; /* as they stand in the file */
    uint64_t n_values, n_tensors;
    int64_t *sizes; /* bytes of the tensors' data, [n_tensors] */
    int64_t offset; /* of the next tensor's data */
    rm_file_writer file;
    uint64_t current; /* the tensor whose data come next */
    int64_t appended; /* bytes of it */
};

static void add(byte_list *list, const void *data, int64_t size)
{
    if (!list->failed && size > list->room - list->size) {
        int64_t room = 2 * list->room + size + 256;
        unsigned char *grown = realloc(list->bytes, (size_t)room);
        list->failed = !grown;
        if (grown) {
            list->bytes = grown;
            list->room = room;
        }
    }
    if (list->failed || size == 0) return;
    memcpy(list->bytes + list->size, data, (size_t)size);
    list->size += size;
}

static void add_u32(byte_list *list, uint32_t value)
{
    add(list, &value, sizeof value);
}

static void add_u64(byte_list *list, uint64_t value)
{
    add(list, &value, sizeof value);
}

static void add_text(byte_list *list, const char *text)
{
    add_u64(list, strlen(text));
    add(list, text, (int64_t)strlen(text));
}

static void add_key(rm_gguf_writer *writer, const char *key, rm_gguf_type type)
{
    writer->n_values++;
    add_text(&writer->values, key);
    add_u32(&writer->values, type);
}

static void add_array(rm_gguf_writer *writer, const char *key, rm_gguf_type type, int64_t n)
{
    add_key(writer, key, RM_GGUF_ARRAY);
    add_u32(&writer->values, type);
    add_u64(&writer->values, (uint64_t)n);
}

ringmoe_status rm_gguf_writer_create(rm_gguf_writer **writer, rm_error *error)
{
    *writer = calloc(1, sizeof **writer);
    if (!*writer) return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory to write a GGUF file");
    (*writer)->file.descriptor = -1;
    return RINGMOE_OK;
}

void rm_gguf_put_u32(rm_gguf_writer *writer, const char *key, uint32_t value)
{
    add_key(writer, key, RM_GGUF_U32);
    add_u32(&writer->values, value);
}

void rm_gguf_put_f32(rm_gguf_writer *writer, const char *key, double value)
{
    float single = (float)value;
    add_key(writer, key, RM_GGUF_F32);
    add(&writer->values, &single, sizeof single);
}

void rm_gguf_put_bool(rm_gguf_writer *writer, const char *key, bool value)
{
    unsigned char byte = value;
    add_key(writer, key, RM_GGUF_BOOL);
    add(&writer->values, &byte, 1);
}

void rm_gguf_put_text(rm_gguf_writer *writer, const char *key, const char *text)
{
    add_key(writer, key, RM_GGUF_STRING);
    add_text(&writer->values, text);
}

void rm_gguf_put_texts(rm_gguf_writer *writer, const char *key, const char *const *texts,
                       int64_t n)
{
    add_array(writer, key, RM_GGUF_STRING, n);
    for (int64_t i = 0; i < n; i++) add_text(&writer->values, texts[i]);
}

void rm_gguf_put_numbers(rm_gguf_writer *writer, const char *key, rm_gguf_type type,
                         const void *numbers, int64_t n)
{
    add_array(writer, key, type, n);
    add(&writer->values, numbers, 4 * n);
}

void rm_gguf_put_value(rm_gguf_writer *writer, const rm_gguf_value *value)
{
    byte_list *list = &writer->values;
    writer->n_values++;
    add_u64(list, (uint64_t)value->key.length);
    add(list, value->key.bytes, value->key.length);
    add_u32(list, value->is_array ? RM_GGUF_ARRAY : value->type);
    if (value->is_array) {
        add_u32(list, value->type);
        add_u64(list, (uint64_t)value->n);
    }
    if (value->type != RM_GGUF_STRING)
        add(list, value->data, value->n * rm_gguf_width(value->type));
    for (int64_t i = 0; value->type == RM_GGUF_STRING && i < value->n; i++) {
        add_u64(list, (uint64_t)value->texts[i].length);
        add(list, value->texts[i].bytes, value->texts[i].length);
    }
}

static int64_t pad(int64_t size)
{
    return (size + RM_GGUF_ALIGNMENT - 1) / RM_GGUF_ALIGNMENT * RM_GGUF_ALIGNMENT;
}

static ringmoe_status check_entry(const rm_tensor_entry *entry, int64_t *n_elements,
                                  rm_error *error)
{
    bool fits = strlen(entry->name) < RM_GGUF_NAME_BYTES && entry->n_dims >= 1 &&
                entry->n_dims <= RM_GGUF_DIMS_MOST;
    *n_elements = 1;
    for (int i = 0; fits && i < entry->n_dims; i++)
        fits = entry->shape[i] > 0 &&
               !__builtin_mul_overflow(*n_elements, entry->shape[i], n_elements);
    fits = fits && entry->shape[entry->n_dims - 1] % rm_dtype_block(entry->dtype) == 0;
    if (fits) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "tensor %s: its name, shape or type cannot be stored in a GGUF file",
                   entry->name);
}

ringmoe_status rm_gguf_put_tensor(rm_gguf_writer *writer, const rm_tensor_entry *entry,
                                  rm_error *error)
{
    int64_t n_elements, *sizes;
    RM_TRY(check_entry(entry, &n_elements, error));
    sizes = realloc(writer->sizes, (size_t)(writer->n_tensors + 1) * sizeof *sizes);
    if (!sizes) return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a list of tensors");
    writer->sizes = sizes;
    add_text(&writer->tensors, entry->name);
    add_u32(&writer->tensors, (uint32_t)entry->n_dims);
    for (int i = entry->n_dims - 1; i >= 0; i--)
        add_u64(&writer->tensors, (uint64_t)entry->shape[i]);
    add_u32(&writer->tensors, rm_gguf_dtype_number(entry->dtype));
    add_u64(&writer->tensors, (uint64_t)writer->offset);
    sizes[writer->n_tensors] = rm_dtype_size(entry->dtype, n_elements);
    writer->offset += pad(sizes[writer->n_tensors++]);
    return RINGMOE_OK;
}

static ringmoe_status write_zeros(rm_gguf_writer *writer, int64_t written, rm_error *error)
{
    static const char zeros[RM_GGUF_ALIGNMENT];
    return rm_file_write(&writer->file, zeros, pad(written) - written, error);
}

ringmoe_status rm_gguf_begin(rm_gguf_writer *writer, const char *path, rm_error *error)
{
    byte_list header = {0};
    add(&header, "GGUF", 4);
    add_u32(&header, VERSION);
    add_u64(&header, writer->n_tensors);
    add_u64(&header, writer->n_values);
    add(&header, writer->values.bytes, writer->values.size);
    add(&header, writer->tensors.bytes, writer->tensors.size);
    ringmoe_status status =
        header.failed || writer->values.failed || writer->tensors.failed
            ? rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its header", path)
            : rm_file_create(path, &writer->file, error);
    if (status == RINGMOE_OK)
        status = rm_file_write(&writer->file, header.bytes, header.size, error);
    if (status == RINGMOE_OK) status = write_zeros(writer, header.size, error);
    free(header.bytes);
    return status;
}

ringmoe_status rm_gguf_append(rm_gguf_writer *writer, const void *data, int64_t bytes,
                              rm_error *error)
{
    const char *at = data;
    while (bytes > 0) {
        if (writer->current == writer->n_tensors)
            return rm_fail(error, RINGMOE_ERROR_FORMAT,
                           "%s: %lld bytes more than its tensors have", writer->file.path,
                           (long long)bytes);
        int64_t size = writer->sizes[writer->current], left = size - writer->appended;
        int64_t now = bytes < left ? bytes : left;
        RM_TRY(rm_file_write(&writer->file, at, now, error));
        writer->appended += now;
        at += now;
        bytes -= now;
        if (writer->appended < size) continue;
        RM_TRY(write_zeros(writer, size, error));
        writer->appended = 0;
        writer->current++;
    }
    return RINGMOE_OK;
}

ringmoe_status rm_gguf_commit(rm_gguf_writer **writer, rm_error *error)
{
    rm_gguf_writer *done = *writer;
    ringmoe_status status =
        done->current == done->n_tensors
            ? rm_file_commit(&done->file, error)
            : rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: got data of %llu of its %llu tensors",
                      done->file.path, (unsigned long long)done->current,
                      (unsigned long long)done->n_tensors);
    rm_gguf_abandon(writer);
    return status;
}

void rm_gguf_abandon(rm_gguf_writer **writer)
{
    if (!writer || !*writer) return;
    rm_file_abandon(&(*writer)->file);
    free((*writer)->values.bytes);
    free((*writer)->tensors.bytes);
    free((*writer)->sizes);
    free(*writer);
    *writer = NULL;
}

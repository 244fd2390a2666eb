/* SPDX-License-Identifier: MIT
 *
 * Reading safetensors. A file is
 *
 *   | N: u64 | N bytes of JSON, blanks at its end allowed | tensors, back to back |
 *
 * and the header says of each tensor: its dtype, its shape and [begin, end) from the start of
 * the tensors. Files come from anywhere, so every rule of the format is checked before a tensor
 * is handed out: afterwards all its bytes lie inside the mapping.
 */
#include "format/safetensors.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "format/dtype.h"
#include "format/json.h"
#include "format/tensor_source.h"

static const uint64_t max_header_bytes = 100000000;
/* A tensor takes 50 bytes and, of one dimension, 7 values; of eight 64 and 14. */
enum { LENGTH_BYTES = 8, HEADER_DEPTH = 3, BYTES_PER_VALUE = 4, VALUES_OF_ANY_HEADER = 64 };

struct rm_safetensors {
    rm_tensor_source source;
    json_t *header;      /* owns the names */
    rm_tensor *tensors;  /* in the order of their data */
    rm_tensor **by_name; /* the same, sorted */
    int count;
};

static ringmoe_status bad(rm_error *error, const char *name, const char *rule)
{
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "tensor %.150s: %s", name, rule);
}

static ringmoe_status read_dtype(const char *name, const json_t *json, rm_tensor *tensor,
                                 rm_error *error)
{
    if (!json_is_string(json)) return bad(error, name, "dtype is missing or not a string");
    const char *found = json_string_value(json);
    if (rm_dtype_of_name(found, &tensor->dtype)) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "tensor %.150s: dtype %.20s %s; F32, BF16, F16 and F64 are", name, found,
                   rm_dtype_is_other(found) ? "is not supported" : "is none of safetensors'");
}

static ringmoe_status read_shape(const char *name, const json_t *json, rm_tensor *tensor,
                                 rm_error *error)
{
    if (!json_is_array(json)) return bad(error, name, "shape is missing or not a list");
    if (json_array_size(json) > RM_TENSOR_MAX_DIMS)
        return bad(error, name, "shape has more than 8 dimensions");
    tensor->n_dims = (int)json_array_size(json);
    tensor->n_elements = 1;
    for (int i = 0; i < tensor->n_dims; i++) {
        const json_t *size = json_array_get(json, (size_t)i);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return bad(error, name, "shape holds something that is not a size");
        tensor->shape[i] = json_integer_value(size);
        if (__builtin_mul_overflow(tensor->n_elements, tensor->shape[i], &tensor->n_elements))
            return bad(error, name, "the product of its shape overflows");
    }
    return RINGMOE_OK;
}

/* Places the tensor in the `data_bytes` that start at `data`. */
static ringmoe_status read_offsets(const char *name, const json_t *json,
                                   const unsigned char *data, int64_t data_bytes,
                                   rm_tensor *tensor, rm_error *error)
{
    const json_t *first = json_array_get(json, 0), *second = json_array_get(json, 1);
    if (json_array_size(json) != 2 || !json_is_integer(first) || !json_is_integer(second))
        return bad(error, name, "data_offsets is missing or not two whole numbers");
    int64_t begin = json_integer_value(first), end = json_integer_value(second), bytes;
    if (begin < 0 || end < begin || end > data_bytes)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "tensor %.150s: data_offsets [%lld, %lld] are not inside the %lld bytes "
                       "of data; is the file cut short?",
                       name, (long long)begin, (long long)end, (long long)data_bytes);
    if (__builtin_mul_overflow(tensor->n_elements, rm_dtype_bytes(tensor->dtype), &bytes) ||
        bytes != end - begin)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "tensor %.150s: has %lld bytes of data, but its shape and dtype need "
                       "%lld elements of %d bytes",
                       name, (long long)(end - begin), (long long)tensor->n_elements,
                       rm_dtype_bytes(tensor->dtype));
    tensor->data = data + begin;
    return RINGMOE_OK;
}

static ringmoe_status check_metadata(const json_t *json, rm_error *error)
{
    const char *key;
    json_t *value;
    if (!json_is_object(json)) return bad(error, "__metadata__", "is not an object");
    json_object_foreach((json_t *)json, key, value)
    {
        if (!json_is_string(value))
            return bad(error, "__metadata__", "holds something that is not a string");
    }
    return RINGMOE_OK;
}

/* Fills file->tensors from the header's entries. */
static ringmoe_status read_entries(rm_safetensors *file, const unsigned char *data,
                                   int64_t data_bytes, rm_error *error)
{
    const char *name;
    json_t *entry;
    json_object_foreach(file->header, name, entry)
    {
        if (!strcmp(name, "__metadata__")) {
            RM_TRY(check_metadata(entry, error));
            continue;
        }
        rm_tensor *tensor = &file->tensors[file->count];
        tensor->name = name;
        tensor->path = file->source.path;
        tensor->source = &file->source;
        if (!json_is_object(entry) || json_object_size(entry) != 3)
            return bad(error, name, "must have dtype, shape and data_offsets, nothing else");
        RM_TRY(read_dtype(name, json_object_get(entry, "dtype"), tensor, error));
        RM_TRY(read_shape(name, json_object_get(entry, "shape"), tensor, error));
        RM_TRY(read_offsets(name, json_object_get(entry, "data_offsets"), data, data_bytes,
                            tensor, error));
        file->count++;
    }
    return RINGMOE_OK;
}

static int64_t bytes_of(const rm_tensor *tensor)
{
    return tensor->n_elements * rm_dtype_bytes(tensor->dtype);
}

/* By begin, then by end, so that empty tensors come before the one that begins with them. */
static int compare_places(const void *a, const void *b)
{
    const rm_tensor *left = a, *right = b;
    if (left->data != right->data) return left->data < right->data ? -1 : 1;
    int64_t left_bytes = bytes_of(left), right_bytes = bytes_of(right);
    return (left_bytes > right_bytes) - (left_bytes < right_bytes);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp((*(rm_tensor *const *)a)->name, (*(rm_tensor *const *)b)->name);
}

/* The tensors, in order, must fill the data without hole or overlap. */
static ringmoe_status check_places(rm_safetensors *file, const unsigned char *data,
                                   int64_t data_bytes, rm_error *error)
{
    qsort(file->tensors, (size_t)file->count, sizeof *file->tensors, compare_places);
    const unsigned char *end = data;
    for (int i = 0; i < file->count; i++) {
        const rm_tensor *tensor = &file->tensors[i];
        if (tensor->data != end)
            return bad(error, tensor->name,
                       "its data does not begin where the tensor before it ends");
        end += bytes_of(tensor);
    }
    if (end != data + data_bytes)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "the tensors end at byte %lld of the data, which has %lld",
                       (long long)(end - data), (long long)data_bytes);
    for (int i = 0; i < file->count; i++) file->by_name[i] = &file->tensors[i];
    qsort(file->by_name, (size_t)file->count, sizeof *file->by_name, compare_names);
    return RINGMOE_OK;
}

static ringmoe_status parse_header(rm_safetensors *file, const char *json, int64_t length,
                                   rm_error *error)
{
    const rm_json_limits limits = {.depth = HEADER_DEPTH,
                                   .values = VALUES_OF_ANY_HEADER + length / BYTES_PER_VALUE};
    if (length == 0 || json[0] != '{')
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "the header does not begin with {");
    rm_error why = {""};
    ringmoe_status status = rm_json_parse(json, length, &limits, &file->header, &why);
    if (status != RINGMOE_OK) return rm_fail(error, status, "the header: %s", why.text);
    size_t n = json_object_size(file->header);
    file->tensors = calloc(n + 1, sizeof *file->tensors);
    file->by_name = calloc(n + 1, sizeof *file->by_name);
    if (!file->tensors || !file->by_name)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for its %zu entries", n);
    return RINGMOE_OK;
}

/* Reads `length` bytes of JSON and parses them. */
static ringmoe_status read_json(rm_safetensors *file, int64_t length, rm_error *error)
{
    char *json = malloc((size_t)length + 1);
    if (!json)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for its header of %lld bytes",
                       (long long)length);
    ringmoe_status status =
        rm_tensor_source_read(&file->source, LENGTH_BYTES, json, length, error);
    if (status == RINGMOE_OK) status = parse_header(file, json, length, error);
    free(json);
    return status;
}

static ringmoe_status read_header(void *argument, rm_error *error)
{
    rm_safetensors *file = argument;
    const unsigned char *start = file->source.map.data;
    int64_t size = file->source.map.size;
    unsigned char bytes[LENGTH_BYTES];
    uint64_t length = 0;
    if (size < LENGTH_BYTES)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "has %lld bytes, too few for a header",
                       (long long)size);
    RM_TRY(rm_tensor_source_read(&file->source, 0, bytes, LENGTH_BYTES, error));
    for (int i = 0; i < LENGTH_BYTES; i++) length |= (uint64_t)bytes[i] << (8 * i);
    if (length > max_header_bytes || (int64_t)length > size - LENGTH_BYTES)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "its header should have %llu bytes, more than the file holds or the "
                       "format allows",
                       (unsigned long long)length);
    RM_TRY(read_json(file, (int64_t)length, error));
    const unsigned char *data = start + LENGTH_BYTES + length;
    int64_t data_bytes = size - LENGTH_BYTES - (int64_t)length;
    RM_TRY(read_entries(file, data, data_bytes, error));
    return check_places(file, data, data_bytes, error);
}

ringmoe_status rm_safetensors_open(const char *path, rm_safetensors **file, rm_error *error)
{
    *file = NULL;
    rm_safetensors *opened = calloc(1, sizeof *opened);
    if (!opened) return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory to open it", path);
    ringmoe_status status =
        rm_tensor_source_open(&opened->source, path, read_header, opened, error);
    if (status != RINGMOE_OK) rm_safetensors_close(&opened);
    *file = opened;
    return status;
}

void rm_safetensors_close(rm_safetensors **file)
{
    if (!file || !*file) return;
    json_decref((*file)->header);
    free((*file)->tensors);
    free((*file)->by_name);
    rm_tensor_source_close(&(*file)->source);
    free(*file);
    *file = NULL;
}

int rm_safetensors_count(const rm_safetensors *file)
{
    return file->count;
}

const rm_tensor *rm_safetensors_tensor(const rm_safetensors *file, int index)
{
    return &file->tensors[index];
}

int64_t rm_safetensors_offset(const rm_safetensors *file, const rm_tensor *tensor)
{
    return tensor->data - file->source.map.data;
}

const rm_tensor *rm_safetensors_find(const rm_safetensors *file, const char *name)
{
    rm_tensor wanted = {.name = name}, *key = &wanted;
    rm_tensor **found =
        bsearch(&key, file->by_name, (size_t)file->count, sizeof *file->by_name, compare_names);
    return found ? *found : NULL;
}

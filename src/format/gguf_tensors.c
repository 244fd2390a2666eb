/* SPDX-License-Identifier: MIT
 *
 * The tensors of a GGUF file. Their offsets say nothing that their sizes do not: they must be
 * the running sum, each size padded to the alignment.
 */
#include <stdlib.h>
#include <string.h>

#include "format/dtype.h"
#include "format/gguf_file.h"
#include "format/printable.h"

enum { LEAST_TENSOR_BYTES = 33, MOST_ALIGNMENT = 1 << 16, NOT_READ = -1 };

/* The format's numbers of types; rm_dtype where it is read here. */
static const struct {
    uint32_t number;
    const char *name;
    int dtype; /* as an rm_dtype, or NOT_READ */
} types[] = {
    {0, "F32", RM_DTYPE_F32},        {1, "F16", RM_DTYPE_F16},
    {2, "Q4_0", RM_DTYPE_Q4_0},      {3, "Q4_1", RM_DTYPE_Q4_1},
    {6, "Q5_0", RM_DTYPE_Q5_0},      {7, "Q5_1", RM_DTYPE_Q5_1},
    {8, "Q8_0", RM_DTYPE_Q8_0},      {10, "Q2_K", RM_DTYPE_Q2_K},
    {11, "Q3_K", RM_DTYPE_Q3_K},     {12, "Q4_K", RM_DTYPE_Q4_K},
    {13, "Q5_K", RM_DTYPE_Q5_K},     {14, "Q6_K", RM_DTYPE_Q6_K},
    {20, "IQ4_NL", RM_DTYPE_IQ4_NL}, {23, "IQ4_XS", RM_DTYPE_IQ4_XS},
    {30, "BF16", RM_DTYPE_BF16},     {9, "Q8_1", NOT_READ},
    {15, "Q8_K", NOT_READ},          {16, "IQ2_XXS", NOT_READ},
    {17, "IQ2_XS", NOT_READ},        {18, "IQ3_XXS", NOT_READ},
    {19, "IQ1_S", NOT_READ},         {21, "IQ3_S", NOT_READ},
    {22, "IQ2_S", NOT_READ},         {28, "F64", NOT_READ},
    {29, "IQ1_M", NOT_READ},         {34, "TQ1_0", NOT_READ},
    {35, "TQ2_0", NOT_READ},         {39, "MXFP4", NOT_READ},
};
enum { N_TYPES = sizeof types / sizeof *types };

uint32_t rm_gguf_dtype_number(rm_dtype dtype)
{
    int i = 0;
    while (types[i].dtype != (int)dtype) i++;
    return types[i].number;
}

static ringmoe_status bad(const rm_tensor *tensor, const char *rule, rm_error *error)
{
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "tensor %s: %s", tensor->name, rule);
}

static ringmoe_status read_type(rm_gguf_cursor *cursor, rm_tensor *tensor, rm_error *error)
{
    const char *name = "unknown";
    uint32_t number;
    RM_TRY(rm_gguf_take_u32(cursor, &number));
    for (int i = 0; i < N_TYPES; i++) {
        if (types[i].number != number) continue;
        name = types[i].name;
        tensor->dtype = (rm_dtype)types[i].dtype;
        if (types[i].dtype != NOT_READ) return RINGMOE_OK;
    }
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "tensor %s: type %u (%s) is not read; take a file in F32, F16, BF16, Q8_0, "
                   "Q4_0, Q4_K_M or another K-quant, or make one by llama-quantize",
                   tensor->name, number, name);
}

static ringmoe_status read_name(rm_gguf_cursor *cursor, char name[RM_GGUF_NAME_BYTES],
                                rm_error *error)
{
    rm_gguf_text text;
    RM_TRY(rm_gguf_take_text(cursor, &text));
    if (text.length < 1 || text.length >= RM_GGUF_NAME_BYTES ||
        memchr(text.bytes, 0, (size_t)text.length))
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "a tensor's name has %lld bytes or a zero byte; 1 to 63 bytes are "
                       "allowed",
                       (long long)text.length);
    memcpy(name, text.bytes, (size_t)text.length);
    return RINGMOE_OK;
}

/* The format has the innermost dimension first. */
static ringmoe_status read_shape(rm_gguf_cursor *cursor, rm_tensor *tensor, rm_error *error)
{
    uint32_t n_dims;
    RM_TRY(rm_gguf_take_u32(cursor, &n_dims));
    if (n_dims < 1 || n_dims > RM_GGUF_DIMS_MOST)
        return bad(tensor, "has no dimensions or more than 4", error);
    tensor->n_dims = (int)n_dims;
    tensor->n_elements = 1;
    for (int i = tensor->n_dims - 1; i >= 0; i--) {
        uint64_t size;
        RM_TRY(rm_gguf_take_u64(cursor, &size));
        if (size < 1 || size > INT64_MAX) return bad(tensor, "has a size of none", error);
        tensor->shape[i] = (int64_t)size;
        if (__builtin_mul_overflow(tensor->n_elements, tensor->shape[i], &tensor->n_elements))
            return bad(tensor, "the product of its sizes overflows", error);
    }
    return RINGMOE_OK;
}

/* Where data are: [begin, end) of the last tensor, and where the next one's begin. */
typedef struct data_place {
    int64_t alignment, begin, end, next;
} data_place;

/* Moves on to the place of a tensor's data. False: a sum or product overflows. */
static bool pass_data(data_place *place, const rm_tensor *tensor)
{
    int64_t blocks = tensor->n_elements / rm_dtype_block(tensor->dtype), bytes, padded;
    place->begin = place->next;
    if (__builtin_mul_overflow(blocks, rm_dtype_bytes(tensor->dtype), &bytes) ||
        __builtin_add_overflow(place->begin, bytes, &place->end) ||
        __builtin_add_overflow(place->end, place->alignment - 1, &padded))
        return false;
    place->next = padded / place->alignment * place->alignment;
    return true;
}

static ringmoe_status read_tensor(rm_gguf_cursor *cursor, data_place *place, rm_tensor *tensor,
                                  rm_error *error)
{
    uint64_t offset;
    RM_TRY(read_shape(cursor, tensor, error));
    RM_TRY(read_type(cursor, tensor, error));
    RM_TRY(rm_gguf_take_u64(cursor, &offset));
    if (tensor->shape[tensor->n_dims - 1] % rm_dtype_block(tensor->dtype) != 0)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "tensor %s: its rows are no whole blocks of %d numbers", tensor->name,
                       rm_dtype_block(tensor->dtype));
    if (!pass_data(place, tensor)) return bad(tensor, "its size overflows", error);
    if (offset == (uint64_t)place->begin) return RINGMOE_OK;
    return bad(tensor, "its data does not begin where the tensor before it ends", error);
}

static ringmoe_status read_alignment(const rm_gguf *file, int64_t *alignment, rm_error *error)
{
    const rm_gguf_value *value = rm_gguf_find(file, "general.alignment");
    *alignment = RM_GGUF_ALIGNMENT;
    if (!value) return RINGMOE_OK;
    if (!value->is_array && rm_gguf_integer(value, 0, alignment) && *alignment > 0 &&
        *alignment <= MOST_ALIGNMENT && (*alignment & (*alignment - 1)) == 0)
        return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "key general.alignment: is no power of two of at most %d bytes",
                   MOST_ALIGNMENT);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

ringmoe_status rm_gguf_check_names(const rm_gguf *file, rm_error *error)
{
    char twice[RM_GGUF_NAME_BYTES] = "";
    int n = rm_gguf_count(file);
    const char **sorted = calloc((size_t)n + 1, sizeof *sorted);
    if (!sorted)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its tensors' names",
                       file->source.path);
    for (int i = 0; i < n; i++) sorted[i] = rm_gguf_tensor(file, i)->name;
    qsort(sorted, (size_t)n, sizeof *sorted, compare_names);
    for (int i = 1; i < n; i++)
        if (!strcmp(sorted[i - 1], sorted[i])) memcpy(twice, sorted[i], strlen(sorted[i]) + 1);
    free(sorted);
    if (!twice[0]) return RINGMOE_OK;
    rm_text_make_printable(twice);
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: tensor %s: is there twice",
                   file->source.path, twice);
}

/* The data begin at the first multiple of the alignment behind the header, and are all of the
 * rest of the file. `last` is the place of the last one. */
static ringmoe_status place_data(rm_gguf *file, int64_t header, const data_place *last,
                                 rm_error *error)
{
    data_place place = {.alignment = last->alignment};
    int64_t begin = (header + place.alignment - 1) / place.alignment * place.alignment;
    int64_t left = file->source.map.size > begin ? file->source.map.size - begin : 0;
    if (left < last->end || left > last->next)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "its tensors take %lld bytes, and %lld are there behind its header; it "
                       "is damaged%s",
                       (long long)last->end, (long long)left,
                       left < last->end ? " or cut short" : "");
    for (int i = 0; i < file->n_tensors; i++) {
        pass_data(&place, &file->tensors[i]);
        file->tensors[i].data = file->source.map.data + begin + place.begin;
    }
    return RINGMOE_OK;
}

ringmoe_status rm_gguf_read_tensors(rm_gguf *file, rm_gguf_cursor *cursor, uint64_t count,
                                    rm_error *error)
{
    data_place place = {0};
    RM_TRY(read_alignment(file, &place.alignment, error));
    RM_TRY(rm_gguf_expect(cursor, count, LEAST_TENSOR_BYTES));
    file->tensors = calloc((size_t)count + 1, sizeof *file->tensors);
    file->names = calloc((size_t)count + 1, sizeof *file->names);
    if (!file->tensors || !file->names)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for its %llu tensors",
                       (unsigned long long)count);
    for (uint64_t i = 0; i < count; i++) {
        rm_tensor *tensor = &file->tensors[i];
        RM_TRY(read_name(cursor, file->names[i], error));
        tensor->name = file->names[i];
        tensor->path = file->source.path;
        tensor->source = &file->source;
        RM_TRY(read_tensor(cursor, &place, tensor, error));
        file->n_tensors++;
    }
    return place_data(file, cursor->at - cursor->begin, &place, error);
}

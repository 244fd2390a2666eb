/* SPDX-License-Identifier: MIT
 *
 * A GGUF file: what llama.cpp wants to know of the model, its tokenizer, and its tensors.
 */
#include <stdlib.h>
#include <string.h>

#include "convert/conversion.h"
#include "convert/tokenizer_keys.h"
#include "format/gguf_config.h"
#include "format/gguf_rope.h"

/* llama.cpp's number for a file whose matrices have this type. */
static uint32_t file_type(rm_dtype type)
{
    switch (type) {
    case RM_DTYPE_F32:
        return 0;
    case RM_DTYPE_Q4_0:
        return 2;
    case RM_DTYPE_Q8_0:
        return 7;
    default:
        return 32;
    }
}

/* The last part of a path, without .gguf. */
static ringmoe_status put_name(const char *path, rm_gguf_writer *writer, rm_error *error)
{
    char *copy = strdup(path);
    if (!copy) return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its name", path);
    size_t length = strlen(copy);
    while (length > 1 && copy[length - 1] == '/') copy[--length] = 0;
    if (rm_path_is_gguf(copy)) copy[length - 5] = 0;
    const char *slash = strrchr(copy, '/');
    rm_gguf_put_text(writer, "general.name", slash ? slash + 1 : copy);
    free(copy);
    return RINGMOE_OK;
}

static ringmoe_status put_tokenizer(const rm_conversion *conversion, rm_gguf_writer *writer)
{
    const rm_gguf *source = rm_weight_source_gguf(conversion->source);
    const char *folder = conversion->settings->without_tokenizer ? NULL : conversion->model;
    if (source && folder) {
        rm_tokenizer_copy_keys(source, writer);
        return RINGMOE_OK;
    }
    return rm_conversion_refuse_tokenizer(
        conversion,
        rm_tokenizer_put_keys(conversion->context, folder, &conversion->to, writer));
}

static ringmoe_status put_all(const rm_conversion *conversion, rm_gguf_writer *writer)
{
    rm_error *error = conversion->error;
    RM_TRY(rm_gguf_put_config(writer, &conversion->to, error));
    RM_TRY(put_name(conversion->model, writer, error));
    rm_gguf_put_u32(writer, "general.file_type", file_type(conversion->type));
    if (conversion->type == RM_DTYPE_Q8_0 || conversion->type == RM_DTYPE_Q4_0)
        rm_gguf_put_u32(writer, "general.quantization_version", 2);
    RM_TRY(put_tokenizer(conversion, writer));
    for (int i = 0; i < conversion->n_tensors; i++)
        RM_TRY(rm_gguf_put_tensor(writer, &conversion->tensors[i].entry, error));
    if (conversion->to.rope_type != RINGMOE_ROPE_LLAMA3) return RINGMOE_OK;
    rm_tensor_entry divisors = {.name = RM_GGUF_ROPE_TENSOR,
                                .dtype = RM_DTYPE_F32,
                                .n_dims = 1,
                                .shape = {conversion->to.head_dim / 2}};
    return rm_gguf_put_tensor(writer, &divisors, error);
}

/* The tensor behind those of parameters, if there is one. */
static ringmoe_status append_rope(const rm_conversion *conversion, rm_gguf_writer *writer)
{
    int64_t n = conversion->to.head_dim / 2;
    if (conversion->to.rope_type != RINGMOE_ROPE_LLAMA3) return RINGMOE_OK;
    float *divisors = calloc((size_t)n, sizeof *divisors);
    if (!divisors)
        return rm_fail(conversion->error, RINGMOE_ERROR_MEMORY, "%s: no memory to write it",
                       conversion->out);
    rm_gguf_rope_divisors(&conversion->to, divisors);
    ringmoe_status status =
        rm_gguf_append(writer, divisors, n * (int64_t)sizeof *divisors, conversion->error);
    free(divisors);
    return status;
}

static ringmoe_status append(void *writer, const void *data, int64_t bytes, rm_error *error)
{
    return rm_gguf_append(writer, data, bytes, error);
}

ringmoe_status rm_conversion_to_gguf(rm_conversion *conversion)
{
    rm_gguf_writer *writer;
    RM_TRY(rm_gguf_writer_create(&writer, conversion->error));
    ringmoe_status status = put_all(conversion, writer);
    if (status == RINGMOE_OK)
        status = rm_gguf_begin(writer, conversion->out, conversion->error);
    for (int i = 0; status == RINGMOE_OK && i < conversion->n_tensors; i++)
        status = rm_conversion_write(conversion, &conversion->tensors[i], append, writer);
    if (status == RINGMOE_OK) status = append_rope(conversion, writer);
    if (status == RINGMOE_OK) return rm_gguf_commit(&writer, conversion->error);
    rm_gguf_abandon(&writer);
    return status;
}

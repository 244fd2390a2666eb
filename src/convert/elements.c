/* SPDX-License-Identifier: MIT
 *
 * The data of a tensor: rows of its parameters are read, or drawn, and written in its type, a
 * block of rows at a time.
 */
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "convert/conversion.h"
#include "format/dtype.h"
#include "model/part_read.h"
#include "simd/scalar_math.h"

enum { BLOCK_ELEMENTS = 1 << 20 };

/* Rows of a parameter on their way. */
typedef struct row_block {
    int64_t columns, rows; /* most rows */
    int64_t row_bytes;
    rm_dtype dtype;
    rm_real *values;     /* [rows][columns] */
    unsigned char *data; /* [rows][row_bytes] */
} row_block;

static ringmoe_status create_block(const rm_converted_tensor *tensor,
                                   const rm_parameter *parameter, row_block *block,
                                   rm_error *error)
{
    int64_t width = parameter->shape[1], unit = tensor->head_rows > 0 ? tensor->head_rows : 1;
    int64_t rows = BLOCK_ELEMENTS / (width * unit) * unit;
    if (rows < unit) rows = unit;
    if (rows > parameter->shape[0]) rows = parameter->shape[0];
    *block = (row_block){.columns = width,
                         .rows = rows,
                         .row_bytes = rm_dtype_size(tensor->entry.dtype, width),
                         .dtype = tensor->entry.dtype};
    block->values = malloc((size_t)(rows * width) * sizeof *block->values);
    block->data = malloc((size_t)(rows * block->row_bytes));
    if (block->values && block->data) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "tensor %s: no memory to convert it",
                   tensor->entry.name);
}

static void free_block(row_block *block)
{
    free(block->values);
    free(block->data);
}

static ringmoe_status read_rows(const rm_conversion *conversion, int index, int64_t first,
                                int64_t n, const row_block *block)
{
    const rm_origin *origin = &conversion->origins[index];
    int64_t at = first * block->columns, count = n * block->columns;
    if (!origin->parameter) {
        const rm_parameter *parameter = &conversion->table.parameters[index];
        rm_random_key key = {.seed = (uint64_t)conversion->settings->seed,
                             .stream = rm_random_stream(parameter->name)};
        rm_random_fill_normal(key, (uint64_t)at, count, conversion->to.initializer_range,
                              block->values);
        return RINGMOE_OK;
    }
    rm_parameter_part whole = rm_parameter_part_of(origin->parameter, 1, 0);
    return rm_part_read(&conversion->context->compute, origin->place, origin->parameter, &whole,
                        at, count, block->values, conversion->error);
}

static void convert_row(const rm_kernels *kernels, const rm_real *values, int64_t n,
                        rm_dtype dtype, unsigned char *data)
{
    switch (dtype) {
    case RM_DTYPE_BF16:
        for (int64_t i = 0; i < n; i++) {
            rm_bf16 narrow = rm_bf16_narrow(values[i]);
            memcpy(data + i * (int64_t)sizeof narrow, &narrow, sizeof narrow);
        }
        break;
    case RM_DTYPE_Q8_0:
        kernels->quantise_q8(n, values, data);
        break;
    case RM_DTYPE_Q4_0:
        kernels->quantise_q4(n, values, data);
        break;
    default:
        for (int64_t i = 0; i < n; i++) {
            float single = (float)values[i];
            memcpy(data + i * (int64_t)sizeof single, &single, sizeof single);
        }
        break;
    }
}

/* The block's first n rows, each to its place. */
static void convert_rows(const rm_compute *compute, const row_block *block, int64_t n,
                         int64_t head_rows)
{
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, 16)
    for (int64_t row = 0; row < n; row++) {
        int64_t to = head_rows > 0 ? rm_row_turned(head_rows, row) : row;
        convert_row(compute->kernels, block->values + row * block->columns, block->columns,
                    block->dtype, block->data + to * block->row_bytes);
    }
}

/* What is about to be written: numbers that were not finite are none in any type. */
static bool is_finite(const rm_compute *compute, const row_block *block, int64_t n)
{
    int bad = 0;
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, 16)
    for (int64_t row = 0; row < n; row++)
        if (!rm_dtype_is_finite(block->dtype, block->data + row * block->row_bytes,
                                block->columns)) {
#pragma omp atomic write
            bad = 1;
        }
    return !bad;
}

/* Whether the source has the parameter's rows as they are wanted. Blocks are copied then: other
 * makers' would not come out the same from their numbers. */
static bool is_copied(const rm_origin *origin, const rm_converted_tensor *tensor)
{
    return origin->parameter && origin->place->tensor->dtype == tensor->entry.dtype &&
           origin->place->head_rows == tensor->head_rows;
}

static ringmoe_status copy_rows(const rm_conversion *conversion, int index, int64_t first,
                                int64_t n, const row_block *block)
{
    const rm_weight_place *place = conversion->origins[index].place;
    int64_t begin = place->first + first * block->columns, count = n * block->columns;
    RM_TRY(rm_tensor_fetch(place->tensor, begin, count, conversion->error));
    memcpy(block->data, rm_tensor_at(place->tensor, begin), (size_t)(n * block->row_bytes));
    rm_tensor_release(place->tensor, begin, count);
    return RINGMOE_OK;
}

static ringmoe_status make_rows(const rm_conversion *conversion,
                                const rm_converted_tensor *tensor, int index, int64_t first,
                                int64_t n, const row_block *block)
{
    const rm_compute *compute = &conversion->context->compute;
    if (is_copied(&conversion->origins[index], tensor)) {
        RM_TRY(copy_rows(conversion, index, first, n, block));
    } else {
        RM_TRY(read_rows(conversion, index, first, n, block));
        convert_rows(compute, block, n, tensor->head_rows);
    }
    if (is_finite(compute, block, n)) return RINGMOE_OK;
    return rm_fail(conversion->error, RINGMOE_ERROR_NUMERIC,
                   "tensor %s: has a number that is not finite or too large for %s",
                   tensor->entry.name, rm_dtype_name(block->dtype));
}

static ringmoe_status write_parameter(rm_conversion *conversion,
                                      const rm_converted_tensor *tensor, int index,
                                      const row_block *block, rm_tensor_taker take, void *user)
{
    const ringmoe_convert_settings *settings = conversion->settings;
    int64_t rows = conversion->table.parameters[index].shape[0];
    for (int64_t first = 0; first < rows; first += block->rows) {
        int64_t n = rows - first < block->rows ? rows - first : block->rows;
        RM_TRY(make_rows(conversion, tensor, index, first, n, block));
        RM_TRY(take(user, block->data, n * block->row_bytes, conversion->error));
        conversion->done += n * block->row_bytes;
        if (settings->progress &&
            settings->progress(settings->progress_user, conversion->done, conversion->total))
            return rm_fail(conversion->error, RINGMOE_ERROR_INTERRUPTED,
                           "%s: converting was stopped", conversion->out);
    }
    return RINGMOE_OK;
}

ringmoe_status rm_conversion_write(rm_conversion *conversion, const rm_converted_tensor *tensor,
                                   rm_tensor_taker take, void *user)
{
    const rm_parameter *first = &conversion->table.parameters[tensor->parameters[0]];
    row_block block;
    ringmoe_status status = create_block(tensor, first, &block, conversion->error);
    for (int expert = 0; status == RINGMOE_OK && expert < tensor->n_experts; expert++)
        for (int i = 0; status == RINGMOE_OK && i < tensor->n_parameters; i++)
            status = write_parameter(conversion, tensor,
                                     tensor->parameters[i] + expert * tensor->stride, &block,
                                     take, user);
    free_block(&block);
    return status;
}

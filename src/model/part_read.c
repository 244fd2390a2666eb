/* SPDX-License-Identifier: MIT */
#include "model/part_read.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "format/dtype.h"

/* What is read. */
typedef struct part_reading {
    const rm_kernels *kernels;
    const rm_weight_place *place;
    const rm_parameter *parameter;
    const rm_parameter_part *part;
} part_reading;

/* Elements of the file a thread has in memory at a time; runs as long as that or half of it are
 * read one by one, shorter ones with what lies between them. */
enum { SPAN_ELEMENTS = 1 << 18, LONG_RUN_ELEMENTS = 1 << 14 };

int64_t rm_weight_place_row(const rm_weight_place *place, const rm_parameter *parameter,
                            int64_t row)
{
    if (place->head_rows > 0) row = rm_row_turned(place->head_rows, row);
    return place->first + row * parameter->shape[1];
}

/* The run of the part that begins at its element `at`, `global` being the tensor's element. */
static rm_part_run run_at(const rm_weight_place *place, const rm_parameter *parameter,
                          const rm_parameter_part *part, int64_t at, int64_t most)
{
    rm_part_run run = rm_part_run_at(parameter, part, at, most);
    int64_t width = parameter->shape[1], column = run.global % width;
    if (place->head_rows > 0) {
        if (run.n > width - column) run.n = width - column;
        run.global =
            rm_weight_place_row(place, parameter, run.global / width) + column - place->first;
    }
    run.global += place->first;
    return run;
}

/* The tensor's elements that have elements [at, at + n) of the part: *begin and how many. */
static int64_t span_of(const rm_weight_place *place, const rm_parameter *parameter,
                       const rm_parameter_part *part, int64_t at, int64_t n, int64_t *begin)
{
    int64_t first = rm_part_run_at(parameter, part, at, 1).global;
    int64_t end = rm_part_run_at(parameter, part, at + n - 1, 1).global + 1;
    int64_t head = place->head_rows * parameter->shape[1];
    if (head > 0) {
        first = first / head * head;
        end = (end + head - 1) / head * head;
    }
    *begin = place->first + first;
    return end - first;
}

/* Elements of a part to be read at a time. */
static int64_t block_elements(const rm_parameter *parameter, const rm_parameter_part *part)
{
    int64_t width = parameter->shape[1];
    if (part->n_columns >= LONG_RUN_ELEMENTS || width <= part->n_columns) return SPAN_ELEMENTS;
    int64_t n = SPAN_ELEMENTS / width * part->n_columns;
    return n > part->n_columns ? n : part->n_columns;
}

void rm_part_ask(const rm_weight_place *place, const rm_parameter *parameter,
                 const rm_parameter_part *part, int64_t at, int64_t n)
{
    if (n <= 0) return;
    int64_t begin, span = span_of(place, parameter, part, at, n, &begin);
    rm_tensor_ask(place->tensor, begin, span);
}

ringmoe_status rm_part_load(const rm_weight_place *place, const rm_parameter *parameter,
                            const rm_parameter_part *part, int64_t at, int64_t n,
                            rm_read_buffer *buffer, rm_tensor_window *window, rm_error *error)
{
    int64_t begin, span = span_of(place, parameter, part, at, n, &begin);
    return rm_tensor_load(place->tensor, begin, span, buffer, window, error);
}

/* One read, for a window of the part. */
static ringmoe_status read_window(const part_reading *reading, int64_t at, int64_t n,
                                  rm_real *values, rm_read_buffer *buffer, rm_error *error)
{
    rm_tensor_window window;
    RM_TRY(rm_part_load(reading->place, reading->parameter, reading->part, at, n, buffer,
                        &window, error));
    for (int64_t done = 0; done < n;) {
        rm_part_run run =
            run_at(reading->place, reading->parameter, reading->part, at + done, n - done);
        rm_tensor_read(reading->kernels, &window.tensor, run.global - window.first, run.n,
                       values + done);
        done += run.n;
    }
    return RINGMOE_OK;
}

static ringmoe_status read_block(const part_reading *reading, int64_t at, int64_t n,
                                 rm_real *values, rm_read_buffer *buffer, rm_error *error)
{
    bool long_runs = reading->part->n_columns >= LONG_RUN_ELEMENTS;
    for (int64_t done = 0; done < n;) {
        int64_t left = n - done, window = left;
        if (long_runs)
            window = rm_part_run_at(reading->parameter, reading->part, at + done, left).n;
        RM_TRY(read_window(reading, at + done, window, values + done, buffer, error));
        done += window;
    }
    return RINGMOE_OK;
}

ringmoe_status rm_part_read_here(const rm_kernels *kernels, const rm_weight_place *place,
                                 const rm_parameter *parameter, const rm_parameter_part *part,
                                 int64_t first, int64_t n, rm_real *values,
                                 rm_read_buffer *buffer, rm_error *error)
{
    part_reading reading = {kernels, place, parameter, part};
    int64_t block = block_elements(parameter, part);
    for (int64_t done = 0; done < n; done += block)
        RM_TRY(read_block(&reading, first + done, n - done < block ? n - done : block,
                          values + done, buffer, error));
    return RINGMOE_OK;
}

/* Of elements [at, at + n) of the part, which begin `done` elements after the first wanted. */
typedef ringmoe_status block_function(const part_reading *reading, int64_t at, int64_t n,
                                      void *target, int64_t done, rm_read_buffer *buffer,
                                      rm_error *error);

static ringmoe_status widen_block(const part_reading *reading, int64_t at, int64_t n,
                                  void *target, int64_t done, rm_read_buffer *buffer,
                                  rm_error *error)
{
    return read_block(reading, at, n, (rm_real *)target + done, buffer, error);
}

static ringmoe_status copy_block(const part_reading *reading, int64_t at, int64_t n,
                                 void *target, int64_t done, rm_read_buffer *buffer,
                                 rm_error *error)
{
    rm_tensor_window window;
    rm_dtype dtype = reading->place->tensor->dtype;
    int64_t first = run_at(reading->place, reading->parameter, reading->part, at, n).global;
    RM_TRY(rm_part_load(reading->place, reading->parameter, reading->part, at, n, buffer,
                        &window, error));
    memcpy((char *)target + rm_dtype_size(dtype, done),
           rm_tensor_at(&window.tensor, first - window.first), (size_t)rm_dtype_size(dtype, n));
    return RINGMOE_OK;
}

/* Elements [first, first + n), dealt out to the threads. */
static ringmoe_status read_blocks(const rm_compute *compute, const part_reading *reading,
                                  int64_t first, int64_t n, block_function *read, void *target,
                                  rm_error *error)
{
    int64_t block = block_elements(reading->parameter, reading->part);
    ringmoe_status status = RINGMOE_OK;
    omp_lock_t lock;
    omp_init_lock(&lock);
#pragma omp parallel num_threads(compute->n_threads)
    {
        rm_read_buffer buffer = {0};
#pragma omp for schedule(dynamic)
        for (int64_t done = 0; done < n; done += block) {
            rm_error why = {""};
            int64_t count = n - done < block ? n - done : block;
            ringmoe_status found =
                read(reading, first + done, count, target, done, &buffer, &why);
            if (found == RINGMOE_OK) continue;
            omp_set_lock(&lock);
            status = rm_fail(error, found, "%s", why.text);
            omp_unset_lock(&lock);
        }
        free(buffer.bytes);
    }
    omp_destroy_lock(&lock);
    return status;
}

ringmoe_status rm_part_read(const rm_compute *compute, const rm_weight_place *place,
                            const rm_parameter *parameter, const rm_parameter_part *part,
                            int64_t first, int64_t n, rm_real *values, rm_error *error)
{
    part_reading reading = {compute->kernels, place, parameter, part};
    return n > 0 ? read_blocks(compute, &reading, first, n, widen_block, values, error)
                 : RINGMOE_OK;
}

ringmoe_status rm_part_copy(const rm_compute *compute, const rm_weight_place *place,
                            const rm_parameter *parameter, const rm_parameter_part *part,
                            void *stored, rm_error *error)
{
    part_reading reading = {compute->kernels, place, parameter, part};
    return part->n_elements > 0
               ? read_blocks(compute, &reading, 0, part->n_elements, copy_block, stored, error)
               : RINGMOE_OK;
}

/* SPDX-License-Identifier: MIT
 *
 *   file | rows of q | rows of k | ...          strips, dealt out to the threads one by one
 *            |  read
 *            v
 *   the thread's buffer: rows as they are stored
 *            |  widened
 *            v
 *   the thread's staging: rows in fp32
 *            |  packed: rounded to bf16 or blocks of 8 or 4 bits
 *            v
 *   panels of the matrix
 *
 * What a file has in blocks of the form that the matrix takes is packed block by block, not
 * rounded again. Strips come in the order of the file, and the disk is asked through its
 * mapping for those that follow, so that it is busy while the threads pack. The bytes are then
 * read, not touched in the mapping: a file that is cut is an error and not the end of the
 * process.
 */
#include "model/pack_weights.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "format/dtype.h"
#include "model/part_read.h"

/* Elements of a strip, about; and how many strips the disk is asked for before their turn: some
 * 10 to 60 MiB. With more than the memory left to the system, the first of them would be gone
 * again before it is read. */
enum { STRIP_ELEMENTS = 1 << 18, STRIPS_AHEAD = 64 };

/* Rows [first, first + n) of one matrix. */
typedef struct weight_strip {
    const rm_matrix_source *source;
    int64_t first, n;
} weight_strip;

/* Memory of a thread: rows in the form that is packed, and as the file has them. */
typedef struct strip_room {
    rm_real *staging;
    rm_read_buffer buffer;
} strip_room;

typedef struct packing {
    const rm_compute *compute;
    const rm_placement *placement;
    weight_strip *strips;
    int64_t n_strips;
    int64_t most_elements; /* of a strip */
    rm_real *staging;      /* [threads][most_elements] */
    omp_lock_t lock;       /* of what follows */
    ringmoe_status status;
    rm_error *error;
} packing;

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t rows_of_strip(const rm_compute *compute, const rm_matrix *matrix)
{
    int64_t unit = rm_matrix_strip(compute, matrix);
    int64_t units = STRIP_ELEMENTS / (unit * matrix->in);
    return least(matrix->out, units > 1 ? units * unit : unit);
}

/* Appends the strips of a matrix, or counts them only. */
static void cut_matrix(packing *work, const rm_matrix_source *source)
{
    const rm_matrix *matrix = source->matrix;
    int64_t rows = rows_of_strip(work->compute, matrix);
    if (rows * matrix->in > work->most_elements) work->most_elements = rows * matrix->in;
    for (int64_t first = 0; first < matrix->out; first += rows) {
        if (work->strips)
            work->strips[work->n_strips] =
                (weight_strip){source, first, least(rows, matrix->out - first)};
        work->n_strips++;
    }
}

static void cut_all(packing *work, const rm_matrix_source *sources, int n_sources)
{
    work->n_strips = 0;
    for (int i = 0; i < n_sources; i++) cut_matrix(work, &sources[i]);
}

static int compare_sources(const void *a, const void *b)
{
    const rm_weight_place *left = ((const rm_matrix_source *)a)->place;
    const rm_weight_place *right = ((const rm_matrix_source *)b)->place;
    const unsigned char *x = rm_tensor_at(left->tensor, left->first);
    const unsigned char *y = rm_tensor_at(right->tensor, right->first);
    return (x > y) - (x < y);
}

/* In the order of the files, so that they are read from one end to the other. */
static int compare_strips(const void *a, const void *b)
{
    const weight_strip *left = a, *right = b;
    int order = compare_sources(left->source, right->source);
    return order != 0 ? order : (left->first > right->first) - (left->first < right->first);
}

static bool has_format(const rm_tensor *tensor, ringmoe_precision precision)
{
    return (tensor->dtype == RM_DTYPE_Q8_0 && precision == RINGMOE_PRECISION_Q8_0) ||
           (tensor->dtype == RM_DTYPE_Q4_0 && precision == RINGMOE_PRECISION_Q4_0);
}

/* Whether this rank's part of each row is made of whole blocks of the file. */
static bool lies_in_blocks(const rm_compute *compute, const rm_matrix_source *source,
                           const rm_parameter_part *part)
{
    const rm_tensor *tensor = source->place->tensor;
    int64_t block = rm_dtype_block(tensor->dtype), width = source->parameter->shape[1];
    int64_t end = part->first_column + part->n_columns;
    return has_format(tensor, source->matrix->forward.precision) && width % block == 0 &&
           source->place->first % block == 0 && part->first_column % block == 0 &&
           end % block == 0 && rm_matrix_takes_blocks(compute, source->matrix);
}

/* Row by row, since rows may lie in another order and be cut. */
static ringmoe_status pack_blocks(const rm_compute *compute, const weight_strip *strip,
                                  const rm_parameter_part *part, strip_room *room,
                                  rm_error *error)
{
    const rm_matrix_source *source = strip->source;
    const rm_weight_place *place = source->place;
    int64_t row_bytes = rm_dtype_size(place->tensor->dtype, part->n_columns);
    unsigned char *rows = (unsigned char *)room->staging;
    rm_tensor_window window;
    RM_TRY(rm_part_load(place, source->parameter, part, strip->first * part->n_columns,
                        strip->n * part->n_columns, &room->buffer, &window, error));
    for (int64_t i = 0; i < strip->n; i++) {
        int64_t row = part->first_row + strip->first + i;
        int64_t begin = rm_weight_place_row(place, source->parameter, row) + part->first_column;
        memcpy(rows + i * row_bytes, rm_tensor_at(&window.tensor, begin - window.first),
               (size_t)row_bytes);
    }
    rm_matrix_pack_blocks(compute, source->matrix, strip->first, strip->n, rows, row_bytes);
    return RINGMOE_OK;
}

static rm_parameter_part part_of(const packing *work, const rm_matrix_source *source)
{
    return rm_parameter_part_of(source->parameter, work->placement->tensor_ranks,
                                work->placement->tensor_rank);
}

static ringmoe_status pack_strip(const packing *work, const weight_strip *strip,
                                 strip_room *room, rm_error *error)
{
    const rm_matrix_source *source = strip->source;
    int64_t width = source->matrix->in;
    rm_parameter_part part = part_of(work, source);
    if (lies_in_blocks(work->compute, source, &part))
        return pack_blocks(work->compute, strip, &part, room, error);
    RM_TRY(rm_part_read_here(work->compute->kernels, source->place, source->parameter, &part,
                             strip->first * width, strip->n * width, room->staging,
                             &room->buffer, error));
    rm_matrix_pack_from(work->compute, source->matrix, strip->first, strip->n, room->staging);
    return RINGMOE_OK;
}

static void ask_for(const packing *work, int64_t i)
{
    if (i >= work->n_strips) return;
    const weight_strip *strip = &work->strips[i];
    const rm_matrix_source *source = strip->source;
    rm_parameter_part part = part_of(work, source);
    rm_part_ask(source->place, source->parameter, &part, strip->first * part.n_columns,
                strip->n * part.n_columns);
}

static void note_failure(packing *work, ringmoe_status status, const rm_error *why)
{
    omp_set_lock(&work->lock);
    work->status = rm_fail(work->error, status, "%s", why->text);
    omp_unset_lock(&work->lock);
}

static void pack_strips(packing *work)
{
#pragma omp parallel num_threads(work->compute->n_threads)
    {
        strip_room room = {work->staging + omp_get_thread_num() * work->most_elements, {0}};
#pragma omp for schedule(dynamic) nowait
        for (int64_t i = 0; i < STRIPS_AHEAD; i++) ask_for(work, i);
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < work->n_strips; i++) {
            rm_error why = {""};
            ask_for(work, i + STRIPS_AHEAD);
            ringmoe_status status = pack_strip(work, &work->strips[i], &room, &why);
            if (status != RINGMOE_OK) note_failure(work, status, &why);
        }
        free(room.buffer.bytes);
    }
}

ringmoe_status rm_pack_from_files(const rm_compute *compute, const rm_placement *placement,
                                  const rm_matrix_source *sources, int n_sources,
                                  rm_error *error)
{
    packing work = {.compute = compute, .placement = placement, .error = error};
    cut_all(&work, sources, n_sources);
    work.strips = calloc((size_t)work.n_strips + 1, sizeof *work.strips);
    work.staging =
        calloc((size_t)work.most_elements + 1, (size_t)compute->n_threads * sizeof(rm_real));
    if (work.strips && work.staging) {
        cut_all(&work, sources, n_sources);
        qsort(work.strips, (size_t)work.n_strips, sizeof *work.strips, compare_strips);
        omp_init_lock(&work.lock);
        pack_strips(&work);
        omp_destroy_lock(&work.lock);
    } else {
        work.status = rm_fail(error, RINGMOE_ERROR_MEMORY,
                              "no memory for rows of weights on their way from the files");
    }
    free(work.strips);
    free(work.staging);
    return work.status;
}

/* A tied head has the embedding's weights. */
rm_matrix_source rm_matrix_source_of(const ringmoe_model *model, const rm_weight_place *places,
                                     int matrix)
{
    const rm_parameter *parameter = model->matrix_parameters[matrix];
    if (parameter->tied) parameter = model->table.parameters;
    return (rm_matrix_source){.matrix = model->matrices[matrix],
                              .parameter = parameter,
                              .place = &places[parameter - model->table.parameters]};
}

ringmoe_status rm_model_pack_from_files(ringmoe_model *model, const rm_weight_place *places,
                                        rm_error *error)
{
    const rm_compute *compute = &model->mesh->context->compute;
    rm_matrix_source *sources = calloc((size_t)model->n_matrices + 1, sizeof *sources);
    if (!sources)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a list of %d matrices",
                       model->n_matrices);
    int n = 0;
    for (int i = 0; i < model->n_matrices; i++)
        if (model->matrices[i]->forward.data)
            sources[n++] = rm_matrix_source_of(model, places, i);
    ringmoe_status status =
        rm_pack_from_files(compute, &model->table.placement, sources, n, error);
    free(sources);
    return status;
}

/* SPDX-License-Identifier: MIT
 *
 * Weights in panels. Panel j holds columns j*nr .. j*nr+nr-1 of B, one term of the depth after
 * the other, so a slice of the depth is contiguous; missing columns of the last panel are zero.
 *
 *   B [k][n]   .----.----.--.        data   |k * nr of panel 0|k * nr of panel 1| ...
 *            k | 0  | 1  |2 |
 *              '----'----'--'               panel: nr of p=0, nr of p=1, ...
 *                nr   nr
 */
#include "tensor/tiles.h"

/* Terms that all panels of a part take their columns of before the next terms, and columns of
 * the weights in a part: a strip of them stays in the second-level cache between the forms. */
enum { CHUNK_STEPS = 8, PART_COLUMNS = 2048 };

static int64_t panel_bytes(const rm_tile_kernels *kernels, int64_t k)
{
    return rm_whole(k, kernels->depth_step) * kernels->nr * kernels->b_size;
}

static rm_packed layout_packed(const rm_tile_kernels *kernels, int64_t k, int64_t n,
                               ringmoe_precision precision, rm_arena *arena)
{
    int64_t elements;
    if (__builtin_mul_overflow(rm_whole(k, kernels->depth_step), rm_whole(n, kernels->nr),
                               &elements))
        elements = -1;
    return (rm_packed){k, n, precision,
                       rm_arena_take(arena, elements, (size_t)kernels->b_size)};
}

void rm_matrix_layout(rm_matrix *matrix, const rm_compute *compute, int64_t out, int64_t in,
                      ringmoe_precision precision, bool with_backward, rm_arena *arena)
{
    const rm_tile_kernels *kernels = rm_tiles_of(compute, precision);
    *matrix = (rm_matrix){.out = out, .in = in, .weights = matrix->weights};
    matrix->forward = layout_packed(kernels, in, out, precision, arena);
    if (with_backward) matrix->backward = layout_packed(kernels, out, in, precision, arena);
}

int64_t rm_matrix_strip(const rm_compute *compute, const rm_matrix *matrix)
{
    const rm_tile_kernels *kernels = rm_tiles_of(compute, matrix->forward.precision);
    int64_t strip = kernels->nr;
    while (strip % kernels->depth_step) strip += kernels->nr;
    return strip;
}

/* A part of the weights: some rows, at most a strip, and some columns of them. */
typedef struct weight_part {
    const rm_matrix *matrix;
    const rm_tile_kernels *kernels;
    int64_t row, n_rows, column, n_columns;
} weight_part;

/* Where a packed form has term p of the panel that begins with this column of B. */
static char *place(const weight_part *part, const rm_packed *packed, int64_t p, int64_t column)
{
    const rm_tile_kernels *kernels = part->kernels;
    return (char *)packed->data + column / kernels->nr * panel_bytes(kernels, packed->k) +
           p * kernels->nr * kernels->b_size;
}

/* Rows of the weights are columns of the forward form's B. */
static void pack_forward(const weight_part *part)
{
    const rm_real *lines[RM_TILE_MOST];
    int nr = part->kernels->nr;
    for (int64_t first = 0; first < part->n_rows; first += nr) {
        int64_t row = part->row + first;
        int n = (int)rm_least(part->n_rows - first, nr);
        for (int j = 0; j < n; j++)
            lines[j] = part->matrix->weights + (row + j) * part->matrix->in + part->column;
        part->kernels->pack_b_lines(part->n_columns, n, lines,
                                    place(part, &part->matrix->forward, part->column, row));
    }
}

/* Rows of the weights are terms of the backward form's B: `depth` terms from `row` on. */
static void pack_chunk(const weight_part *part, int64_t row, int64_t depth)
{
    const rm_real *steps[RM_TILE_MOST];
    int64_t end = part->column + part->n_columns;
    for (int64_t column = part->column; column < end; column += part->kernels->nr) {
        for (int64_t p = 0; p < depth; p++)
            steps[p] = part->matrix->weights + (row + p) * part->matrix->in + column;
        part->kernels->pack_b_steps(depth, (int)rm_least(end - column, part->kernels->nr),
                                    steps, place(part, &part->matrix->backward, row, column));
    }
}

static void pack_backward(const weight_part *part)
{
    int64_t chunk = rm_whole(CHUNK_STEPS, part->kernels->depth_step);
    for (int64_t first = 0; first < part->n_rows; first += chunk)
        pack_chunk(part, part->row + first, rm_least(part->n_rows - first, chunk));
}

void rm_matrix_pack_rows(const rm_compute *compute, const rm_matrix *matrix, int64_t first,
                         int64_t n)
{
    const rm_tile_kernels *kernels = rm_tiles_of(compute, matrix->forward.precision);
    int64_t strip = rm_matrix_strip(compute, matrix);
    int64_t columns = rm_whole(PART_COLUMNS, (int64_t)kernels->nr * kernels->depth_step);
    for (int64_t row = first; row < first + n; row += strip)
        for (int64_t column = 0; column < matrix->in; column += columns) {
            weight_part part = {matrix, kernels,
                                row,    rm_least(first + n - row, strip),
                                column, rm_least(matrix->in - column, columns)};
            if (matrix->forward.data) pack_forward(&part);
            if (matrix->backward.data) pack_backward(&part);
        }
}

void rm_matrices_pack(const rm_compute *compute, rm_matrix *const *matrices, int n_matrices)
{
#pragma omp parallel num_threads(compute->n_threads)
    for (int i = 0; i < n_matrices; i++) {
        const rm_matrix *matrix = matrices[i];
        int64_t strip = rm_matrix_strip(compute, matrix);
#pragma omp for schedule(dynamic) nowait
        for (int64_t row = 0; row < matrix->out; row += strip)
            rm_matrix_pack_rows(compute, matrix, row, rm_least(matrix->out - row, strip));
    }
}

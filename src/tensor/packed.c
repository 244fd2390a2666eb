/* SPDX-License-Identifier: MIT
 *
 * Weights in panels. Panel j holds columns j*nr .. j*nr+nr-1 of B, one term of the depth after
 * the other, so a slice of the depth is contiguous; missing columns of the last panel are zero.
 *
 *   B [k][n]   .----.----.--.        data   |k * nr of panel 0|k * nr of panel 1| ...
 *            k | 0  | 1  |2 |
 *              '----'----'--'               panel: nr of p=0, nr of p=1, ...
 *                nr   nr
 *
 * Where the depth is cut into blocks, each block is packed by itself, one after the other.
 */
#include "tensor/tiles.h"

/* Terms that all panels of a part take their columns of before the next terms, and columns of
 * the weights in a part: a strip of them stays in the second-level cache between the forms. */
enum { CHUNK_STEPS = 8, PART_COLUMNS = 2048 };

/* --- blocks of the depth --- */

int rm_packed_n_blocks(const rm_packed *packed)
{
    return packed->cut.n ? packed->cut.n : 1;
}

int64_t rm_packed_bound(const rm_packed *packed, int b)
{
    return packed->cut.n ? packed->cut.bounds[b] : b * packed->k;
}

static int64_t block_depth(const rm_tile_kernels *kernels, const rm_packed *packed, int b)
{
    return rm_whole(rm_packed_bound(packed, b + 1) - rm_packed_bound(packed, b),
                    kernels->depth_step);
}

rm_packed rm_packed_block(const rm_tile_kernels *kernels, const rm_packed *packed, int block)
{
    int64_t before = 0;
    for (int b = 0; b < block; b++) before += block_depth(kernels, packed, b);
    return (rm_packed){.k = rm_packed_bound(packed, block + 1) - rm_packed_bound(packed, block),
                       .n = packed->n,
                       .precision = packed->precision,
                       .data =
                           (char *)packed->data +
                           before * rm_ceil_divide(packed->n, kernels->nr) * kernels->b_term};
}

/* --- shapes --- */

static rm_packed layout_packed(const rm_tile_kernels *kernels, rm_packed packed,
                               rm_arena *arena)
{
    int64_t depth = 0, terms;
    for (int b = 0; b < rm_packed_n_blocks(&packed); b++)
        depth += block_depth(kernels, &packed, b);
    if (__builtin_mul_overflow(depth, rm_ceil_divide(packed.n, kernels->nr), &terms))
        terms = -1;
    packed.data = rm_arena_take(arena, terms, (size_t)kernels->b_term);
    return packed;
}

void rm_matrix_layout_shape(rm_matrix *matrix, const rm_compute *compute,
                            const rm_matrix_shape *shape, rm_arena *arena)
{
    const rm_tile_kernels *kernels = rm_tiles_of(compute, shape->precision);
    *matrix = (rm_matrix){.out = shape->out, .in = shape->in, .weights = matrix->weights};
    rm_packed forward = {
        .k = shape->in, .n = shape->out, .precision = shape->precision, .cut = shape->in_cut};
    rm_packed backward = {
        .k = shape->out, .n = shape->in, .precision = shape->precision, .cut = shape->out_cut};
    matrix->forward = layout_packed(kernels, forward, arena);
    if (shape->with_backward) matrix->backward = layout_packed(kernels, backward, arena);
}

void rm_matrix_layout(rm_matrix *matrix, const rm_compute *compute, int64_t out, int64_t in,
                      ringmoe_precision precision, bool with_backward, rm_arena *arena)
{
    rm_matrix_shape shape = {
        .out = out, .in = in, .precision = precision, .with_backward = with_backward};
    rm_matrix_layout_shape(matrix, compute, &shape, arena);
}

/* Whether a packed step never holds the last terms of one part and the first of the next. */
static bool is_aligned(const rm_tile_kernels *kernels, const rm_packed *packed)
{
    for (int b = 0; b < packed->cut.n; b++)
        if (packed->cut.bounds[b] % kernels->depth_step) return false;
    return true;
}

int64_t rm_matrix_strip(const rm_compute *compute, const rm_matrix *matrix)
{
    const rm_tile_kernels *kernels = rm_tiles_of(compute, matrix->forward.precision);
    int64_t strip = kernels->nr;
    if (!is_aligned(kernels, &matrix->backward)) return matrix->out;
    while (strip % kernels->depth_step) strip += kernels->nr;
    return strip;
}

/* --- packing --- */

/* A part of the weights: some rows, at most a strip, and some columns of them. */
typedef struct weight_part {
    const rm_matrix *matrix;
    const rm_tile_kernels *kernels;
    const rm_real *weights; /* those rows */
    int64_t row, n_rows, column, n_columns;
} weight_part;

/* The terms that a block of a packed form has of the `count` ones from `first` on, as places in
 * the block. */
typedef struct block_terms {
    rm_packed block;
    int64_t start, end; /* of the block in the depth */
    int64_t first, n;
} block_terms;

static block_terms terms_of_block(const rm_tile_kernels *kernels, const rm_packed *packed,
                                  int b, int64_t first, int64_t count)
{
    block_terms terms = {.block = rm_packed_block(kernels, packed, b),
                         .start = rm_packed_bound(packed, b),
                         .end = rm_packed_bound(packed, b + 1)};
    int64_t end = rm_least(first + count, terms.end);
    if (first < terms.start) first = terms.start;
    terms.first = first - terms.start;
    terms.n = end > first ? end - first : 0;
    return terms;
}

/* Where a block has term p of the panel that begins with this column of B. */
static char *place(const rm_tile_kernels *kernels, const rm_packed *block, int64_t p,
                   int64_t column)
{
    int64_t depth = rm_whole(block->k, kernels->depth_step);
    return (char *)block->data + (column / kernels->nr * depth + p) * kernels->b_term;
}

/* Rows of the weights are columns of the forward form's B. */
static void pack_forward_block(const weight_part *part, const block_terms *terms)
{
    const rm_real *lines[RM_TILE_MOST];
    int nr = part->kernels->nr;
    int64_t column = terms->start + terms->first;
    for (int64_t first = 0; first < part->n_rows; first += nr) {
        int64_t row = part->row + first;
        int n = (int)rm_least(part->n_rows - first, nr);
        for (int j = 0; j < n; j++)
            lines[j] = part->weights + (first + j) * part->matrix->in + column;
        part->kernels->pack_b_lines(terms->n, n, lines,
                                    place(part->kernels, &terms->block, terms->first, row));
    }
}

static void pack_forward(const weight_part *part)
{
    const rm_packed *packed = &part->matrix->forward;
    for (int b = 0; b < rm_packed_n_blocks(packed); b++) {
        block_terms terms =
            terms_of_block(part->kernels, packed, b, part->column, part->n_columns);
        if (terms.n) pack_forward_block(part, &terms);
    }
}

/* Rows of the weights are terms of the backward form's B: `depth` of them from `first` on, as
 * places in the block. */
static void pack_chunk(const weight_part *part, const block_terms *terms, int64_t first,
                       int64_t depth)
{
    const rm_real *steps[RM_TILE_MOST];
    int64_t end = part->column + part->n_columns;
    int64_t row = terms->start + first - part->row;
    for (int64_t column = part->column; column < end; column += part->kernels->nr) {
        for (int64_t p = 0; p < depth; p++)
            steps[p] = part->weights + (row + p) * part->matrix->in + column;
        part->kernels->pack_b_steps(depth, (int)rm_least(end - column, part->kernels->nr),
                                    steps, place(part->kernels, &terms->block, first, column));
    }
}

static void pack_backward(const weight_part *part)
{
    const rm_packed *packed = &part->matrix->backward;
    int64_t chunk = rm_whole(CHUNK_STEPS, part->kernels->depth_step);
    for (int b = 0; b < rm_packed_n_blocks(packed); b++) {
        block_terms terms = terms_of_block(part->kernels, packed, b, part->row, part->n_rows);
        for (int64_t p = 0; p < terms.n; p += chunk)
            pack_chunk(part, &terms, terms.first + p, rm_least(terms.n - p, chunk));
    }
}

/* Columns that are packed at a time: whole panels of the backward form, whole steps of the
 * forward one. */
static int64_t part_columns(const rm_tile_kernels *kernels, const rm_matrix *matrix)
{
    if (!is_aligned(kernels, &matrix->forward)) return matrix->in;
    return rm_whole(PART_COLUMNS, (int64_t)kernels->nr * kernels->depth_step);
}

void rm_matrix_pack_from(const rm_compute *compute, const rm_matrix *matrix, int64_t first,
                         int64_t n, const rm_real *rows)
{
    const rm_tile_kernels *kernels = rm_tiles_of(compute, matrix->forward.precision);
    int64_t strip = rm_matrix_strip(compute, matrix);
    int64_t columns = part_columns(kernels, matrix);
    for (int64_t row = first; row < first + n; row += strip)
        for (int64_t column = 0; column < matrix->in; column += columns) {
            weight_part part = {.matrix = matrix,
                                .kernels = kernels,
                                .weights = rows + (row - first) * matrix->in,
                                .row = row,
                                .n_rows = rm_least(first + n - row, strip),
                                .column = column,
                                .n_columns = rm_least(matrix->in - column, columns)};
            if (matrix->forward.data) pack_forward(&part);
            if (matrix->backward.data) pack_backward(&part);
        }
}

void rm_matrix_pack_rows(const rm_compute *compute, const rm_matrix *matrix, int64_t first,
                         int64_t n)
{
    rm_matrix_pack_from(compute, matrix, first, n, matrix->weights + first * matrix->in);
}

bool rm_matrix_takes_blocks(const rm_compute *compute, const rm_matrix *matrix)
{
    const rm_tile_kernels *kernels = rm_tiles_of(compute, matrix->forward.precision);
    return kernels->pack_b_blocks && matrix->in % kernels->depth_step == 0 &&
           is_aligned(kernels, &matrix->forward);
}

/* Rows of a panel, of one block of the inner dimension. */
static void pack_panel_blocks(const rm_tile_kernels *kernels, const rm_packed *packed, int b,
                              int64_t row, const char *blocks, int64_t row_bytes)
{
    const void *lines[RM_TILE_MOST];
    rm_packed block = rm_packed_block(kernels, packed, b);
    int64_t block_bytes = kernels->b_term * kernels->depth_step / kernels->nr;
    int n = (int)rm_least(packed->n - row, kernels->nr);
    for (int j = 0; j < n; j++)
        lines[j] = blocks + j * row_bytes +
                   rm_packed_bound(packed, b) / kernels->depth_step * block_bytes;
    kernels->pack_b_blocks(block.k, n, lines, place(kernels, &block, 0, row));
}

void rm_matrix_pack_blocks(const rm_compute *compute, const rm_matrix *matrix, int64_t first,
                           int64_t n, const void *blocks, int64_t row_bytes)
{
    const rm_packed *packed = &matrix->forward;
    const rm_tile_kernels *kernels = rm_tiles_of(compute, packed->precision);
    for (int64_t row = first; row < first + n; row += kernels->nr)
        for (int b = 0; b < rm_packed_n_blocks(packed); b++)
            pack_panel_blocks(kernels, packed, b, row,
                              (const char *)blocks + (row - first) * row_bytes, row_bytes);
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

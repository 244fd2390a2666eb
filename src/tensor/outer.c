/* SPDX-License-Identifier: MIT
 *
 * Weight gradients: dW = dY^T X, the depth being the rows. Both operands are packed slice by
 * slice (RM_DEPTH_BLOCK rows) into the thread's scratch, since their strides would put the rows
 * of a tile into the same few lines of the cache:
 *
 *   scratch  | dY: [tile][row][mr] | X: [panel][row][nr], fp32 or bf16 | block of dW |
 *
 * The block of dW in scratch is used where a sum of several slices is added to a sink.
 */
#include "tensor/tiles.h"

#include <string.h>

/* Greatest rows of a block: packing X is shared by all of them. Elements copied at once: what a
 * copy writes beyond a row's mr is overwritten by the next row. */
enum { BLOCK_ROWS = 768, COPY_WIDTH = 8 };

_Static_assert((RM_DEPTH_BLOCK * (BLOCK_ROWS + RM_BLOCK_COLUMNS) +
                BLOCK_ROWS * RM_BLOCK_COLUMNS) *
                       sizeof(rm_real) <=
                   RM_SCRATCH_BYTES,
               "both packed slices and a block of dW must fit into the scratch");

int64_t rm_outer_scratch(int64_t widest)
{
    int64_t rows = rm_least(widest, BLOCK_ROWS), columns = rm_least(widest, RM_BLOCK_COLUMNS);
    return (RM_DEPTH_BLOCK * (rows + columns) + rows * columns) * (int64_t)sizeof(rm_real);
}

/* A run of rows of one term. */
typedef struct rm_slice {
    const rm_outer *term;
    int64_t first, depth;
    ringmoe_precision precision;
} rm_slice;

static void copy_tile_rows(const rm_slice *slice, int64_t column, int width, int mr,
                           rm_real *panel)
{
    const rm_outer *term = slice->term;
    const rm_real *src = term->d_y + slice->first * term->d_y_stride + column;
    for (int64_t p = 0; p < slice->depth; p++) {
        const rm_real *row = src + p * term->d_y_stride;
        rm_real *to = panel + p * mr;
        for (int i = 0; i < width; i++) to[i] = row[i];
        for (int i = width; i < mr; i++) to[i] = 0;
    }
}

/* The same for tiles that may be read and written up to a multiple of COPY_WIDTH. */
static void copy_tile_rows_wide(const rm_slice *slice, int64_t column, int mr, rm_real *panel)
{
    const rm_outer *term = slice->term;
    const rm_real *src = term->d_y + slice->first * term->d_y_stride + column;
    for (int64_t p = 0; p < slice->depth; p++) {
        const rm_real *row = src + p * term->d_y_stride;
        for (int i = 0; i < mr; i += COPY_WIDTH)
            memcpy(panel + p * mr + i, row + i, COPY_WIDTH * sizeof *row);
    }
}

/* Columns of dY become rows of A, in tiles of mr. */
static void pack_d_y(const rm_kernels *kernels, const rm_slice *slice, int64_t out,
                     const rm_block *block, rm_real *a)
{
    int mr = kernels->mr;
    int64_t n_tiles = rm_ceil_divide(block->n_rows, mr);
    for (int64_t tile = 0; tile < n_tiles; tile++) {
        int64_t column = block->row + tile * mr;
        rm_real *panel = a + tile * mr * slice->depth;
        if (column + mr + COPY_WIDTH <= out)
            copy_tile_rows_wide(slice, column, mr, panel);
        else
            copy_tile_rows(slice, column, (int)rm_least(block->n_rows - tile * mr, mr), mr,
                           panel);
    }
    if (slice->precision == RINGMOE_PRECISION_BF16)
        kernels->round_bf16(n_tiles * mr * slice->depth, a, a);
}

/* One panel of B: `n` columns of X from `column`. */
static void pack_x_panel(const rm_kernels *kernels, const rm_slice *slice, int64_t column,
                         int n, void *panel)
{
    const rm_outer *term = slice->term;
    bool is_bf16 = slice->precision == RINGMOE_PRECISION_BF16;
    const rm_real *src = term->x + column;
    int64_t rows_a_call = term->x_rows ? 1 : slice->depth;
    for (int64_t p = 0; p < slice->depth; p += rows_a_call) {
        int64_t row = slice->first + p;
        const rm_real *from = src + (term->x_rows ? term->x_rows[row] : row) * term->x_stride;
        if (is_bf16)
            kernels->pack_bf16(rows_a_call, n, from, term->x_stride, 1,
                               (rm_bf16 *)panel + p * kernels->nr);
        else
            kernels->pack(rows_a_call, n, from, term->x_stride, 1,
                          (rm_real *)panel + p * kernels->nr);
    }
}

static void pack_x(const rm_kernels *kernels, const rm_slice *slice, const rm_block *block,
                   void *b)
{
    size_t size =
        slice->precision == RINGMOE_PRECISION_BF16 ? sizeof(rm_bf16) : sizeof(rm_real);
    int64_t panel_elements = slice->depth * kernels->nr;
    for (int64_t j = 0; j < block->n_columns; j += kernels->nr) {
        int n = (int)rm_least(block->n_columns - j, kernels->nr);
        void *panel = (char *)b + (size_t)(j / kernels->nr * panel_elements) * size;
        pack_x_panel(kernels, slice, block->column + j, n, panel);
    }
}

static void zero_block(const rm_block *block, rm_real *c, int64_t c_row)
{
    for (int64_t i = 0; i < block->n_rows; i++)
        memset(c + i * c_row, 0, (size_t)block->n_columns * sizeof *c);
}

/* Parts of the scratch, as drawn above. */
typedef struct workspace {
    rm_real *d_y, *block;
    void *x;
} workspace;

static workspace workspace_of(const rm_compute *compute, const rm_block *block)
{
    const rm_kernels *kernels = compute->kernels;
    int64_t rows = rm_ceil_divide(block->n_rows, kernels->mr) * kernels->mr;
    int64_t columns = rm_ceil_divide(block->n_columns, kernels->nr) * kernels->nr;
    rm_real *d_y = rm_compute_scratch(compute), *x = d_y + rows * RM_DEPTH_BLOCK;
    return (workspace){d_y, x + columns * RM_DEPTH_BLOCK, x};
}

/* The block's sum over one slice of rows, from packing to C. dY goes first, since its last copy
 * may spill into the place of X. */
static void run_slice(const rm_compute *compute, const rm_slice *slice, int64_t out,
                      const rm_block *block, rm_tiles tiles)
{
    const rm_kernels *kernels = compute->kernels;
    workspace work = workspace_of(compute, block);
    pack_d_y(kernels, slice, out, block, work.d_y);
    pack_x(kernels, slice, block, work.x);
    tiles.m = block->n_rows;
    tiles.n = block->n_columns;
    tiles.depth = slice->depth;
    tiles.a = work.d_y;
    tiles.a_row = 1;
    tiles.a_col = kernels->mr;
    tiles.a_tile = kernels->mr * slice->depth;
    tiles.b = work.x;
    tiles.b_panel = kernels->nr * slice->depth;
    tiles.b_precision = slice->precision;
    rm_tiles_run(kernels, &tiles);
}

static void run_term(const rm_compute *compute, ringmoe_precision precision,
                     const rm_outer_group *group, const rm_outer *term, const rm_block *block)
{
    rm_real *place = term->sink.data + block->row * group->in + block->column;
    if (term->n_rows == 0) {
        if (!term->sink.add) zero_block(block, place, group->in);
        return;
    }
    bool is_beside = term->sink.add && term->n_rows > RM_DEPTH_BLOCK;
    rm_tiles tiles = {.c = is_beside ? workspace_of(compute, block).block : place,
                      .c_row = is_beside ? block->n_columns : group->in,
                      .add = term->sink.add && !is_beside};
    for (int64_t first = 0; first < term->n_rows; first += RM_DEPTH_BLOCK) {
        rm_slice slice = {term, first, rm_least(term->n_rows - first, RM_DEPTH_BLOCK),
                          precision};
        run_slice(compute, &slice, group->out, block, tiles);
        tiles.add = true;
    }
    if (is_beside)
        rm_block_store(compute->kernels, block->n_rows, block->n_columns, tiles.c, place,
                       group->in, NULL, true);
}

void rm_outer_grouped(const rm_compute *compute, ringmoe_precision precision,
                      const rm_outer_group *groups, int n_groups)
{
#pragma omp parallel num_threads(compute->n_threads)
    for (int g = 0; g < n_groups; g++) {
        const rm_outer_group *group = &groups[g];
        rm_grid grid = rm_grid_cut(compute, group->out, group->in, BLOCK_ROWS, n_groups);
#pragma omp for schedule(dynamic) nowait
        for (int64_t i = 0; i < grid.n_blocks; i++) {
            rm_block block = rm_grid_block(&grid, i);
            for (int t = 0; t < group->n_terms; t++)
                run_term(compute, precision, group, &group->terms[t], &block);
        }
    }
}

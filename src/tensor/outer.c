/* SPDX-License-Identifier: MIT
 *
 * Weight gradients: dW = dY^T X, the depth being the rows. Both operands are packed slice by
 * slice (depth_block rows) into the thread's scratch, since their strides would put the rows
 * of a tile into the same few lines of the cache:
 *
 *   scratch  | dY: panels of mr columns | X: panels of nr columns | block of dW |
 *
 * The block of dW in scratch is used where a sum of several slices is added to a sink.
 */
#include "tensor/tiles.h"

#include <string.h>

/* Greatest rows of a block: packing X is shared by all of them. Terms packed at once: a
 * multiple of every level's depth_step. */
enum { BLOCK_ROWS = 768, STEPS_AT_ONCE = 64 };

int64_t rm_outer_scratch(int64_t widest)
{
    int64_t rows = rm_least(widest, BLOCK_ROWS), columns = rm_least(widest, RM_BLOCK_COLUMNS);
    return (256 * (rows + columns) + rows * columns) * (int64_t)sizeof(rm_real);
}

/* A run of rows of one term. */
typedef struct rm_slice {
    const rm_tile_kernels *kernels;
    const rm_outer *term;
    int64_t first, depth;
} rm_slice;

typedef void pack_steps(int64_t k, int n, const rm_real *const *steps, void *panel);

/* Columns [column, column + width) of the slice's rows, in panels of `panel_width`. */
static void pack_columns(const rm_slice *slice, const rm_real *data, int64_t stride,
                         const int32_t *rows, int64_t column, int64_t width, int panel_width,
                         int64_t term_bytes, pack_steps *pack, char *panels)
{
    const rm_real *steps[STEPS_AT_ONCE];
    int64_t panel = rm_whole(slice->depth, slice->kernels->depth_step) * term_bytes;
    for (int64_t j = 0; j < width; j += panel_width, panels += panel)
        for (int64_t p = 0; p < slice->depth; p += STEPS_AT_ONCE) {
            int64_t count = rm_least(slice->depth - p, STEPS_AT_ONCE);
            for (int64_t i = 0; i < count; i++) {
                int64_t row = slice->first + p + i;
                steps[i] = data + (rows ? rows[row] : row) * stride + column + j;
            }
            pack(count, (int)rm_least(width - j, panel_width), steps, panels + p * term_bytes);
        }
}

static void zero_block(const rm_block *block, rm_real *c, int64_t c_row)
{
    for (int64_t i = 0; i < block->n_rows; i++)
        memset(c + i * c_row, 0, (size_t)block->n_columns * sizeof *c);
}

/* Parts of the scratch, as drawn above. */
typedef struct workspace {
    rm_real *block;
    char *d_y, *x;
} workspace;

static workspace workspace_of(const rm_compute *compute, const rm_tile_kernels *kernels,
                              const rm_block *block)
{
    rm_real *c = rm_compute_scratch(compute);
    char *d_y = (char *)(c + block->n_rows * block->n_columns);
    return (workspace){c, d_y,
                       d_y + rm_whole(block->n_rows, kernels->mr) * kernels->depth_block *
                                 kernels->a_size};
}

/* The block's sum over one slice of rows, from packing to C. */
static void run_slice(const rm_compute *compute, const rm_slice *slice, const rm_block *block,
                      rm_tiles tiles)
{
    const rm_tile_kernels *kernels = slice->kernels;
    const rm_outer *term = slice->term;
    workspace work = workspace_of(compute, kernels, block);
    int64_t depth = rm_whole(slice->depth, kernels->depth_step);
    pack_columns(slice, term->d_y, term->d_y_stride, term->d_y_rows, block->row, block->n_rows,
                 kernels->mr, kernels->mr * kernels->a_size, kernels->pack_a_steps, work.d_y);
    pack_columns(slice, term->x, term->x_stride, term->x_rows, block->column, block->n_columns,
                 kernels->nr, kernels->nr * kernels->b_size, kernels->pack_b_steps, work.x);
    tiles.m = block->n_rows;
    tiles.n = block->n_columns;
    tiles.depth = slice->depth;
    tiles.a = work.d_y;
    tiles.a_panel = depth * kernels->mr * kernels->a_size;
    tiles.b = work.x;
    tiles.b_panel = depth * kernels->nr * kernels->b_size;
    rm_tiles_run(kernels, &tiles);
}

static void run_term(const rm_compute *compute, const rm_tile_kernels *kernels,
                     const rm_outer_group *group, const rm_outer *term, const rm_block *block)
{
    rm_real *place = term->sink.data + block->row * group->in + block->column;
    if (term->n_rows == 0) {
        if (!term->sink.add) zero_block(block, place, group->in);
        return;
    }
    bool is_beside = term->sink.add && term->n_rows > kernels->depth_block;
    rm_tiles tiles = {.c = is_beside ? workspace_of(compute, kernels, block).block : place,
                      .c_row = is_beside ? block->n_columns : group->in,
                      .add = term->sink.add && !is_beside};
    for (int64_t first = 0; first < term->n_rows; first += kernels->depth_block) {
        rm_slice slice = {kernels, term, first,
                          rm_least(term->n_rows - first, kernels->depth_block)};
        run_slice(compute, &slice, block, tiles);
        tiles.add = true;
    }
    if (is_beside)
        rm_block_store(compute->kernels, block->n_rows, block->n_columns, tiles.c, place,
                       group->in, NULL, true);
}

void rm_outer_grouped(const rm_compute *compute, ringmoe_precision precision,
                      const rm_outer_group *groups, int n_groups)
{
    const rm_tile_kernels *kernels = rm_tiles_of(compute, precision);
#pragma omp parallel num_threads(compute->n_threads)
    for (int g = 0; g < n_groups; g++) {
        const rm_outer_group *group = &groups[g];
        rm_grid grid = rm_grid_cut(kernels, compute->n_threads, group->out, group->in,
                                   BLOCK_ROWS, n_groups);
        if (kernels->begin) kernels->begin();
#pragma omp for schedule(dynamic) nowait
        for (int64_t i = 0; i < grid.n_blocks; i++) {
            rm_block block = rm_grid_block(&grid, i);
            for (int t = 0; t < group->n_terms; t++)
                run_term(compute, kernels, group, &group->terms[t], &block);
        }
        if (kernels->end) kernels->end();
    }
}

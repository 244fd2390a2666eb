/* SPDX-License-Identifier: MIT */
#include "tensor/tiles.h"

#include <string.h>

/* More blocks than this for each thread keep the threads level, since a block may be handed to
 * whichever is free; fewer columns than this in a block would pack A too often. */
enum { BLOCKS_A_THREAD = 6, LEAST_COLUMNS = 64 };

/* The size of the parts when `count` tiles of `size` are cut evenly into parts of at most
 * `most`. */
static int64_t even_part(int64_t count, int64_t size, int64_t most)
{
    int64_t tiles = rm_ceil_divide(count, size);
    int64_t tiles_a_part = most > size ? most / size : 1;
    int64_t parts = rm_ceil_divide(tiles, tiles_a_part);
    return parts ? rm_ceil_divide(tiles, parts) * size : size;
}

rm_grid rm_grid_cut(const rm_compute *compute, int64_t n_rows, int64_t n_columns, int n_groups)
{
    const rm_kernels *kernels = compute->kernels;
    int64_t wanted = rm_ceil_divide((int64_t)BLOCKS_A_THREAD * compute->n_threads, n_groups);
    rm_grid grid = {.n_rows = n_rows, .n_columns = n_columns};
    grid.block_rows = even_part(n_rows, kernels->mr, RM_BLOCK_ROWS);
    int64_t row_blocks = rm_ceil_divide(n_rows, grid.block_rows);
    for (int64_t most = RM_BLOCK_COLUMNS;; most /= 2) {
        grid.block_columns = even_part(n_columns, kernels->nr, most);
        grid.n_blocks = row_blocks * rm_ceil_divide(n_columns, grid.block_columns);
        if (compute->n_threads == 1 || grid.n_blocks >= wanted || most / 2 < LEAST_COLUMNS)
            return grid;
    }
}

rm_block rm_grid_block(const rm_grid *grid, int64_t index)
{
    int64_t row_blocks = rm_ceil_divide(grid->n_rows, grid->block_rows);
    rm_block block = {.row = index % row_blocks * grid->block_rows,
                      .column = index / row_blocks * grid->block_columns};
    block.n_rows = rm_least(grid->n_rows - block.row, grid->block_rows);
    block.n_columns = rm_least(grid->n_columns - block.column, grid->block_columns);
    return block;
}

/* Down the rows with one panel, which stays in the first-level cache. */
static void run_panel(const rm_kernels *kernels, const rm_tiles *tiles, int64_t column)
{
    int n = (int)rm_least(tiles->n - column, kernels->nr);
    int64_t b_start = column / kernels->nr * tiles->b_panel;
    for (int64_t row = 0; row < tiles->m; row += kernels->mr) {
        int m = (int)rm_least(tiles->m - row, kernels->mr);
        const rm_real *a = tiles->a + row / kernels->mr * tiles->a_tile;
        rm_real *c = tiles->c + row * tiles->c_row + column;
        if (tiles->b_precision == RINGMOE_PRECISION_BF16)
            kernels->tile_bf16(tiles->depth, a, tiles->a_row, tiles->a_col,
                               (const rm_bf16 *)tiles->b + b_start, c, tiles->c_row, m, n,
                               tiles->add);
        else
            kernels->tile(tiles->depth, a, tiles->a_row, tiles->a_col,
                          (const rm_real *)tiles->b + b_start, c, tiles->c_row, m, n,
                          tiles->add);
    }
}

void rm_tiles_run(const rm_kernels *kernels, const rm_tiles *tiles)
{
    for (int64_t column = 0; column < tiles->n; column += kernels->nr)
        run_panel(kernels, tiles, column);
}

void rm_block_store(const rm_kernels *kernels, int64_t n_rows, int64_t n_columns,
                    const rm_real *block, rm_real *c, int64_t c_stride, const int32_t *c_rows,
                    bool add)
{
    for (int64_t i = 0; i < n_rows; i++) {
        rm_real *row = c + (c_rows ? c_rows[i] : i) * c_stride;
        if (add)
            kernels->add(n_columns, block + i * n_columns, row);
        else
            memcpy(row, block + i * n_columns, (size_t)n_columns * sizeof *row);
    }
}

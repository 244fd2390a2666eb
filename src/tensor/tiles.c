/* SPDX-License-Identifier: MIT */
#include "tensor/tiles.h"

#include <string.h>

/* With so many blocks for each thread the threads stay level, since a block goes to whichever
 * is free; smaller blocks than these would pack their operands too often. */
enum { BLOCKS_A_THREAD = 4, LEAST_ROWS = 192, LEAST_COLUMNS = 64 };

/* Memory is asked for ahead only where tiles are deep enough to hide the way of C, and panels
 * are used long enough for the next one to arrive; elsewhere it costs more than it brings. */
enum { CACHE_LINE = 64, DEEP_TILE = 128, LONG_PANEL = 48 };

/* The size of the parts when `count` is cut evenly into parts of whole tiles within `most`. */
static int64_t even_part(int64_t count, int64_t tile, int64_t most)
{
    int64_t parts = rm_ceil_divide(count, rm_whole_tiles(most, tile));
    return parts ? rm_ceil_divide(rm_ceil_divide(count, tile), parts) * tile : tile;
}

static rm_grid cut_evenly(const rm_tile_kernels *kernels, int64_t n_rows, int64_t n_columns,
                          int64_t most_rows, int64_t most_columns)
{
    rm_grid grid = {.n_rows = n_rows, .n_columns = n_columns};
    grid.block_rows = even_part(n_rows, kernels->mr, most_rows);
    grid.block_columns = even_part(n_columns, kernels->nr, most_columns);
    grid.n_blocks =
        rm_ceil_divide(n_rows, grid.block_rows) * rm_ceil_divide(n_columns, grid.block_columns);
    return grid;
}

rm_grid rm_grid_cut(const rm_tile_kernels *kernels, int n_threads, int64_t n_rows,
                    int64_t n_columns, int64_t most_rows, int n_groups)
{
    int64_t blocks = n_threads > 1 ? BLOCKS_A_THREAD * (int64_t)n_threads : 1;
    int64_t wanted = rm_ceil_divide(blocks, n_groups), most_columns = RM_BLOCK_COLUMNS;
    for (;;) {
        rm_grid grid = cut_evenly(kernels, n_rows, n_columns, most_rows, most_columns);
        if (grid.n_blocks >= wanted) return grid;
        if (most_rows > LEAST_ROWS)
            most_rows /= 2;
        else if (most_columns > LEAST_COLUMNS)
            most_columns /= 2;
        else
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

/* Asks for memory that will be read soon, from the second-level cache. */
static void prefetch(const char *start, int64_t bytes)
{
    for (int64_t offset = 0; offset < bytes; offset += CACHE_LINE)
        __builtin_prefetch(start + offset, 0, 2);
}

/* A tile reads and writes C only at its end, too late to hide the way from memory. */
static void prefetch_tile(const rm_real *c, int64_t c_row, int m, int n)
{
    for (int i = 0; i < m; i++) {
        __builtin_prefetch(c + i * c_row, 1);
        __builtin_prefetch(c + i * c_row + n - 1, 1);
    }
}

static void run_tile(const rm_tile_kernels *kernels, const rm_tiles *tiles, int64_t row,
                     const char *b, rm_real *c, int n)
{
    int m = (int)rm_least(tiles->m - row, kernels->mr);
    if (tiles->depth >= DEEP_TILE) prefetch_tile(c, tiles->c_row, m, n);
    kernels->tile(tiles->depth, tiles->a + row / kernels->mr * tiles->a_panel, b, c,
                  tiles->c_row, m, n, tiles->add);
}

/* Down the rows with one panel, which stays in the first-level cache; meanwhile the next one
 * is fetched part by part. */
static void run_panel(const rm_tile_kernels *kernels, const rm_tiles *tiles, int64_t column)
{
    const char *panel = tiles->b + column / kernels->nr * tiles->b_panel;
    bool has_next = column + kernels->nr < tiles->n && tiles->m >= LONG_PANEL;
    int64_t to_fetch = has_next ? tiles->depth * kernels->nr * kernels->b_size : 0;
    int64_t part = rm_ceil_divide(to_fetch, rm_ceil_divide(tiles->m, kernels->mr));
    const char *next = panel + tiles->b_panel;
    int n = (int)rm_least(tiles->n - column, kernels->nr);
    for (int64_t row = 0; row < tiles->m; row += kernels->mr) {
        prefetch(next, rm_least(part, to_fetch));
        next += part, to_fetch -= part;
        run_tile(kernels, tiles, row, panel, tiles->c + row * tiles->c_row + column, n);
    }
}

void rm_tiles_run(const rm_tile_kernels *kernels, const rm_tiles *tiles)
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

/* SPDX-License-Identifier: MIT */
#include "tensor/tiles.h"

/* Memory is asked for ahead only where tiles are deep enough to hide the way of C, and panels
 * are used long enough for the next one to arrive; elsewhere it costs more than it brings. */
enum { CACHE_LINE = 64, DEEP_TILE = 128, LONG_PANEL = 8 };

rm_heights rm_heights_cut(const rm_tile_kernels *kernels, int64_t n_rows)
{
    rm_heights heights = {.n_rows = n_rows,
                          .n_panels = rm_ceil_divide(n_rows, kernels->mr),
                          .step = kernels->row_step};
    int64_t steps = rm_ceil_divide(n_rows, heights.step);
    if (n_rows) heights.least = steps / heights.n_panels;
    if (n_rows) heights.n_higher = steps % heights.n_panels;
    return heights;
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

/* Down the rows with one panel, which stays in the first-level cache; meanwhile the next one
 * is fetched part by part. */
static void run_panel(const rm_tile_kernels *kernels, const rm_tiles *tiles, int64_t column)
{
    const rm_heights *rows = &tiles->rows;
    const char *a = tiles->a, *panel = tiles->b + column / kernels->nr * tiles->b_panel;
    bool has_next = column + kernels->nr < tiles->n && rows->n_panels >= LONG_PANEL;
    int64_t to_fetch = has_next ? tiles->depth * kernels->nr * kernels->b_size : 0;
    int64_t part = rm_ceil_divide(to_fetch, rows->n_panels);
    const char *next = panel + tiles->b_panel;
    int n = (int)rm_least(tiles->n - column, kernels->nr);
    for (int64_t i = 0; i < rows->n_panels; i++, a += tiles->a_panel) {
        int64_t row = rm_height_start(rows, i);
        int m = (int)(rm_height_start(rows, i + 1) - row);
        rm_real *c = tiles->c + row * tiles->c_row + column;
        prefetch(next, rm_least(part, to_fetch));
        next += part, to_fetch -= part;
        if (tiles->depth >= DEEP_TILE) prefetch_tile(c, tiles->c_row, m, n);
        kernels->tile(tiles->depth, a, panel, c, tiles->c_row, m, n, tiles->add,
                      (rm_ahead){(const char *)panel + 2048, kernels->nr * kernels->b_size});
    }
}

void rm_tiles_run(const rm_tile_kernels *kernels, const rm_tiles *tiles)
{
    for (int64_t column = 0; column < tiles->n; column += kernels->nr)
        run_panel(kernels, tiles, column);
}

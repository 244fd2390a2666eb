/* SPDX-License-Identifier: MIT */
#include "tensor/tiles.h"

/* C is asked for ahead where tiles are deep enough to hide its way from memory. */
enum { DEEP_TILE = 128 };
/* How far ahead of its use a panel is asked for that only one tile uses. */
enum { BYTES_AHEAD = 2048 };

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

/* A tile reads and writes C only at its end, too late to hide the way from memory. */
static void prefetch_tile(const rm_real *c, int64_t c_row, int m, int n)
{
    for (int i = 0; i < m; i++) {
        __builtin_prefetch(c + i * c_row, 1);
        __builtin_prefetch(c + i * c_row + n - 1, 1);
    }
}

/* What tile i of a panel asks for: its share of the next panel, so that memory is read evenly
 * while the tiles compute; or, if it is the only one, the panel itself a little ahead. */
static rm_ahead ahead_of_tile(const rm_tile_kernels *kernels, const rm_tiles *tiles,
                              const char *panel, const char *next, int64_t i)
{
    int64_t term = kernels->b_term, n_tiles = tiles->rows.n_panels;
    if (n_tiles == 1) return (rm_ahead){panel + BYTES_AHEAD, term};
    int64_t share = rm_ceil_divide(term, n_tiles);
    return (rm_ahead){next + i % rm_ceil_divide(term, share) * share * tiles->depth, share};
}

/* Down the rows with one panel, which stays in the first-level cache. */
static void run_panel(const rm_tile_kernels *kernels, const rm_tiles *tiles, int64_t column)
{
    const rm_heights *rows = &tiles->rows;
    const char *a = tiles->a, *panel = tiles->b + column / kernels->nr * tiles->b_panel;
    bool has_next = column + kernels->nr < tiles->n;
    const char *next = has_next ? panel + tiles->b_panel : tiles->after;
    int n = (int)rm_least(tiles->n - column, kernels->nr);
    for (int64_t i = 0; i < rows->n_panels; i++, a += tiles->a_panel) {
        int64_t row = rm_height_start(rows, i);
        int m = (int)(rm_height_start(rows, i + 1) - row);
        rm_real *c = tiles->c + row * tiles->c_row + column;
        if (tiles->depth >= DEEP_TILE) prefetch_tile(c, tiles->c_row, m, n);
        kernels->tile(tiles->depth, a, panel, c, tiles->c_row, m, n, tiles->add,
                      ahead_of_tile(kernels, tiles, panel, next, i));
    }
}

void rm_tiles_run(const rm_tile_kernels *kernels, const rm_tiles *tiles)
{
    for (int64_t column = 0; column < tiles->n; column += kernels->nr)
        run_panel(kernels, tiles, column);
}

/* SPDX-License-Identifier: MIT
 *
 * B of small products, packed by the calling thread in fp32: attention's blocks.
 */
#include "tensor/tiles.h"

/* Terms of the depth packed at once; a multiple of every level's depth_step. */
enum { STEPS_AT_ONCE = 64 };

/* Elements from one panel to the next. */
static int64_t panel_elements(const rm_tile_kernels *tiles, int64_t k)
{
    return rm_whole(k, tiles->depth_step) * tiles->b_term / (int64_t)sizeof(rm_real);
}

int64_t rm_block_panels(const rm_kernels *kernels, int64_t k, int64_t n)
{
    return rm_ceil_divide(n, kernels->fp32.nr) * panel_elements(&kernels->fp32, k);
}

static void pack_panel_lines(const rm_tile_kernels *tiles, int64_t k, int n, const rm_real *src,
                             int64_t col, rm_real *panel)
{
    const rm_real *lines[RM_TILE_MOST];
    for (int j = 0; j < n; j++) lines[j] = src + j * col;
    tiles->pack_b_lines(k, n, lines, panel);
}

static void pack_panel_steps(const rm_tile_kernels *tiles, int64_t k, int n, const rm_real *src,
                             int64_t row, rm_real *panel)
{
    const rm_real *steps[STEPS_AT_ONCE];
    for (int64_t first = 0; first < k; first += STEPS_AT_ONCE) {
        int64_t count = rm_least(k - first, STEPS_AT_ONCE);
        for (int64_t p = 0; p < count; p++) steps[p] = src + (first + p) * row;
        tiles->pack_b_steps(count, n, steps, (char *)panel + first * tiles->b_term);
    }
}

void rm_pack_block(const rm_kernels *kernels, int64_t k, int64_t n, const rm_real *src,
                   int64_t row, int64_t col, rm_real *panels)
{
    const rm_tile_kernels *tiles = &kernels->fp32;
    for (int64_t column = 0; column < n; column += tiles->nr) {
        int width = (int)rm_least(n - column, tiles->nr);
        rm_real *panel = panels + column / tiles->nr * panel_elements(tiles, k);
        if (row == 1)
            pack_panel_lines(tiles, k, width, src + column * col, col, panel);
        else
            pack_panel_steps(tiles, k, width, src + column, row, panel);
    }
}

/* SPDX-License-Identifier: MIT
 *
 * Inside a product: the loop of tiles over one slice of one block of C. The scheme is that of
 * Goto and van de Geijn (2008) and BLIS (Van Zee, van de Geijn 2015): a block of A stays in the
 * second-level cache, a panel of B in the first, a tile of C in registers.
 *
 *      A, depth_block deep        B                             C block
 *      .-------------------.      .------.------.------.       .------.------.------.
 *   mr |  panel 0          |      |      |      |      |       | tile | tile | tile |
 *      |-------------------|      |panel |panel |panel |       |------+------+------|
 *   mr |  panel 1          |   x  |  0   |  1   |  2   |   =   | tile |      |      |
 *      |-------------------|      |      |      |      |       |------+------+------|
 *      |  ..               |      |      |      |      |       |      |      |      |
 *      '-------------------'      '------'------'------'       '------'------'------'
 *       packed by a thread          nr     nr     nr            in scratch until its sums
 *       when first needed                                       over all slices are complete
 *
 * operand.h packs A (and B of a weight gradient), work.h deals blocks of C out to the threads.
 * The depth is cut every depth_block terms from its start, and the partial sums are added in
 * ascending order, so an element's bits depend on its own row, column and the depth alone.
 */
#ifndef RM_TILES_H
#define RM_TILES_H

#include "tensor/products.h"

/* No level's mr or nr is greater, and every level's depth_step divides it. */
enum { RM_TILE_MOST = 64 };

/* Rows cut into panels of at most mr rows, as even as the tiles are: a last tile of one or two
 * rows would wait for its few sums' latency. */
typedef struct rm_heights {
    int64_t n_rows, n_panels;
    int64_t step, least, n_higher; /* heights: `least` steps, one more in the first n_higher */
} rm_heights;
rm_heights rm_heights_cut(const rm_tile_kernels *kernels, int64_t n_rows);

/* The operands of C[m][n] (+)= A[m][depth] B[depth][n]. */
typedef struct rm_tiles {
    rm_heights rows;
    int64_t n, depth;
    const char *a, *b;        /* panels */
    int64_t a_panel, b_panel; /* bytes from one panel to the next */
    const void *after;        /* a panel of B that is read after these */
    rm_real *c;
    int64_t c_row;
    bool add;
} rm_tiles;
void rm_tiles_run(const rm_tile_kernels *kernels, const rm_tiles *tiles);

static inline const rm_tile_kernels *rm_tiles_of(const rm_compute *compute,
                                                 ringmoe_precision precision)
{
    const rm_kernels *kernels = compute->kernels;
    switch (precision) {
    case RINGMOE_PRECISION_BF16:
        return &kernels->bf16;
    case RINGMOE_PRECISION_Q8_0:
        return &kernels->q8;
    case RINGMOE_PRECISION_Q4_0:
        return &kernels->q4;
    case RINGMOE_PRECISION_FP32:
        break;
    }
    return &kernels->fp32;
}

/* The packed form of one block of the depth. */
rm_packed rm_packed_block(const rm_tile_kernels *kernels, const rm_packed *packed, int block);

static inline int64_t rm_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}
static inline int64_t rm_ceil_divide(int64_t count, int64_t size)
{
    return (count + size - 1) / size;
}
static inline int64_t rm_whole(int64_t count, int64_t size)
{
    return rm_ceil_divide(count, size) * size;
}
/* Where part `index` begins when `count` is cut evenly into n_parts of whole tiles. */
static inline int64_t rm_part_start(int64_t count, int64_t tile, int64_t n_parts, int64_t index)
{
    return rm_least(count, rm_ceil_divide(count, tile) * index / n_parts * tile);
}
/* The first row of a panel. */
static inline int64_t rm_height_start(const rm_heights *heights, int64_t panel)
{
    int64_t steps = panel * heights->least + rm_least(panel, heights->n_higher);
    return rm_least(heights->n_rows, steps * heights->step);
}

#endif

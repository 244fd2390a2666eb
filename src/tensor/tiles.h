/* SPDX-License-Identifier: MIT
 *
 * Inside a product: how C is cut into blocks for the threads, and the loop of tiles over one
 * block. The scheme is that of Goto and van de Geijn (2008) and BLIS (Van Zee, van de Geijn
 * 2015): a block of A stays in the second-level cache, a panel of B in the first.
 *
 *                       block of C            one depth step of a block
 *         n             .---------.           A          B panels     C
 *     .-----.-----.     |tile|tile|           .----.    .--.--.--.   .--------.
 *   m |block|block|     |----+----|    rows   |    |    |  |  |  |   |        |
 *     |-----+-----|     |tile|tile|           '----'    '--'--'--'   '--------'
 *     '-----'-----'     '---------'           depth     depth x nr
 *
 * The depth is cut every depth_block terms from its start, and the partial sums are added in
 * ascending order, so an element's bits depend on its own row, column and the depth alone.
 */
#ifndef RM_TILES_H
#define RM_TILES_H

#include "tensor/products.h"

/* Greatest width of a block of C, rounded down to whole panels. */
#define RM_BLOCK_COLUMNS 512

/* No level's mr or nr is greater. */
enum { RM_TILE_MOST = 64 };

/* C of one group cut into row_blocks * column_blocks blocks of whole tiles. */
typedef struct rm_grid {
    int64_t n_rows, n_columns;
    int64_t block_rows, block_columns; /* multiples of mr and nr */
    int64_t n_blocks;
} rm_grid;
/* Blocks of at most most_rows rows (or one tile), and small enough that each thread gets
 * several blocks of the n_groups together. */
rm_grid rm_grid_cut(const rm_tile_kernels *kernels, int n_threads, int64_t n_rows,
                    int64_t n_columns, int64_t most_rows, int n_groups);

typedef struct rm_block {
    int64_t row, n_rows, column, n_columns;
} rm_block;
/* Blocks follow each other down the rows, so that neighbours in time share the columns of B. */
rm_block rm_grid_block(const rm_grid *grid, int64_t index);

/* The packed operands of C[m][n] (+)= A[m][depth] B[depth][n] on one block. */
typedef struct rm_tiles {
    int64_t m, n, depth;
    const char *a;            /* panels of mr rows */
    const char *b;            /* panels of nr columns */
    int64_t a_panel, b_panel; /* bytes from one panel to the next */
    rm_real *c;
    int64_t c_row;
    bool add;
} rm_tiles;
void rm_tiles_run(const rm_tile_kernels *kernels, const rm_tiles *tiles);

static inline const rm_tile_kernels *rm_tiles_of(const rm_compute *compute,
                                                 ringmoe_precision precision)
{
    return precision == RINGMOE_PRECISION_BF16 ? &compute->kernels->bf16
                                               : &compute->kernels->fp32;
}

/* c[i][j] (+)= block[i][j] for a block formed beside C; row i of C is c + c_rows[i] * c_stride.
 */
void rm_block_store(const rm_kernels *kernels, int64_t n_rows, int64_t n_columns,
                    const rm_real *block, rm_real *c, int64_t c_stride, const int32_t *c_rows,
                    bool add);

/* The greatest multiple of a tile's size within `most`, but one tile at least. */
static inline int64_t rm_whole_tiles(int64_t most, int64_t size)
{
    return most > size ? most / size * size : size;
}
static inline int64_t rm_whole(int64_t count, int64_t size)
{
    return (count + size - 1) / size * size;
}
static inline int64_t rm_ceil_divide(int64_t count, int64_t size)
{
    return (count + size - 1) / size;
}
static inline int64_t rm_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

#endif

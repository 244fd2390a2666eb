/* SPDX-License-Identifier: MIT
 *
 * C = A B for ragged groups of rows. Blocks of C are handed out to the threads as they become
 * free; within a block the rows of A, gathered and rounded, are copied to scratch one slice of
 * the depth at a time:
 *
 *   scratch   | A: block rows x RM_DEPTH_BLOCK | C: block rows x block columns |
 *
 * C in scratch is used where the product must be complete before it goes to its place (rows
 * scattered, or added to what is there).
 */
#include "tensor/tiles.h"

#include <string.h>

/* Greatest rows of a block, whose slice of A is to stay in the second-level cache. */
enum { BLOCK_ROWS = 192 };

_Static_assert((RM_DEPTH_BLOCK + RM_BLOCK_COLUMNS) * BLOCK_ROWS * sizeof(rm_real) <=
                   RM_SCRATCH_BYTES,
               "a block of A and a block of C must fit into the scratch");

/* a[i][p] = A[row + i][first + p], rounded to bf16 if B is. */
static void gather_rows(const rm_kernels *kernels, const rm_product *product,
                        const rm_block *block, int64_t first, int64_t depth, rm_real *a)
{
    for (int64_t i = 0; i < block->n_rows; i++) {
        int64_t row = block->row + i;
        const rm_real *src =
            product->a + (product->a_rows ? product->a_rows[row] : row) * product->a_stride;
        if (product->b->precision == RINGMOE_PRECISION_BF16)
            kernels->round_bf16(depth, src + first, a + i * depth);
        else
            memcpy(a + i * depth, src + first, (size_t)depth * sizeof *a);
    }
}

static const void *panels_at(const rm_kernels *kernels, const rm_packed *b, int64_t column,
                             int64_t first)
{
    int64_t element = column * b->k + first * kernels->nr;
    return b->precision == RINGMOE_PRECISION_BF16
               ? (const void *)((const rm_bf16 *)b->data + element)
               : (const void *)((const rm_real *)b->data + element);
}

static void run_block(const rm_compute *compute, const rm_product *product,
                      const rm_block *block)
{
    const rm_kernels *kernels = compute->kernels;
    const rm_packed *b = product->b;
    rm_real *a = rm_compute_scratch(compute);
    rm_real *beside = a + block->n_rows * RM_DEPTH_BLOCK;
    bool is_beside = product->c_rows || (product->add && b->k > RM_DEPTH_BLOCK);
    rm_real *place = product->c + block->column;
    if (!product->c_rows) place += block->row * product->c_stride;
    int64_t first = 0;
    do {
        int64_t depth = rm_least(b->k - first, RM_DEPTH_BLOCK);
        gather_rows(kernels, product, block, first, depth, a);
        rm_tiles_run(kernels,
                     &(rm_tiles){.m = block->n_rows,
                                 .n = block->n_columns,
                                 .depth = depth,
                                 .a = a,
                                 .a_row = depth,
                                 .a_col = 1,
                                 .a_tile = depth * kernels->mr,
                                 .b = panels_at(kernels, b, block->column, first),
                                 .b_panel = b->k * kernels->nr,
                                 .b_precision = b->precision,
                                 .c = is_beside ? beside : place,
                                 .c_row = is_beside ? block->n_columns : product->c_stride,
                                 .add = first > 0 || (product->add && !is_beside)});
        first += depth;
    } while (first < b->k);
    if (is_beside)
        rm_block_store(kernels, block->n_rows, block->n_columns, beside, place,
                       product->c_stride, product->c_rows ? product->c_rows + block->row : NULL,
                       product->add);
}

void rm_product_grouped(const rm_compute *compute, const rm_product *groups, int n_groups)
{
#pragma omp parallel num_threads(compute->n_threads)
    for (int g = 0; g < n_groups; g++) {
        rm_grid grid =
            rm_grid_cut(compute, groups[g].n_rows, groups[g].b->n, BLOCK_ROWS, n_groups);
#pragma omp for schedule(dynamic) nowait
        for (int64_t i = 0; i < grid.n_blocks; i++) {
            rm_block block = rm_grid_block(&grid, i);
            run_block(compute, &groups[g], &block);
        }
    }
}

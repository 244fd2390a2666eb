/* SPDX-License-Identifier: MIT
 *
 * C = A B for ragged groups of rows. Blocks of C are handed out to the threads as they become
 * free; within a block the rows of A, gathered and rounded, are copied to scratch one slice of
 * the depth at a time:
 *
 *   scratch   | A: packed, block rows x depth_block | C: block rows x block columns |
 *
 * C in scratch is used where the product must be complete before it goes to its place (rows
 * scattered, or added to what is there).
 */
#include "tensor/tiles.h"

#include <string.h>

typedef struct product_block {
    const rm_tile_kernels *kernels;
    const rm_product *product;
    rm_block place;
    char *a;       /* packed */
    rm_real *c[2]; /* of b and of `up`, beside the product's own */
} product_block;

/* Packs terms [first, first + depth) of the block's rows. */
static void pack_rows(const product_block *block, int64_t first, int64_t depth)
{
    const rm_tile_kernels *kernels = block->kernels;
    const rm_product *product = block->product;
    int64_t panel = rm_whole(depth, kernels->depth_step) * kernels->mr * kernels->a_size;
    for (int64_t i = 0; i < block->place.n_rows; i += kernels->mr) {
        const rm_real *lines[RM_TILE_MOST];
        int m = (int)rm_least(block->place.n_rows - i, kernels->mr);
        for (int j = 0; j < m; j++) {
            int64_t row = block->place.row + i + j;
            lines[j] = product->a + first +
                       (product->a_rows ? product->a_rows[row] : row) * product->a_stride;
        }
        kernels->pack_a_lines(depth, m, lines, block->a + i / kernels->mr * panel);
    }
}

static void run_slice(const product_block *block, const rm_packed *b, rm_real *c, int64_t first,
                      int64_t depth)
{
    const rm_tile_kernels *kernels = block->kernels;
    int64_t b_panel = rm_whole(b->k, kernels->depth_step) * kernels->nr * kernels->b_size;
    const char *panels = (const char *)b->data + block->place.column / kernels->nr * b_panel;
    rm_tiles tiles = {.m = block->place.n_rows,
                      .n = block->place.n_columns,
                      .depth = depth,
                      .a = block->a,
                      .a_panel =
                          rm_whole(depth, kernels->depth_step) * kernels->mr * kernels->a_size,
                      .b = panels + first * kernels->nr * kernels->b_size,
                      .b_panel = b_panel,
                      .c = c,
                      .c_row = block->place.n_columns,
                      .add = first > 0};
    rm_tiles_run(kernels, &tiles);
}

/* Rows of the block to where the product wants them. */
static void store(const rm_compute *compute, const product_block *block)
{
    const rm_product *product = block->product;
    int64_t n = block->place.n_columns;
    for (int64_t i = 0; i < block->place.n_rows; i++) {
        int64_t row = block->place.row + i;
        int64_t at = (product->c_rows ? product->c_rows[row] : row) * product->c_stride +
                     block->place.column;
        const rm_real *c = block->c[0] + i * n, *up = block->c[1] + i * n;
        if (product->add)
            compute->kernels->add(n, c, product->c + at);
        else
            memcpy(product->c + at, c, (size_t)n * sizeof *c);
        if (!product->up) continue;
        memcpy(product->c_up + at, up, (size_t)n * sizeof *up);
        compute->kernels->silu_mul(n, product->weights ? product->weights[row] : 1, c, up,
                                   product->hidden + at);
    }
}

static void run_block(const rm_compute *compute, const rm_product *product,
                      const rm_block *place)
{
    const rm_tile_kernels *kernels = rm_tiles_of(compute, product->b->precision);
    int64_t size = place->n_rows * place->n_columns;
    rm_real *c = rm_compute_scratch(compute);
    product_block block = {kernels, product, *place, (char *)(c + 2 * size), {c, c + size}};
    int64_t first = 0;
    do {
        int64_t depth = rm_least(product->b->k - first, kernels->depth_block);
        pack_rows(&block, first, depth);
        run_slice(&block, product->b, block.c[0], first, depth);
        if (product->up) run_slice(&block, product->up, block.c[1], first, depth);
        first += depth;
    } while (first < product->b->k);
    store(compute, &block);
}

void rm_product_grouped(const rm_compute *compute, const rm_product *groups, int n_groups)
{
#pragma omp parallel num_threads(compute->n_threads)
    for (int g = 0; g < n_groups; g++) {
        const rm_tile_kernels *kernels = rm_tiles_of(compute, groups[g].b->precision);
        rm_grid grid = rm_grid_cut(kernels, compute->n_threads, groups[g].n_rows,
                                   groups[g].b->n, kernels->block_rows, n_groups);
        if (kernels->begin) kernels->begin();
#pragma omp for schedule(dynamic) nowait
        for (int64_t i = 0; i < grid.n_blocks; i++) {
            rm_block block = rm_grid_block(&grid, i);
            run_block(compute, &groups[g], &block);
        }
        if (kernels->end) kernels->end();
    }
}

/* SPDX-License-Identifier: MIT */
#include "nn/attention_tiles.h"

int64_t rm_visible_keys(const rm_score_block *block, int64_t i)
{
    int64_t position = block->position + (block->first_head + i) / block->n_heads;
    int64_t visible = position + 1 - block->first_key;
    return visible < 0 ? 0 : rm_least(visible, block->n_keys);
}

/* A row of tiles, m rows and n columns: C (+)= A B, with B in panels of `b_panel` elements. */
typedef struct tile_row {
    int64_t m, n, depth;
    const rm_real *a, *b;
    int64_t a_row, a_col, b_panel;
    rm_real *c;
    int64_t c_row;
    bool add;
} tile_row;

static void run_tile_row(const rm_kernels *kernels, const tile_row *row)
{
    int nr = kernels->fp32.nr;
    const rm_real *b = row->b;
    for (int64_t column = 0; column < row->n; column += nr, b += row->b_panel)
        kernels->tile_in_place(row->depth, row->a, row->a_row, row->a_col, b, row->c + column,
                               row->c_row, (int)row->m, (int)rm_least(row->n - column, nr),
                               row->add);
}

/* Elements of a panel of this depth. */
static int64_t panel_elements(const rm_kernels *kernels, int64_t depth)
{
    return rm_block_panels(kernels, depth, kernels->fp32.nr);
}

/* The last key that one of the m rows from i on sees, as a depth of the products. */
static int64_t depth_of_rows(const rm_score_block *block, int64_t i, int64_t m)
{
    int64_t visible = rm_visible_keys(block, i + m - 1);
    return rm_least(rm_whole(visible, block->kernels->fp32.depth_step), block->n_keys);
}

void rm_scores_product(const rm_score_block *block, const rm_real *q, int64_t q_stride,
                       const rm_real *keys, rm_real *scores)
{
    tile_row row = {.depth = block->head_dim,
                    .b = keys,
                    .b_panel = panel_elements(block->kernels, block->head_dim),
                    .a_row = q_stride,
                    .a_col = 1,
                    .c_row = RM_ATTENTION_BLOCK};
    for (int64_t i = 0; i < block->n_rows; i += row.m) {
        row.m = rm_least(block->n_rows - i, block->kernels->fp32.mr);
        row.n = rm_visible_keys(block, i + row.m - 1);
        row.a = q + i * q_stride;
        row.c = scores + i * RM_ATTENTION_BLOCK;
        run_tile_row(block->kernels, &row);
    }
}

void rm_sum_over_keys(const rm_score_block *block, const rm_real *weights,
                      const rm_real *values, rm_real *sums, int64_t stride, bool add)
{
    tile_row row = {.n = block->head_dim,
                    .b = values,
                    .b_panel = panel_elements(block->kernels, block->n_keys),
                    .a_row = RM_ATTENTION_BLOCK,
                    .a_col = 1,
                    .c_row = stride,
                    .add = add};
    for (int64_t i = 0; i < block->n_rows; i += row.m) {
        row.m = rm_least(block->n_rows - i, block->kernels->fp32.mr);
        row.depth = depth_of_rows(block, i, row.m);
        row.a = weights + i * RM_ATTENTION_BLOCK;
        row.c = sums + i * stride;
        run_tile_row(block->kernels, &row);
    }
}

void rm_sum_over_rows(const rm_score_block *block, const rm_real *weights,
                      const rm_real *queries, rm_real *sums, bool add)
{
    int depth_step = block->kernels->fp32.depth_step;
    tile_row row = {.n = block->head_dim,
                    .b_panel = panel_elements(block->kernels, block->n_rows),
                    .a_row = 1,
                    .a_col = RM_ATTENTION_BLOCK,
                    .c_row = block->head_dim,
                    .add = add};
    for (int64_t j = 0; j < block->n_keys; j += row.m) {
        int64_t unseen = block->first_key + j - block->position;
        row.m = rm_least(block->n_keys - j, block->kernels->fp32.mr);
        int64_t skipped = unseen > 0 ? unseen / depth_step * depth_step : 0;
        row.depth = block->n_rows - skipped;
        row.a = weights + skipped * RM_ATTENTION_BLOCK + j;
        row.b = queries + panel_elements(block->kernels, skipped);
        row.c = sums + j * block->head_dim;
        run_tile_row(block->kernels, &row);
    }
}

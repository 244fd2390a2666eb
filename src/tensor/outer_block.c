/* SPDX-License-Identifier: MIT
 *
 * The terms of a group are carried out one after the other. A sum over several slices of the
 * rows is formed in the thread's own scratch, where it stays in the second-level cache, and
 * goes to the sink once; of one slice it goes there directly.
 */
#include "tensor/outer_block.h"

#include <string.h>

typedef struct outer_block {
    rm_operand *d_y, *x;
    rm_sink sink; /* data is the block's first element */
    int64_t sink_row;
    const rm_own *own;
} outer_block;

static void run_slice(const outer_block *block, int64_t first, rm_real *c, int64_t c_row,
                      bool add)
{
    const rm_tile_kernels *kernels = block->d_y->kernels;
    int64_t depth = rm_least(block->d_y->depth - first, kernels->depth_block);
    rm_tiles tiles = {.rows = rm_heights_cut(kernels, block->d_y->width),
                      .n = block->x->width,
                      .depth = depth,
                      .a = rm_operand_slice(block->d_y, first, depth, block->own->a),
                      .b = rm_operand_slice(block->x, first, depth, block->own->b),
                      .a_panel = rm_operand_panel_bytes(block->d_y, depth),
                      .b_panel = rm_operand_panel_bytes(block->x, depth),
                      .c = c,
                      .c_row = c_row,
                      .add = add};
    tiles.after = tiles.b + rm_operand_slice_bytes(block->x, depth);
    rm_tiles_run(kernels, &tiles);
}

static void store(const rm_kernels *kernels, const outer_block *block)
{
    int64_t n = block->x->width;
    const rm_real *c = block->own->c;
    rm_real *row = block->sink.data;
    for (int64_t i = 0; i < block->d_y->width; i++, c += n, row += block->sink_row) {
        if (block->sink.add)
            kernels->add(n, c, row);
        else
            memcpy(row, c, (size_t)n * sizeof *c);
    }
}

static void run_term(const rm_kernels *kernels, const outer_block *block)
{
    int64_t depth = block->d_y->depth, depth_block = block->d_y->kernels->depth_block;
    if (depth == 0 && block->sink.add) return;
    rm_operand_pack(block->d_y);
    rm_operand_pack(block->x);
    if (depth <= depth_block) {
        run_slice(block, 0, block->sink.data, block->sink_row, block->sink.add);
        return;
    }
    for (int64_t first = 0; first < depth; first += depth_block)
        run_slice(block, first, block->own->c, block->x->width, first > 0);
    store(kernels, block);
}

void rm_outer_block_run(const rm_kernels *kernels, const rm_outer_job *job, int64_t block,
                        const rm_own *own)
{
    const rm_outer_group *group = job->group;
    for (int t = 0; t < group->n_terms; t++) {
        rm_operand *d_y = &job->d_y[t], *x = &job->x[block * group->n_terms + t];
        rm_sink sink = group->terms[t].sink;
        sink.data += d_y->first * group->in + x->first;
        run_term(kernels, &(outer_block){d_y, x, sink, group->in, own});
    }
}

/* SPDX-License-Identifier: MIT
 *
 * A sum over several slices of the rows is formed in the thread's own scratch, where it stays
 * in the second-level cache, and goes to the sink once; of one slice it goes there directly.
 */
#include "tensor/outer_block.h"

#include <string.h>

static void run_slice(const rm_outer_job *job, const rm_strip *x, int64_t first,
                      const rm_own *own, rm_real *c, int64_t c_row, bool add)
{
    const rm_tile_kernels *kernels = job->d_y.kernels;
    int64_t depth = rm_least(job->d_y.depth - first, kernels->depth_block);
    rm_tiles tiles = {.rows = rm_heights_cut(kernels, job->d_y.width),
                      .n = x->width,
                      .depth = depth,
                      .a = rm_strip_slice(&job->d_y, first, depth, own->a),
                      .b = rm_strip_slice(x, first, depth, own->b),
                      .a_panel = rm_strip_panel_bytes(&job->d_y, depth),
                      .b_panel = rm_strip_panel_bytes(x, depth),
                      .c = c,
                      .c_row = c_row,
                      .add = add};
    rm_tiles_run(kernels, &tiles);
}

static void store(const rm_kernels *kernels, const rm_outer_job *job, int64_t n,
                  const rm_real *c, rm_real *place)
{
    for (int64_t i = 0; i < job->d_y.width; i++, c += n, place += job->in) {
        if (job->term->sink.add)
            kernels->add(n, c, place);
        else
            memcpy(place, c, (size_t)n * sizeof *c);
    }
}

void rm_outer_block_run(const rm_kernels *kernels, rm_outer_job *job, int64_t block,
                        const rm_own *own)
{
    rm_strip *x = &job->x[block];
    const rm_sink *sink = &job->term->sink;
    rm_real *place = sink->data + job->d_y.first * job->in + x->first;
    int64_t depth_block = job->d_y.kernels->depth_block;
    rm_strip_pack(&job->d_y);
    rm_strip_pack(x);
    if (job->d_y.depth <= depth_block) {
        run_slice(job, x, 0, own, place, job->in, sink->add);
        return;
    }
    for (int64_t first = 0; first < job->d_y.depth; first += depth_block)
        run_slice(job, x, first, own, own->c, x->width, first > 0);
    store(kernels, job, x->width, own->c, place);
}

/* SPDX-License-Identifier: MIT */
#include "tensor/workspace.h"

/* More would not stay in any cache, and a batch of operands is large enough with it. */
static const size_t shared_most = (size_t)64 << 20;

int64_t rm_block_columns(const rm_tile_kernels *kernels)
{
    return kernels->nr < RM_BLOCK_COLUMNS ? RM_BLOCK_COLUMNS / kernels->nr * kernels->nr
                                          : kernels->nr;
}

rm_workspace rm_workspace_cut(const rm_compute *compute, const rm_tile_kernels *kernels)
{
    rm_workspace cut = {.compute = compute, .kernels = kernels};
    int64_t rows = rm_whole(kernels->block_rows, kernels->mr);
    int64_t columns = rm_block_columns(kernels);
    cut.c_bytes = rm_whole(rows * columns * (int64_t)sizeof(rm_real), RM_ARENA_ALIGN);
    cut.a_bytes =
        rm_whole(rows / kernels->mr * kernels->depth_block * kernels->a_term, RM_ARENA_ALIGN);
    cut.own_bytes = rm_whole(cut.c_bytes + cut.a_bytes +
                                 columns / kernels->nr * kernels->depth_block * kernels->b_term,
                             RM_ARENA_ALIGN);
    size_t own = (size_t)(compute->n_threads * cut.own_bytes);
    size_t left = (size_t)compute->n_threads * RM_SCRATCH_BYTES - own;
    cut.shared = (rm_arena){.base = compute->scratch.base + own,
                            .reserved = left < shared_most ? left : shared_most};
    return cut;
}

int64_t rm_workspace_left(const rm_workspace *workspace)
{
    return (int64_t)(workspace->shared.reserved - workspace->shared.used);
}

rm_own rm_workspace_own(const rm_workspace *workspace, int thread)
{
    char *own = workspace->compute->scratch.base + thread * workspace->own_bytes;
    char *a = own + workspace->c_bytes;
    return (rm_own){(rm_real *)own, a, a + workspace->a_bytes};
}

rm_work rm_workspace_work(rm_workspace *workspace, int most_jobs)
{
    int n_threads = workspace->compute->n_threads;
    return (rm_work){.compute = workspace->compute,
                     .jobs = RM_TAKE(&workspace->shared, most_jobs, rm_job),
                     .ranges = RM_TAKE(&workspace->shared, n_threads, rm_task_range),
                     .n_ranges = n_threads};
}

/* Packed operands of a weight gradient, which are more than a product's; and blocks of C. */
int64_t rm_products_scratch(const rm_compute *compute, int64_t n_rows, int64_t out, int64_t in)
{
    const rm_tile_kernels *kernels = rm_tiles_of(compute, compute->precision);
    rm_workspace workspace = rm_workspace_cut(compute, kernels);
    int64_t packed = n_rows * (rm_ceil_divide(out, kernels->mr) * kernels->a_term +
                               rm_ceil_divide(in, kernels->nr) * kernels->b_term);
    int64_t most = (int64_t)workspace.shared.reserved;
    return compute->n_threads * workspace.c_bytes + rm_least(packed, most);
}

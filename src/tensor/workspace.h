/* SPDX-License-Identifier: MIT
 *
 * How products use the scratch of all threads together:
 *
 *   scratch   | thread 0's own | thread 1's own | .. | shared: jobs, strips, packed operands |
 *   own       | blocks of C | a slice of A | a slice of B |
 *
 * The slices are for strips that find no room in the shared part.
 */
#ifndef RM_WORKSPACE_H
#define RM_WORKSPACE_H

#include "tensor/operand.h"
#include "tensor/work.h"

/* Greatest width of a block of C, rounded down to whole panels. */
enum { RM_BLOCK_COLUMNS = 512 };

typedef struct rm_workspace {
    const rm_compute *compute;
    const rm_tile_kernels *kernels;
    int64_t own_bytes, a_bytes, c_bytes;
    rm_arena shared;
} rm_workspace;
rm_workspace rm_workspace_cut(const rm_compute *compute, const rm_tile_kernels *kernels);

/* Bytes that are left in the shared part. */
int64_t rm_workspace_left(const rm_workspace *workspace);

typedef struct rm_own {
    rm_real *c; /* two blocks of half as many columns, or one */
    char *a, *b;
} rm_own;
rm_own rm_workspace_own(const rm_workspace *workspace, int thread);

/* Whole panels within RM_BLOCK_COLUMNS, but one at least. */
int64_t rm_block_columns(const rm_tile_kernels *kernels);

/* Ranges for work that is run by all threads. */
rm_work rm_workspace_work(rm_workspace *workspace, int most_jobs);

#endif

/* SPDX-License-Identifier: MIT
 *
 * One block of dW = dY^T X: a strip of dY's columns by one of X's.
 */
#ifndef RM_OUTER_BLOCK_H
#define RM_OUTER_BLOCK_H

#include "tensor/workspace.h"

/* All blocks of one strip of dY. */
typedef struct rm_outer_job {
    const rm_outer_group *group;
    rm_operand *d_y; /* [n_terms] */
    rm_operand *x;   /* [block][n_terms] */
} rm_outer_job;

void rm_outer_block_run(const rm_kernels *kernels, const rm_outer_job *job, int64_t block,
                        const rm_own *own);

#endif

/* SPDX-License-Identifier: MIT
 *
 * One block of C = A B: a range of columns for one strip of A.
 */
#ifndef RM_PRODUCT_BLOCK_H
#define RM_PRODUCT_BLOCK_H

#include "tensor/workspace.h"

/* A block of rows of a product, its columns cut into n_parts. */
typedef struct rm_product_job {
    const rm_product *product;
    int64_t first_row;
    int64_t n_parts;
    rm_operand rows;
} rm_product_job;

void rm_product_block_run(const rm_kernels *kernels, rm_product_job *job, int64_t part,
                          const rm_own *own);

#endif

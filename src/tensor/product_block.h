/* SPDX-License-Identifier: MIT
 *
 * One block of C = A B: a range of columns for one strip of A.
 */
#ifndef RM_PRODUCT_BLOCK_H
#define RM_PRODUCT_BLOCK_H

#include "tensor/workspace.h"

/* A block of rows of a product, its columns cut into n_parts. The rows of A are packed by
 * themselves for each block of the inner dimension and each term of the sum. */
typedef struct rm_product_job {
    const rm_product *product;
    int64_t first_row, n_rows;
    int64_t n_parts;
    rm_operand
        *strips; /* [n_blocks][1 + n_more]: one strip if nothing is cut or further added */
} rm_product_job;

/* Term i of the product's sum, 0 .. n_more. */
rm_product_term rm_product_term_of(const rm_product *product, int i);
/* Room for blocks of C that a thread needs at once. */
int rm_product_places(const rm_product *product);

void rm_product_block_run(const rm_kernels *kernels, rm_product_job *job, int64_t part,
                          const rm_own *own);

#endif

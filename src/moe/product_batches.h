/* SPDX-License-Identifier: MIT
 *
 * Products and weight gradients of many experts, collected until there are enough for a grouped
 * call: enough to balance threads, small enough for the stack.
 */
#ifndef RM_PRODUCT_BATCHES_H
#define RM_PRODUCT_BATCHES_H

#include "tensor/products.h"

enum { RM_PRODUCTS_AT_ONCE = 64, RM_TERMS_AT_ONCE = 128 };

typedef struct rm_product_batch {
    const rm_compute *compute;
    int n;
    rm_product products[RM_PRODUCTS_AT_ONCE];
} rm_product_batch;

/* Products of one batch write different rows, whether or not they come to run together. */
void rm_product_batch_add(rm_product_batch *batch, const rm_product *product);
/* Runs what has been added. */
void rm_product_batch_run(rm_product_batch *batch);

typedef struct rm_outer_batch {
    const rm_compute *compute;
    const rm_matrix *matrix; /* of the last group */
    int n_terms, n_groups;
    rm_outer terms[RM_TERMS_AT_ONCE];
    rm_outer_group groups[RM_TERMS_AT_ONCE];
} rm_outer_batch;

/* Adds one term of a matrix's gradient, after the matrix's earlier ones. A matrix whose terms
 * do not fit is continued in the next call, which keeps their order. */
void rm_outer_batch_add(rm_outer_batch *batch, const rm_matrix *matrix, const rm_outer *term);
void rm_outer_batch_run(rm_outer_batch *batch);

#endif

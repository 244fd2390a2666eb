/* SPDX-License-Identifier: MIT
 *
 * Products and weight gradients of many experts, collected for one grouped call, so that
 * threads share the work of all.
 */
#ifndef RM_PRODUCT_BATCHES_H
#define RM_PRODUCT_BATCHES_H

#include "tensor/products.h"

/* Room for what is collected. */
typedef struct rm_batch_room {
    rm_product *products;
    rm_product_term *more; /* one a product */
    rm_outer *terms;
    rm_outer_group *groups;
} rm_batch_room;
/* For so many products at once, and so many gradients of n_sources terms each. */
void rm_batch_room_layout(rm_batch_room *room, int64_t n_products, int64_t n_gradients,
                          int n_sources, rm_arena *arena);

typedef struct rm_product_batch {
    const rm_compute *compute;
    const rm_batch_room *room;
    int n;
} rm_product_batch;

/* Products of one batch write different rows. */
void rm_product_batch_add(rm_product_batch *batch, const rm_product *product);
/* The same for a sum of two products. */
void rm_product_batch_add_sum(rm_product_batch *batch, const rm_product *product,
                              const rm_product_term *more);
/* Runs what has been added. */
void rm_product_batch_run(rm_product_batch *batch);

typedef struct rm_outer_batch {
    const rm_compute *compute;
    const rm_batch_room *room;
    const rm_matrix *matrix; /* of the last group */
    int n_terms, n_groups;
} rm_outer_batch;

/* Adds one term of a matrix's gradient, after the matrix's earlier ones. */
void rm_outer_batch_add(rm_outer_batch *batch, const rm_matrix *matrix, const rm_outer *term);
void rm_outer_batch_run(rm_outer_batch *batch);

#endif

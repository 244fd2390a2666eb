/* SPDX-License-Identifier: MIT
 *
 * How an optimizer step goes through the weights: in strips of whole matrix rows, so that a
 * strip is packed for the products while it is still in the cache.
 *
 *   matrix | strip 0 | strip 1 | strip 2 | strip 3 |     rows, as many as panels need
 *   shards |-- other ranks' --|---- this rank's ---------
 *
 *   updated by this rank            part of 1, 2, 3
 *   packed by this rank at once                2, 3
 *   packed when all weights came    0, 1
 */
#ifndef RM_STRIPS_H
#define RM_STRIPS_H

#include "train/shards.h"

typedef struct rm_strip {
    rm_space space;
    int64_t first, n_elements; /* in its space; to be updated */
    bool decay;
    const rm_matrix *matrix; /* NULL: not to be packed */
    int64_t row, n_rows;     /* of the matrix; to be packed */
} rm_strip;

typedef struct rm_strips {
    rm_strip *own; /* this rank's shards, each element once */
    int64_t n_own;
    rm_strip *rest; /* the rows of matrices that `own` does not pack; nothing to update */
    int64_t n_rest;
} rm_strips;

/* For a rank that has these shards of the model, one of each space. A tied head, whose rows
 * come from the embedding, is in none of the lists. */
ringmoe_status rm_strips_create(rm_strips *strips, const ringmoe_model *model,
                                const rm_shard *shards, rm_error *error);
void rm_strips_free(rm_strips *strips);

#endif

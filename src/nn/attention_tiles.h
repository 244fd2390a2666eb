/* SPDX-License-Identifier: MIT
 *
 * The products that attention is made of, on blocks of scores, of which a row sees the keys up
 * to its own position:
 *
 *              keys
 *         .-----------.
 *    rows |##         |    # seen, and computed; tile by tile, so that a tile is computed
 *         |####       |      if one of its rows sees one of its keys
 *         |######     |
 *         |########   |    Sums over keys or rows need zeros where a row does not see a key.
 *         '-----------'
 */
#ifndef RM_ATTENTION_TILES_H
#define RM_ATTENTION_TILES_H

#include "tensor/tiles.h"

/* The greatest block, rows and keys: one packed operand of usual heads stays in the first-level
 * cache, and every level's tiles fill it nearly without a rest. */
#define RM_ATTENTION_BLOCK 96

/* Row i has the position `position` + (first_head + i) / n_heads: the rows of n_heads query
 * heads follow each other at each position. */
typedef struct rm_score_block {
    const rm_kernels *kernels;
    int64_t head_dim;
    int64_t n_rows, position, first_head, n_heads;
    int64_t first_key, n_keys;
} rm_score_block;

/* Keys of the block that row i sees. */
int64_t rm_visible_keys(const rm_score_block *block, int64_t i);

/* scores[i][j] = q[i] . k[j], rows RM_ATTENTION_BLOCK apart; `keys` are packed with their rows
 * as columns. */
void rm_scores_product(const rm_score_block *block, const rm_real *q, int64_t q_stride,
                       const rm_real *keys, rm_real *scores);
/* sums[i] (+)= the sum over keys j of weights[i][j] * v[j]; `values` are packed with their rows
 * as terms. */
void rm_sum_over_keys(const rm_score_block *block, const rm_real *weights,
                      const rm_real *values, rm_real *sums, int64_t stride, bool add);
/* sums[j] (+)= the sum over rows i of weights[i][j] * q[i]; `queries` are packed with their
 * rows as terms. Sums lie head_dim apart. For n_heads 1. */
void rm_sum_over_rows(const rm_score_block *block, const rm_real *weights,
                      const rm_real *queries, rm_real *sums, bool add);

#endif

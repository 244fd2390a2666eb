/* SPDX-License-Identifier: MIT
 *
 * Token embedding: a row of a table for each token.
 */
#ifndef RM_EMBEDDING_H
#define RM_EMBEDDING_H

#include "tensor/products.h"

/* y[t] = table[tokens[t]]; tokens are within the table. */
void rm_embedding_forward(const rm_compute *compute, int64_t n_tokens, int64_t d_model,
                          const int32_t *tokens, const rm_real *table, rm_real *y);

/* The table's gradient: row v is start[v] (zero without `start`) plus the d_y of the tokens v
 * in their order, then stored in or added to the sink's row; rows without tokens too. `start`,
 * [vocab][d_model], is the other gradient of a table that is also the output head's matrix; it
 * may be the sink's own memory, unless that is added to.
 * Workspace: rm_embedding_workspace(n_tokens, vocab) int32. */
void rm_embedding_backward(const rm_compute *compute, int64_t n_tokens, int64_t vocab,
                           int64_t d_model, const int32_t *tokens, const rm_real *d_y,
                           const rm_real *start, int32_t *workspace, rm_sink sink);
int64_t rm_embedding_workspace(int64_t n_tokens, int64_t vocab);

#endif

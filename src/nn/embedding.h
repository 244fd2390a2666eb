/* SPDX-License-Identifier: MIT
 *
 * Token embedding: a row of a table for each token. Tensor ranks share the table by rows.
 */
#ifndef RM_EMBEDDING_H
#define RM_EMBEDDING_H

#include "tensor/products.h"

/* The rows [first, first + n) of the vocabulary's that a table holds. */
typedef struct rm_vocab_rows {
    int64_t first, n;
} rm_vocab_rows;

/* y[t] = the row of tokens[t], if the table holds it, else -0, so that whatever is added to the
 * row keeps its bits: the sum over the tensor axis is exact. */
void rm_embedding_forward(const rm_compute *compute, int64_t n_tokens, int64_t d_model,
                          const int32_t *tokens, rm_vocab_rows rows, const rm_real *table,
                          rm_real *y);

/* The same from a table in a form of its own, of which `read` makes a row's numbers. */
typedef void rm_row_reader(const void *table, int64_t row, rm_real *y);
void rm_embedding_read(const rm_compute *compute, int64_t n_tokens, int64_t d_model,
                       const int32_t *tokens, rm_vocab_rows rows, rm_row_reader *read,
                       const void *table, rm_real *y);

/* The table's gradient: a row is the sum of the d_y of its tokens in their order, stored in or
 * added to the sink's row; rows without tokens too. Tokens of other rows are passed over.
 * Workspace: rm_embedding_workspace(n_tokens, rows.n) int32. */
void rm_embedding_backward(const rm_compute *compute, int64_t n_tokens, int64_t d_model,
                           const int32_t *tokens, rm_vocab_rows rows, const rm_real *d_y,
                           int32_t *workspace, rm_sink sink);
int64_t rm_embedding_workspace(int64_t n_tokens, int64_t n_rows);

#endif

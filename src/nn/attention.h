/* SPDX-License-Identifier: MIT
 *
 * Causal attention with grouped query heads, in tiles with an online softmax, so that no matrix
 * of scores is ever stored (Dao, Fu, Ermon, Rudra, Re, "FlashAttention", 2022). The backward
 * pass computes the scores again from the logsumexp of each row.
 *
 *   out[i] = sum over j <= i of softmax_j(q[i] . k[j] / sqrt(head_dim)) v[j]
 *
 * Query head h reads key-value head h / (n_heads / n_kv_heads). Operands stay as they are in
 * both precisions. Keys are taken in blocks that begin at multiples of a fixed size from
 * position 0, so a query's result does not depend on the queries beside it, nor on how many
 * keys follow.
 */
#ifndef RM_ATTENTION_H
#define RM_ATTENTION_H

#include "tensor/products.h"

/* Queries at positions n_past .. n_past + n_queries - 1 of each sequence, keys from 0 on. */
typedef struct rm_attention_shape {
    int64_t n_sequences, n_queries, n_past;
    int64_t n_heads, n_kv_heads, head_dim;
} rm_attention_shape;

/* Rows of all sequences one after the other: q and out [rows][n_heads * head_dim], k and v
 * [rows][n_kv_heads * head_dim] with n_past + n_queries rows a sequence. logsumexp (NULL: not
 * wanted) gets [n_heads][rows of q]. */
void rm_attention_forward(const rm_compute *compute, rm_attention_shape shape, const rm_real *q,
                          const rm_real *k, const rm_real *v, rm_real *out, rm_real *logsumexp);

/* Operands of a backward pass; n_past is 0. */
typedef struct rm_attention_gradient {
    const rm_real *q, *k, *v, *out, *logsumexp; /* of the forward pass */
    const rm_real *d_out;
    rm_real *d_q, *d_k, *d_v; /* written */
    rm_real *workspace;       /* rm_attention_workspace(rows of q, n_heads) */
} rm_attention_gradient;

/* Elements; enough for any way to cut so many rows into sequences. */
int64_t rm_attention_workspace(int64_t n_rows, int64_t n_heads);

void rm_attention_backward(const rm_compute *compute, rm_attention_shape shape,
                           const rm_attention_gradient *gradient);

#endif

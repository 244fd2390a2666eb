/* SPDX-License-Identifier: MIT
 *
 * Attention of generation: one new query a sequence against the keys and values of all its
 * positions, which are read once. Nearly all of the time is that reading, so it is spread over
 * the threads by positions and by heads.
 */
#ifndef RM_ATTENTION_DECODE_H
#define RM_ATTENTION_DECODE_H

#include "tensor/products.h"

typedef struct rm_decode_shape {
    int64_t n_sequences, n_heads, n_kv_heads, head_dim;
} rm_decode_shape;

/* Keys and values of a sequence's positions 0 .. n_keys - 1, the new one's last, as
 * rm_attention_forward has them: rows of n_kv_heads * head_dim. */
typedef struct rm_decode_cache {
    const rm_real *k, *v;
    int64_t n_keys; /* at least 1 */
} rm_decode_cache;

/* Elements for any n_sequences sequences of n_keys keys in all; aligned to 8 bytes. */
int64_t rm_attention_decode_workspace(int64_t n_sequences, int64_t n_keys, int64_t n_heads,
                                      int64_t head_dim);

/* q and out: [n_sequences][n_heads * head_dim]. A sequence's bits depend on its own query and
 * cache alone; they are not those of rm_attention_forward, which goes over the keys in another
 * order. */
void rm_attention_decode(const rm_compute *compute, rm_decode_shape shape,
                         const rm_decode_cache *caches, const rm_real *q, rm_real *out,
                         rm_real *workspace);

#endif

/* SPDX-License-Identifier: MIT
 *
 * The order of the training data: which window of the token stream a sample is. A pure function
 * of seed, step and place in the global batch, so neither ranks nor threads change it.
 *
 *   stream    |--- window 0 ---|--- window 1 ---|--- window 2 ---|- rest -|
 *             window w predicts tokens w * seq_len + 1 .. (w + 1) * seq_len from those before
 *
 * Sample g = step * global_batch + i belongs to epoch g / n_windows; each epoch visits every
 * window once, in a pseudo-random order of its own.
 */
#ifndef RM_ORDER_H
#define RM_ORDER_H

#include "base/status.h"

typedef struct rm_order {
    int64_t n_windows, seq_len, global_batch, seed;
} rm_order;

/* FORMAT if the stream is shorter than one window and its last target. */
ringmoe_status rm_order_init(rm_order *order, int64_t n_tokens, int64_t seq_len,
                             int64_t global_batch, int64_t seed, rm_error *error);

/* The first token of the window that is sample `index` of the global batch of `step` (from 0).
 */
int64_t rm_order_first_token(const rm_order *order, int64_t step, int64_t index);

/* The image of `position` under the epoch's permutation of [0, n). */
int64_t rm_order_permute(int64_t seed, int64_t epoch, int64_t n, int64_t position);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Hashes of values that are spread over the ranks as the shards are: XXH64 of each block on the
 * rank that owns it, then XXH64 of those in the blocks' global order. The same on every layout,
 * and of a checkpoint's file as of the memory it was written from.
 */
#ifndef RM_DIGEST_H
#define RM_DIGEST_H

#include "train/trainer.h"

/* The values of a block: a pointer to them, or to `buffer` of RM_BLOCK_ELEMENTS after filling
 * it. Called from several threads. */
typedef const rm_real *(*rm_block_values)(const void *source, const ringmoe_trainer *trainer,
                                          rm_space space, const rm_block *block,
                                          rm_real *buffer);

/* `biases`: the routers' selection biases, hashed last, or NULL. Collective over all ranks. */
ringmoe_status rm_digest(const ringmoe_trainer *trainer, rm_block_values values,
                         const void *source, const rm_real *biases, char hex[17]);

/* Of the weights with the selection biases; and of arrays spread as the shards are. Collective.
 */
ringmoe_status rm_weights_digest(const ringmoe_trainer *trainer, char hex[17]);
ringmoe_status rm_shards_digest(const ringmoe_trainer *trainer,
                                rm_real *const values[RM_N_SPACES], char hex[17]);

#endif

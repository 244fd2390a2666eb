/* SPDX-License-Identifier: MIT
 *
 * Hashes of values that are spread over the ranks as the weights are: XXH64 of each block on
 * the rank that owns it, then XXH64 of those in the blocks' global order. The same on every
 * layout.
 */
#ifndef RM_DIGEST_H
#define RM_DIGEST_H

#include "train/trainer.h"

/* values[s]: this rank's shard of space s. Collective over all ranks. */
ringmoe_status rm_digest(const ringmoe_model *model, const rm_shard shards[RM_N_SPACES],
                         const rm_real *const values[RM_N_SPACES], char hex[17]);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Which elements of a parameter a rank answers for, when each is to be written, hashed or read
 * once: those in its shard; where several tensor ranks have the same ones, the first of them.
 *
 *   whole parameter -> part of a tensor rank (model/parts.h) -> share of the rank's shard
 */
#ifndef RM_SHARES_H
#define RM_SHARES_H

#include "model/parts.h"
#include "train/trainer.h"

/* Elements [first, first + n) of this rank's part of a parameter. */
typedef struct rm_share {
    int64_t first, n;
} rm_share;

/* This rank's part, for ranks that hold the parameter. */
rm_parameter_part rm_own_part(const ringmoe_trainer *trainer, const rm_parameter *parameter);

/* What this rank's shard has of the parameter; nothing on ranks that do not hold it. */
rm_share rm_share_in_shard(const ringmoe_trainer *trainer, const rm_parameter *parameter);
/* Likewise, but over all ranks each element of the parameter once. */
rm_share rm_share_of_shards(const ringmoe_trainer *trainer, const rm_parameter *parameter);
/* Element `first` of this rank's part in arrays that are spread as the shards are. */
rm_real *rm_shards_at(const ringmoe_trainer *trainer, rm_real *const *values,
                      const rm_parameter *parameter, int64_t first);

#endif

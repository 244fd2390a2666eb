/* SPDX-License-Identifier: MIT
 *
 * AdamW with decoupled weight decay (Loshchilov & Hutter 2019). Each rank updates its shard of
 * each space, for which alone it keeps moments, and packs the strips of matrices it has just
 * written; then the ranks hand each other their weights and pack what came from others.
 */
#ifndef RM_OPTIMIZER_H
#define RM_OPTIMIZER_H

#include <ringmoe/train.h>

#include "train/gradients.h"
#include "train/strips.h"

typedef struct rm_optimizer {
    rm_real *moments1[RM_MAX_SPACES], *moments2[RM_MAX_SPACES]; /* [n_updated] of the shards */
    rm_strips strips;
    rm_arena arena;
} rm_optimizer;

ringmoe_status rm_optimizer_create(rm_optimizer *optimizer, const ringmoe_model *model,
                                   const rm_shard *shards, rm_error *error);
void rm_optimizer_free(rm_optimizer *optimizer);

/* Factor on the gradients that brings their norm down to clip_norm (0: no clipping). */
double rm_clip_factor(double norm, double clip_norm);

/* The update of step `step` (from 1) on this rank's shards. Packs the strips that lie wholly
 * within them. Threads over strips. */
void rm_optimizer_update(rm_optimizer *optimizer, const ringmoe_train_settings *settings,
                         int64_t step, double gradient_scale, const rm_gradients *gradients,
                         const rm_shard *shards, const ringmoe_model *model);
/* Every rank's shards of the weights to every rank that holds the space. Collective. */
ringmoe_status rm_weights_gather(const ringmoe_model *model, const rm_shard *shards);
/* Bytes that come to this rank then. */
int64_t rm_weights_gathered_bytes(const ringmoe_model *model, const rm_shard *shards);
/* Packs all other strips, after rm_weights_gather. */
void rm_optimizer_pack_rest(const rm_optimizer *optimizer, const ringmoe_model *model);

#endif

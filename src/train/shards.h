/* SPDX-License-Identifier: MIT
 *
 * Shards. The ranks that hold the same space (dense: those of the dense axis; expert: those of
 * the data axis) divide its blocks (blocks.h) into contiguous runs: a rank's shard, for which
 * it keeps the optimizer's moments (ZeRO-1, Rajbhandari et al. 2020).
 *
 *   space     | parameter A: a0 a1 a2' | parameter B: b0 b1' | ...      ' shorter last block
 *   shards    |---- rank 0 ----|------- rank 1 -------|---- rank 2 ...
 */
#ifndef RM_SHARDS_H
#define RM_SHARDS_H

#include "train/blocks.h"

/* One rank's part of one space. */
typedef struct rm_shard {
    rm_shard_place place;
    int64_t
        *bounds; /* [axis size + 1]: rank r of the axis has elements [bounds[r], bounds[r+1]) */
    int64_t *updated_bounds; /* the same without the copy that is a tied head, which is last */
    int64_t first, n_elements; /* this rank's */
    int64_t n_updated;         /* of them, by the optimizer */
    rm_block *blocks;          /* this rank's, in order */
    int64_t n_blocks;
} rm_shard;

/* Slices for a number of tensor ranks: as many, or with `reproducible` as many as the fixed
 * blocks of inner sums. */
int rm_slices(int tensor_size, bool reproducible);
/* The axis whose ranks hold the same space of that kind. */
const rm_axis *rm_kind_axis(const ringmoe_mesh *mesh, rm_kind kind);
/* This rank's place in a space of that kind of any stage. */
rm_shard_place rm_mesh_shard_place(const ringmoe_mesh *mesh, int stage, rm_kind kind,
                                   bool reproducible);

typedef struct rm_range {
    int64_t first, n_elements; /* in a space */
} rm_range;
/* The part of a parameter that lies in the shard of rank `rank` of the space's axis. */
rm_range rm_shard_overlap(const rm_shard *shard, int rank, const rm_parameter *parameter);

/* Pure. The caller frees it; bounds are alike on every expert rank. */
ringmoe_status rm_shard_create(rm_shard *shard, const rm_parameter_table *table,
                               rm_shard_place place, rm_error *error);
void rm_shard_free(rm_shard *shard);

#endif

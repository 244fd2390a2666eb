/* SPDX-License-Identifier: MIT
 *
 * Blocks and shards. A parameter is cut into blocks of 16,384 elements from its own start, so
 * the blocks are the same on every layout; what is summed over the model is summed block by
 * block in the blocks' global order. The ranks that hold the same space (dense: all of them;
 * expert: those along the data axis) divide its blocks into contiguous runs: a rank's shard,
 * for which it keeps the optimizer's moments (ZeRO-1, Rajbhandari et al. 2020).
 *
 *   space     | parameter A: a0 a1 a2' | parameter B: b0 b1' | ...      ' shorter last block
 *   shards    |---- rank 0 ----|------- rank 1 -------|---- rank 2 ...
 */
#ifndef RM_SHARDS_H
#define RM_SHARDS_H

#include "model/model.h"

#define RM_BLOCK_ELEMENTS 16384

typedef struct rm_block {
    int64_t first, n_elements; /* in its space */
    int64_t number;            /* in the whole model, all experts: the same on every layout */
    const rm_parameter *parameter; /* in the table, which must outlive the block */
} rm_block;

/* One rank's part of one space. */
typedef struct rm_shard {
    int64_t
        *bounds; /* [axis size + 1]: rank r of the axis has elements [bounds[r], bounds[r+1]) */
    int64_t first, n_elements; /* this rank's */
    rm_block *blocks;          /* this rank's, in order */
    int64_t n_blocks;
} rm_shard;

/* Where a rank stands. */
typedef struct rm_shard_place {
    rm_space space;
    int expert_rank;          /* coordinate on the expert axis */
    int axis_rank, axis_size; /* on the axis that holds the space */
} rm_shard_place;

/* Blocks of all parameters of the model. */
int64_t rm_model_blocks(const rm_parameter_table *table);
/* The parameter a block belongs to. */
const rm_parameter *rm_block_parameter(const rm_parameter_table *table, int64_t number);

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

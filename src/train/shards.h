/* SPDX-License-Identifier: MIT
 *
 * Blocks and shards. A parameter is cut into blocks of about 16,384 elements, the same ones on
 * every layout; what is summed over the model is summed block by block in the blocks' global
 * order. The ranks that hold the same space (dense: those of the dense axis; expert: those of
 * the data axis) divide its blocks into contiguous runs: a rank's shard, for which it keeps the
 * optimizer's moments (ZeRO-1, Rajbhandari et al. 2020).
 *
 *   space     | parameter A: a0 a1 a2' | parameter B: b0 b1' | ...      ' shorter last block
 *   shards    |---- rank 0 ----|------- rank 1 -------|---- rank 2 ...
 *
 * A parameter that the tensor axis splits is first cut into slices, of which a tensor rank has
 * one or several whole ones, and then each slice into blocks. Slices of columns lie side by
 * side in a row, so their blocks are strided:
 *
 *   rows r .. r + n of a part with two slices | block k | block k + 1 |    a shard has both
 */
#ifndef RM_SHARDS_H
#define RM_SHARDS_H

#include "model/model.h"

#define RM_BLOCK_ELEMENTS 16384

typedef struct rm_block {
    int64_t first;                        /* element in its space */
    int64_t n_rows, row_elements, stride; /* rows of so many elements, so far apart */
    int64_t edge;   /* the element at which a shard that has the block may begin */
    int64_t number; /* in the whole model, all experts and slices: the same on every layout */
    bool counts;    /* false: a replica of a tensor rank's, or the copy that is a tied head */
    const rm_parameter *parameter; /* in the table, which must outlive the block */
} rm_block;

/* Where a rank stands, as seen from one space. */
typedef struct rm_shard_place {
    int stage;
    rm_kind kind;
    int expert_rank;          /* coordinate on the expert axis */
    int axis_rank, axis_size; /* on the axis that holds the space */
    int tensor_rank, tensor_size;
    int n_slices; /* of a parameter that the tensor axis splits, a multiple of tensor_size */
} rm_shard_place;

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

/* The number of the first block of a parameter, by index; of index n_parameters: blocks of all
 * parameters of the model. */
int64_t rm_first_block(const rm_parameter_table *table, int n_slices, int parameter);
int64_t rm_model_blocks(const rm_parameter_table *table, int n_slices);
/* The parameter a block belongs to. */
const rm_parameter *rm_block_parameter(const rm_parameter_table *table, int n_slices,
                                       int64_t number);

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

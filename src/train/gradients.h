/* SPDX-License-Identifier: MIT
 *
 * Gradients from the microbatches to this rank's shard of the global batch's sum: a reduction
 * tree (comm/tree.h) for each space, over the axis of the ranks that hold it.
 *
 *   dense space    one leaf a local step (this rank's microbatch),         over all ranks
 *   expert space   a leaf for each rank of the expert axis whose tokens    over the data axis
 *                  come here
 */
#ifndef RM_GRADIENTS_H
#define RM_GRADIENTS_H

#include "comm/mesh.h"
#include "train/shards.h"

typedef struct rm_gradients {
    const ringmoe_mesh *mesh;
    rm_tree_shape shapes[RM_N_SPACES];
    rm_tree *trees[RM_N_SPACES];  /* NULL: the model has no such parameters */
    rm_real *totals[RM_N_SPACES]; /* this rank's shards of the sum, in the trees' memory: from
                                     rm_gradients_reduce to the next rm_gradients_begin */
    rm_sink dense_sink;
    rm_sink *expert_sinks; /* [expert ranks] */
    double *block_squares; /* [blocks of the model] */
    int64_t n_model_blocks;
    rm_arena arena;
} rm_gradients;

/* The axis whose ranks hold the same space. */
const rm_axis *rm_space_axis(const ringmoe_mesh *mesh, rm_space space);
rm_shard_place rm_mesh_shard_place(const ringmoe_mesh *mesh, rm_space space);

/* n_leaves: microbatches of the global batch, a multiple of the number of ranks. */
ringmoe_status rm_gradients_create(rm_gradients *gradients, const ringmoe_mesh *mesh,
                                   const rm_parameter_table *table, int n_leaves,
                                   rm_error *error);
void rm_gradients_free(rm_gradients *gradients);

/* Around the backward pass of local step i: dense_sink and expert_sinks are set between. */
void rm_gradients_begin(rm_gradients *gradients, int step);
void rm_gradients_end(rm_gradients *gradients);
/* Forgets the step. */
void rm_gradients_clear(rm_gradients *gradients);

/* Sums over all microbatches of all ranks into `totals`, and the norm of the whole gradient,
 * added block by block in one order. Collective. */
ringmoe_status rm_gradients_reduce(rm_gradients *gradients, const rm_shard shards[RM_N_SPACES],
                                   double *norm);
/* Number of the first block whose gradient is not finite; -1: none. After a reduction. */
int64_t rm_gradients_bad_block(const rm_gradients *gradients);

#endif

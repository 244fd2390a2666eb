/* SPDX-License-Identifier: MIT
 *
 * Gradients from the microbatches to this rank's shard of the global batch's sum: a reduction
 * tree (comm/tree.h) for each space, over the axis of the ranks that hold it.
 *
 *   dense space    one leaf a local step (this rank's microbatch),         over the dense axis
 *   expert space   a leaf for each rank of the expert axis whose tokens    over the data axis
 *                  come here
 *
 * The sum over ranks of a chunk's spaces starts as soon as its last microbatch has gone
 * backward, and goes on behind what other chunks still compute.
 */
#ifndef RM_GRADIENTS_H
#define RM_GRADIENTS_H

#include "comm/mesh.h"
#include "train/shards.h"

typedef struct rm_gradients {
    const ringmoe_mesh *mesh;
    const rm_shard *shards; /* [n_spaces], the trainer's */
    int n_spaces, n_slices;
    int n_steps;                    /* microbatches of this rank */
    rm_tree *trees[RM_MAX_SPACES];  /* NULL: there are no such parameters */
    rm_real *totals[RM_MAX_SPACES]; /* this rank's shards of the sum, in the trees' memory: from
                                       rm_gradients_finish to the next rm_gradients_begin; else
                                       NULL */
    rm_sink dense_sink;
    rm_sink *expert_sinks; /* [expert ranks] */
    double *block_squares; /* [blocks of the model], and then as many figures of each rank */
    int64_t n_model_blocks;
    double *figures; /* [ranks of the world][RM_N_RANK_FIGURES], gathered with the squares */
    rm_arena arena;
} rm_gradients;

/* What each rank tells all others along with its squares. */
enum {
    RM_FIGURE_WAIT_MS,
    RM_FIGURE_BYTES_WITHIN,
    RM_FIGURE_BYTES_BETWEEN,
    RM_FIGURE_SHADOWS, /* and on: an rm_shadow_sample (train/shadow_rates.h) */
    RM_N_RANK_FIGURES = RM_FIGURE_SHADOWS + 8
};

/* shards: [n_spaces], to outlive the gradients. n_leaves: microbatches of the global batch, a
 * multiple of the ranks of the dense axis. */
ringmoe_status rm_gradients_create(rm_gradients *gradients, const ringmoe_mesh *mesh,
                                   const rm_parameter_table *table, const rm_shard *shards,
                                   int n_spaces, int n_leaves, rm_error *error);
void rm_gradients_free(rm_gradients *gradients);

/* Around the backward pass of a chunk for local microbatch `step`: dense_sink and expert_sinks
 * are set between. The microbatches of a chunk come in order. After its last one the sums over
 * ranks are under way. */
void rm_gradients_begin(rm_gradients *gradients, int chunk, int step);
ringmoe_status rm_gradients_end(rm_gradients *gradients, int chunk, int step);
/* Completes the sums of all spaces: `totals` are there. Collective over the axes. */
ringmoe_status rm_gradients_finish(rm_gradients *gradients);
/* Forgets the step. */
void rm_gradients_clear(rm_gradients *gradients);

/* The norm of the whole gradient from the totals, added block by block in one order; figures of
 * this rank in, of all ranks out. Collective over all ranks. */
ringmoe_status rm_gradients_norm(rm_gradients *gradients, double *norm);
/* Number of the first block whose gradient is not finite; -1: none. After a norm. */
int64_t rm_gradients_bad_block(const rm_gradients *gradients);
/* The sum of squares of one parameter's gradient, after a norm. */
double rm_gradients_squares(const rm_gradients *gradients, const rm_parameter_table *table,
                            int parameter);

#endif

/* SPDX-License-Identifier: MIT
 *
 * The inside of a reduction tree, shared by tree.c (sums within a rank) and tree_reduce.c
 * (across ranks). All of it lies in the arena:
 *
 *   | rm_tree | lists | buffer 0 | buffer 1 | ... | received: a chunk of every rank's node |
 */
#ifndef RM_TREE_STATE_H
#define RM_TREE_STATE_H

#include "comm/tree.h"
#include "comm/tree_nodes.h"

struct rm_tree {
    rm_tree_shape shape;
    int n_ranks;   /* of the axis it is reduced over */
    int next_step; /* local steps opened so far */

    /* Within the rank: pending nodes, left to right; slots are buffers. */
    int n_buffers, n_nodes, n_free;
    rm_real **buffers;
    rm_tree_node *nodes;
    int *free_buffers;

    /* Across ranks: the nodes of all ranks, left to right; slots are indices of `slices`, where
     * a chunk of each node lies. */
    int n_all_nodes;
    int64_t chunk; /* elements */
    rm_tree_node *all_nodes;
    rm_real **slices;
    rm_real *received;     /* [n_all_nodes][chunk]; NULL on an axis of one rank */
    MPI_Request *requests; /* [n_all_nodes + n_buffers * n_ranks] */

    rm_tree_addition *additions; /* [max of n_buffers, n_all_nodes] */
};

/* Number of nodes a rank of the axis is left with after its last step. */
int rm_tree_rank_nodes(const rm_tree_shape *shape, int rank, rm_tree_node *nodes);

/* Carries out additions, in order for each element, on elements [first, first + n) of the
 * slots' buffers. Threads of `compute`; the result does not depend on them. */
void rm_tree_add(const rm_compute *compute, const rm_tree_addition *additions, int n_additions,
                 rm_real *const *slots, int64_t first, int64_t n);

#endif

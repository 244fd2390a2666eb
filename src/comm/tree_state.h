/* SPDX-License-Identifier: MIT
 *
 * The inside of a reduction tree, shared by tree.c (sums within a rank), tree_turn.c and
 * tree_reduce.c (across ranks). All of it lies in the arena:
 *
 *   | rm_tree | lists | buffer 0 | buffer 1 | ... | received: turn 0 | received: turn 1 |
 *                                                   a chunk of every rank's node
 */
#ifndef RM_TREE_STATE_H
#define RM_TREE_STATE_H

#include "comm/tree.h"
#include "comm/tree_nodes.h"

/* Messages are told apart by the tree of an axis, the node of a rank and the round, in tags
 * from RM_TREE_TAG up to what MPI allows: three rounds' at least (32767), thousands in
 * practice. */
enum { RM_TREE_TAG = 1000, RM_TREES_MOST = 128, RM_TREE_NODES_MOST = 64 };

/* Turns under way at once: one is added up while the next one's messages travel. */
enum { RM_TREE_TURNS = 2 };

/* A turn of the reduction across ranks. */
typedef struct rm_tree_turn {
    rm_real *received;     /* [n_all_nodes][chunk]; NULL on an axis of one rank */
    MPI_Request *requests; /* [n_all_nodes + n_buffers * n_ranks], receives first */
    int n_receives, n_requests, n_done;
} rm_tree_turn;

/* A reduction across ranks: turns [n_added, n_posted) are under way. */
typedef struct rm_tree_reduction {
    rm_background background;
    const rm_axis *axis;
    const int64_t *bounds;
    const rm_compute *compute;
    rm_real *shard;
    int64_t n_turns, n_posted, n_added;
    int first_tag; /* of the tree in this round */
    bool is_begun;
} rm_tree_reduction;

struct rm_tree {
    rm_tree_shape shape;
    int64_t round; /* grows when a step is given up; part of the messages' tags */
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
    rm_tree_turn turns[RM_TREE_TURNS];
    rm_tree_reduction reduction;

    rm_tree_addition *additions; /* [max of n_buffers, n_all_nodes] */
};

/* Number of nodes a rank of the axis is left with after its last step. */
int rm_tree_rank_nodes(const rm_tree_shape *shape, int rank, rm_tree_node *nodes);

/* Carries out additions, in order for each element, on elements [first, first + n) of the
 * slots' buffers. Threads of `compute`; the result does not depend on them. */
void rm_tree_add(const rm_compute *compute, const rm_tree_addition *additions, int n_additions,
                 rm_real *const *slots, int64_t first, int64_t n);

/* No leaves, no nodes. */
void rm_tree_empty(rm_tree *tree);

/* --- tree_turn.c: turn i of the reduction that tree->reduction describes --- */

/* Posts its messages; the receives' room must be free. */
ringmoe_status rm_tree_turn_post(rm_tree *tree, int64_t i, rm_error *error);
/* Whether they have all arrived and left. */
ringmoe_status rm_tree_turn_test(rm_tree *tree, int64_t i, bool *done, rm_error *error);
/* Adds them up into the shard, with the threads of `compute`. */
void rm_tree_turn_add(rm_tree *tree, const rm_compute *compute, int64_t i);
/* Gives up those that are still under way; afterwards nothing more is received. */
void rm_tree_turn_abandon(rm_tree *tree, int64_t i);

#endif

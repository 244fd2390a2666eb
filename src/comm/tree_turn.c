/* SPDX-License-Identifier: MIT
 *
 * One turn of a reduce-scatter in the tree's order: each rank receives, from every rank and for
 * each node left there, one chunk of its own shard; all nodes of all ranks then lie side by
 * side and are added up by the rule of one rank.
 *
 *   rank 0: node [0,2) [2,3)   rank 1: [3,4) [4,6)         chunk of rank 1's shard
 *   slices   0      1                   2     3            0, 1 received; 2, 3 in its buffers
 *   additions: 1 += 2, 0 += 1, and then, left to right, 0 += 3
 */
#include "comm/tree_state.h"

#include <string.h>

/* A chunk of a rank's shard. On an axis of more than one rank the count fits into an int. */
typedef struct span {
    int64_t first, count;
} span;

static span chunk_of(const rm_tree *tree, int rank, int64_t turn)
{
    const int64_t *bounds = tree->reduction.bounds;
    int64_t first = bounds[rank] + turn * tree->chunk, left = bounds[rank + 1] - first;
    if (left <= 0) return (span){bounds[rank], 0};
    return (span){first, left < tree->chunk ? left : tree->chunk};
}

static rm_tree_turn *place_of(rm_tree *tree, int64_t i)
{
    return &tree->turns[i % RM_TREE_TURNS];
}

/* Lists the nodes of all ranks and where a chunk of each will lie, less its first element. */
static void list_nodes(rm_tree *tree, const rm_tree_turn *turn, int64_t first)
{
    int n = 0;
    for (int rank = 0; rank < tree->n_ranks; rank++) {
        int n_rank = rm_tree_rank_nodes(&tree->shape, rank, tree->all_nodes + n);
        for (int k = 0; k < n_rank; k++, n++) {
            tree->all_nodes[n].slot = n;
            tree->slices[n] = rank == tree->reduction.axis->rank
                                  ? tree->buffers[tree->nodes[k].slot] + first
                                  : turn->received + n * tree->chunk;
        }
    }
}

/* --- messages --- */

/* Receives this rank's chunk of every other rank's nodes, in the order of the list. */
static int post_receives(rm_tree *tree, rm_tree_turn *turn, int64_t count)
{
    const rm_axis *axis = tree->reduction.axis;
    int code = MPI_SUCCESS, slot = 0;
    for (int rank = 0; rank < axis->size; rank++) {
        int n_rank = rm_tree_rank_nodes(&tree->shape, rank, NULL);
        for (int k = 0; k < n_rank; k++, slot++) {
            if (rank == axis->rank || count == 0 || code != MPI_SUCCESS) continue;
            code = MPI_Irecv(tree->slices[slot], (int)count, RM_MPI_REAL, rank,
                             tree->reduction.first_tag + k, axis->comm,
                             &turn->requests[turn->n_requests]);
            if (code == MPI_SUCCESS) turn->n_receives = ++turn->n_requests;
        }
    }
    return code;
}

/* Sends every other rank its chunk of this rank's nodes, beginning with the next rank so that
 * not all send to the same one. */
static int post_sends(rm_tree *tree, rm_tree_turn *turn, int64_t i)
{
    const rm_axis *axis = tree->reduction.axis;
    int code = MPI_SUCCESS;
    for (int distance = 1; distance < axis->size; distance++) {
        int rank = (axis->rank + distance) % axis->size;
        span part = chunk_of(tree, rank, i);
        for (int k = 0; k < tree->n_nodes && part.count && code == MPI_SUCCESS; k++) {
            code = MPI_Isend(tree->buffers[tree->nodes[k].slot] + part.first, (int)part.count,
                             RM_MPI_REAL, rank, tree->reduction.first_tag + k, axis->comm,
                             &turn->requests[turn->n_requests]);
            if (code == MPI_SUCCESS) turn->n_requests++;
        }
    }
    return code;
}

ringmoe_status rm_tree_turn_post(rm_tree *tree, int64_t i, rm_error *error)
{
    rm_tree_turn *turn = place_of(tree, i);
    span own = chunk_of(tree, tree->reduction.axis->rank, i);
    turn->n_receives = turn->n_requests = turn->n_done = 0;
    list_nodes(tree, turn, own.first);
    int code = post_receives(tree, turn, own.count);
    if (code == MPI_SUCCESS) code = post_sends(tree, turn, i);
    return rm_mpi_check(code, "reducing gradients", error);
}

ringmoe_status rm_tree_turn_test(rm_tree *tree, int64_t i, bool *done, rm_error *error)
{
    rm_tree_turn *turn = place_of(tree, i);
    int code = MPI_SUCCESS, is_done = 1;
    while (turn->n_done < turn->n_requests && is_done && code == MPI_SUCCESS) {
        code = MPI_Test(&turn->requests[turn->n_done], &is_done, MPI_STATUS_IGNORE);
        turn->n_done += is_done;
    }
    *done = turn->n_done == turn->n_requests;
    return rm_mpi_check(code, "reducing gradients", error);
}

void rm_tree_turn_abandon(rm_tree *tree, int64_t i)
{
    rm_tree_turn *turn = place_of(tree, i);
    rm_abandon_receives(tree->reduction.axis, turn->n_receives, turn->requests);
    rm_abandon(turn->n_requests - turn->n_receives, turn->requests + turn->n_receives);
    turn->n_receives = turn->n_requests = turn->n_done = 0;
}

/* --- sums --- */

void rm_tree_turn_add(rm_tree *tree, const rm_compute *compute, int64_t i)
{
    const rm_tree_reduction *reduction = &tree->reduction;
    int64_t shard_first = reduction->bounds[reduction->axis->rank];
    span own = chunk_of(tree, reduction->axis->rank, i);
    list_nodes(tree, place_of(tree, i), own.first);
    int n_nodes = tree->n_all_nodes;
    int n_additions = rm_tree_join(tree->all_nodes, &n_nodes, tree->additions);
    n_additions += rm_tree_fold(tree->all_nodes, n_nodes, tree->additions + n_additions);
    rm_tree_add(compute, tree->additions, n_additions, tree->slices, 0, own.count);
    rm_real *target = reduction->shard + (own.first - shard_first);
    if (own.count && target != tree->slices[0])
        memcpy(target, tree->slices[0], (size_t)own.count * sizeof *target);
}

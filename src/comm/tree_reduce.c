/* SPDX-License-Identifier: MIT
 *
 * Sums across ranks: a reduce-scatter in the tree's order. In every turn each rank receives,
 * from every rank and for each node left there, one chunk of its own shard; all nodes of all
 * ranks then lie side by side and are added up by the rule of one rank.
 *
 *   rank 0: node [0,2) [2,3)   rank 1: [3,4) [4,6)         chunk of rank 1's shard
 *   slices   0      1                   2     3            0, 1 received; 2, 3 in its buffers
 *   additions: 1 += 2, 0 += 1, and then, left to right, 0 += 3
 */
#include "comm/tree_state.h"

#include <string.h>

#include "base/clock.h"

enum { TREE_TAG = 1000 };

static ringmoe_status check_complete(const rm_tree *tree, const rm_axis *axis, rm_error *error)
{
    if (tree->next_step != tree->shape.leaves_per_source)
        return rm_fail(error, RINGMOE_ERROR_STATE,
                       "%d of %d microbatches have been given; give them all before reducing "
                       "gradients",
                       tree->next_step, tree->shape.leaves_per_source);
    if (axis->size != tree->n_ranks ||
        axis->rank != tree->shape.first_source / tree->shape.n_sources)
        return rm_fail(error, RINGMOE_ERROR_STATE,
                       "a reduction tree of %d ranks from source %d does not fit rank %d of %d",
                       tree->n_ranks, tree->shape.first_source, axis->rank, axis->size);
    return RINGMOE_OK;
}

/* A chunk of a rank's shard. On an axis of more than one rank the count fits into an int. */
typedef struct span {
    int64_t first, count;
} span;

static span chunk_of(const rm_tree *tree, const int64_t *bounds, int rank, int64_t turn)
{
    int64_t first = bounds[rank] + turn * tree->chunk, left = bounds[rank + 1] - first;
    if (left <= 0) return (span){bounds[rank], 0};
    return (span){first, left < tree->chunk ? left : tree->chunk};
}

/* Lists the nodes of all ranks and where a chunk of each will lie, less its first element. */
static void list_nodes(rm_tree *tree, int own_rank, int64_t first)
{
    int n = 0;
    for (int rank = 0; rank < tree->n_ranks; rank++) {
        int n_rank = rm_tree_rank_nodes(&tree->shape, rank, tree->all_nodes + n);
        for (int k = 0; k < n_rank; k++, n++) {
            tree->all_nodes[n].slot = n;
            tree->slices[n] = rank == own_rank ? tree->buffers[tree->nodes[k].slot] + first
                                               : tree->received + n * tree->chunk;
        }
    }
}

/* Receives this rank's chunk of every other rank's nodes, in the order of the list. */
static int post_receives(rm_tree *tree, const rm_axis *axis, int64_t count, int *n_requests)
{
    int code = MPI_SUCCESS, slot = 0;
    for (int rank = 0; rank < axis->size; rank++) {
        int n_rank = rm_tree_rank_nodes(&tree->shape, rank, NULL);
        for (int k = 0; k < n_rank; k++, slot++) {
            if (rank == axis->rank || count == 0 || code != MPI_SUCCESS) continue;
            code = MPI_Irecv(tree->slices[slot], (int)count, RM_MPI_REAL, rank, TREE_TAG + k,
                             axis->comm, &tree->requests[*n_requests]);
            if (code == MPI_SUCCESS) ++*n_requests;
        }
    }
    return code;
}

/* Sends every other rank its chunk of this rank's nodes, beginning with the next rank so that
 * not all send to the same one. */
static int post_sends(rm_tree *tree, const rm_axis *axis, const int64_t *bounds, int64_t turn,
                      int *n_requests)
{
    int code = MPI_SUCCESS;
    for (int distance = 1; distance < axis->size; distance++) {
        int rank = (axis->rank + distance) % axis->size;
        span part = chunk_of(tree, bounds, rank, turn);
        for (int k = 0; k < tree->n_nodes && part.count && code == MPI_SUCCESS; k++) {
            code = MPI_Isend(tree->buffers[tree->nodes[k].slot] + part.first, (int)part.count,
                             RM_MPI_REAL, rank, TREE_TAG + k, axis->comm,
                             &tree->requests[*n_requests]);
            if (code == MPI_SUCCESS) ++*n_requests;
        }
    }
    return code;
}

static ringmoe_status transfer(rm_tree *tree, const rm_axis *axis, const int64_t *bounds,
                               int64_t turn, int64_t count, rm_error *error)
{
    int n_requests = 0;
    int code = post_receives(tree, axis, count, &n_requests);
    if (code == MPI_SUCCESS) code = post_sends(tree, axis, bounds, turn, &n_requests);
    if (code != MPI_SUCCESS) {
        rm_abandon(n_requests, tree->requests);
        return rm_mpi_check(code, "reducing gradients", error);
    }
    return rm_wait_all(axis, n_requests, tree->requests, "reducing gradients", error);
}

/* One turn: this rank's chunk of the total. */
static ringmoe_status reduce_chunk(rm_tree *tree, const rm_axis *axis, const int64_t *bounds,
                                   int64_t turn, const rm_compute *compute, rm_real *shard,
                                   rm_error *error)
{
    span own = chunk_of(tree, bounds, axis->rank, turn);
    list_nodes(tree, axis->rank, own.first);
    if (axis->size > 1) RM_TRY(transfer(tree, axis, bounds, turn, own.count, error));

    int n_nodes = tree->n_all_nodes;
    int n_additions = rm_tree_join(tree->all_nodes, &n_nodes, tree->additions);
    n_additions += rm_tree_fold(tree->all_nodes, n_nodes, tree->additions + n_additions);
    rm_tree_add(compute, tree->additions, n_additions, tree->slices, 0, own.count);
    rm_real *target = shard + (own.first - bounds[axis->rank]);
    if (own.count && target != tree->slices[0])
        memcpy(target, tree->slices[0], (size_t)own.count * sizeof *target);
    return RINGMOE_OK;
}

static ringmoe_status reduce_all(rm_tree *tree, const rm_axis *axis, const int64_t *bounds,
                                 const rm_compute *compute, rm_real *shard, rm_error *error)
{
    int64_t longest = 0;
    for (int r = 0; r < axis->size; r++)
        if (bounds[r + 1] - bounds[r] > longest) longest = bounds[r + 1] - bounds[r];
    for (int64_t turn = 0; turn * tree->chunk < longest; turn++)
        RM_TRY(reduce_chunk(tree, axis, bounds, turn, compute, shard, error));
    return RINGMOE_OK;
}

ringmoe_status rm_tree_reduce(rm_tree *tree, const rm_axis *axis, const int64_t *bounds,
                              const rm_compute *compute, rm_real *shard, rm_comm_times *times,
                              rm_error *error)
{
    double start = rm_clock_seconds();
    ringmoe_status status = rm_agree(axis, check_complete(tree, axis, error), error);
    times->wait += rm_clock_seconds() - start;
    start = rm_clock_seconds();
    if (status == RINGMOE_OK) status = reduce_all(tree, axis, bounds, compute, shard, error);
    rm_tree_clear(tree);
    times->exchange += rm_clock_seconds() - start;
    return status;
}

rm_real *rm_tree_shard_in_place(const rm_tree *tree, int64_t first)
{
    return tree->n_nodes ? tree->buffers[tree->nodes[0].slot] + first : NULL;
}

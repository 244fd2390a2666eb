/* SPDX-License-Identifier: MIT
 *
 * The reduction tree: sums of gradients over microbatches whose order of additions is fixed, so
 * that every layout gives the same bits. Leaf i is the gradient of the global batch's
 * microbatch i; node [a, a + 2^j) with a a multiple of 2^j is the sum of its two halves, left
 * plus right; the total of n leaves is the left-to-right sum of the maximal aligned nodes of
 * [0, n).
 *
 *   leaves   0   1   2   3   4   5
 *             \ /     \ /     \ /
 *              +       +       +          a rank that owns leaves 2 and 3 sends one buffer,
 *               \     /       /           a rank that owns 1, 2, 3 sends two
 *                  +         /
 *                    \      /
 *                     total
 *
 * A rank sums the nodes that lie wholly within its leaves while it computes them, in a few
 * buffers, as a binary counter does. The right half of a pair of leaves is added straight into
 * the left one's buffer (an rm_sink with add). What is left is finished across ranks: the owner
 * of each shard gets every rank's nodes for that shard and adds them by the same rule.
 */
#ifndef RM_TREE_H
#define RM_TREE_H

#include "base/arena.h"
#include "comm/context.h"
#include "tensor/products.h"

typedef struct rm_tree rm_tree;

/* Which leaves each rank of an axis computes: rank r has [r * n / size, (r + 1) * n / size) of
 * n = n_leaves; in each of its local steps i a rank of the tree takes `n_sources` leaves at
 * once: leaf (first_source + s) * leaves_per_source + i for s = 0 .. n_sources - 1. Dense
 * parameters have one source (the rank itself); an expert rank has the ranks of its expert
 * axis. */
typedef struct rm_tree_shape {
    int64_t n_elements;    /* of a buffer */
    int n_leaves;          /* of the global batch */
    int leaves_per_source; /* microbatches of one dense rank */
    int first_source, n_sources;
    int number; /* tells trees apart that are reduced over one axis at the same time, 0 .. 127
                 */
} rm_tree_shape;

/* Buffers needed at once, by playing the steps through. Pure. */
int rm_tree_buffers(const rm_tree_shape *shape);

/* Takes the tree's state and its buffers from the arena (which may be measuring: *tree is then
 * NULL). */
ringmoe_status rm_tree_layout(const rm_tree_shape *shape, rm_arena *arena, rm_tree **tree,
                              rm_error *error);

/* Opens local step i: sinks[s] is where source s's leaf goes, the whole buffer of n_elements
 * (parameters at their own offsets, all with the same `add`). A leaf is complete when it is
 * written (or added) once. Source s + 1's may add into source s's buffer: write in order. */
void rm_tree_begin(rm_tree *tree, int step, rm_sink *sinks);
/* Closes it: adds up the nodes that have become complete. Threads of `compute`. */
void rm_tree_end(rm_tree *tree, const rm_compute *compute);

/* Finishes over the ranks of an axis, each of which has a tree of the same shape but for
 * first_source: this rank gets elements [bounds[rank], bounds[rank + 1]) of the total in
 * `shard`. The tree is empty again afterwards. Collective; leaves that are missing on one rank
 * are everyone's error. `times->exchange` gets the time. */
ringmoe_status rm_tree_reduce(rm_tree *tree, const rm_axis *axis, const int64_t *bounds,
                              const rm_compute *compute, rm_real *shard, rm_comm_times *times,
                              rm_error *error);

/* The same in the background of other work: what is passed in must stay until the end. Several
 * trees with numbers of their own may be under way on an axis, started in any order. Missing
 * leaves are an error of this rank's alone: whoever started waits until it is told otherwise,
 * so the ranks agree before they finish, or all clear. */
ringmoe_status rm_tree_reduce_start(rm_tree *tree, const rm_axis *axis, const int64_t *bounds,
                                    const rm_compute *compute, rm_real *shard, rm_error *error);
/* Waits for the end. `times->exchange` gets the time that this takes. */
ringmoe_status rm_tree_reduce_finish(rm_tree *tree, rm_comm_times *times, rm_error *error);
/* Where rm_tree_reduce may put a shard that begins at element `first` without a copy and memory
 * of its own: within the tree's first buffer, valid until the next step is opened. To be asked
 * after the last rm_tree_end and before rm_tree_reduce; NULL for a tree without leaves. */
rm_real *rm_tree_shard_in_place(const rm_tree *tree, int64_t first);
/* Forgets all leaves and gives up a reduction, as after a failed step. All ranks of the axis do
 * so equally often, since messages of before are told by that from those of after. */
void rm_tree_clear(rm_tree *tree);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Gives a tree its leaves, microbatch by microbatch.
 */
#ifndef TREE_LEAVES_H
#define TREE_LEAVES_H

#include "comm/tree.h"
#include "leaves.h"

/* A leaf goes to its sink as a layer's gradient does. */
static inline void write_leaf(rm_sink sink, uint64_t seed, int leaf, int64_t n_elements)
{
    for (int64_t i = 0; i < n_elements; i++) {
        rm_real value = leaf_element(seed, leaf, i);
        sink.data[i] = sink.add ? sink.data[i] + value : value;
    }
}

static inline void give_leaves(rm_tree *tree, const rm_tree_shape *shape,
                               const rm_compute *compute, uint64_t seed)
{
    rm_sink sinks[16];
    for (int step = 0; step < shape->leaves_per_source; step++) {
        rm_tree_begin(tree, step, sinks);
        for (int s = 0; s < shape->n_sources; s++)
            write_leaf(sinks[s], seed,
                       (shape->first_source + s) * shape->leaves_per_source + step,
                       shape->n_elements);
        rm_tree_end(tree, compute);
    }
}

#endif

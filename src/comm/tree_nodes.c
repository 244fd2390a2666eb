/* SPDX-License-Identifier: MIT */
#include "comm/tree_nodes.h"

#include <stdbool.h>

/* The size of the largest aligned node that starts at `first` and ends by `last`. */
static int largest_node(int first, int last)
{
    int size = 1;
    while (first % (2 * size) == 0 && size <= (last - first) / 2) size *= 2;
    return size;
}

int rm_tree_cover(int first, int last, rm_tree_node *nodes)
{
    int n_nodes = 0;
    while (first < last) {
        int size = largest_node(first, last);
        if (nodes) nodes[n_nodes] = (rm_tree_node){first, size, n_nodes};
        n_nodes++;
        first += size;
    }
    return n_nodes;
}

static bool are_halves(const rm_tree_node *left, const rm_tree_node *right)
{
    return left->size == right->size && left->first + left->size == right->first &&
           (left->first / left->size) % 2 == 0;
}

/* nodes[0 .. kept) is a stack of what has been joined so far, in place. */
int rm_tree_join(rm_tree_node *nodes, int *n_nodes, rm_tree_addition *additions)
{
    int kept = 0, n_additions = 0;
    for (int i = 0; i < *n_nodes; i++) {
        nodes[kept++] = nodes[i];
        while (kept > 1 && are_halves(&nodes[kept - 2], &nodes[kept - 1])) {
            rm_tree_node *left = &nodes[kept - 2];
            additions[n_additions++] = (rm_tree_addition){left->slot, nodes[kept - 1].slot};
            left->size *= 2;
            kept--;
        }
    }
    *n_nodes = kept;
    return n_additions;
}

int rm_tree_fold(const rm_tree_node *nodes, int n_nodes, rm_tree_addition *additions)
{
    for (int i = 1; i < n_nodes; i++)
        additions[i - 1] = (rm_tree_addition){nodes[0].slot, nodes[i].slot};
    return n_nodes > 1 ? n_nodes - 1 : 0;
}

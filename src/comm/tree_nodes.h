/* SPDX-License-Identifier: MIT
 *
 * The order of additions of the reduction tree, without any numbers: which nodes cover a run of
 * leaves, and which of them are added to which. Pure functions; comm/tree.h says what a node
 * is.
 */
#ifndef RM_TREE_NODES_H
#define RM_TREE_NODES_H

/* The leaves [first, first + size), size a power of two that divides first; its sum lies in the
 * buffer that `slot` names. */
typedef struct rm_tree_node {
    int first, size, slot;
} rm_tree_node;

/* Buffer `into` += buffer `from`. */
typedef struct rm_tree_addition {
    int into, from;
} rm_tree_addition;

/* The maximal aligned nodes of [first, last), left to right, with slots 0, 1, ...; returns how
 * many. `nodes` NULL: only counts. */
int rm_tree_cover(int first, int last, rm_tree_node *nodes);

/* Joins siblings among nodes that lie left to right, and their parents likewise, until there
 * are none; lists the additions and returns how many. A parent lies in its left half's slot. */
int rm_tree_join(rm_tree_node *nodes, int *n_nodes, rm_tree_addition *additions);

/* The additions of all further nodes to the first one, left to right. */
int rm_tree_fold(const rm_tree_node *nodes, int n_nodes, rm_tree_addition *additions);

#endif

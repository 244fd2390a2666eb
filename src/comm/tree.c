/* SPDX-License-Identifier: MIT
 *
 * Sums within a rank: leaves come in, go to buffers, and nodes are added up as soon as both
 * halves are there, as in a binary counter. With several sources a step brings one leaf of each
 * source's run; neighbouring runs meet in the last step:
 *
 *   source 0: leaves 0 1 2     source 1: leaves 3 4 5
 *   step 0: 0, 3      step 1: 0+1, 3, 4      step 2: 0+1, 2+3, 4+5, and then (0+1)+(2+3), 4+5
 *
 * Of a pair of leaves the later one is added to the earlier one's buffer, whichever is the left
 * one: a + b and b + a have the same bits.
 */
#include "comm/tree_state.h"

#include <assert.h>
#include <string.h>

/* Memory for what is received in one turn of the reduction across ranks, as bytes: large for a
 * message, and added up within a millisecond or two. */
#define RECEIVED_BYTES ((int64_t)4 << 20)
/* Elements one thread adds at a time: two buffers of it fit into a first-level cache. */
#define ADD_BLOCK 2048

static int leaf_of(const rm_tree_shape *shape, int source, int step)
{
    return (shape->first_source + source) * shape->leaves_per_source + step;
}

/* Does the leaf's neighbour in its pair come to this rank before it? */
static bool neighbour_is_there(const rm_tree_shape *shape, int source, int step)
{
    bool is_right = leaf_of(shape, source, step) % 2 == 1;
    if (shape->leaves_per_source == 1) return is_right && source > 0;
    if (is_right) return step > 0;
    return step == shape->leaves_per_source - 1 && source + 1 < shape->n_sources;
}

int rm_tree_buffers(const rm_tree_shape *shape)
{
    int most = 0;
    for (int step = 0; step < shape->leaves_per_source; step++) {
        int needed = 0;
        for (int source = 0; source < shape->n_sources; source++) {
            int first = leaf_of(shape, source, 0);
            needed += rm_tree_cover(first, first + step, NULL);
            needed += !neighbour_is_there(shape, source, step);
        }
        if (needed > most) most = needed;
    }
    return most;
}

int rm_tree_rank_nodes(const rm_tree_shape *shape, int rank, rm_tree_node *nodes)
{
    int n = shape->n_sources * shape->leaves_per_source;
    return rm_tree_cover(rank * n, (rank + 1) * n, nodes);
}

static ringmoe_status check_shape(const rm_tree_shape *shape, rm_error *error)
{
    int64_t of_rank = (int64_t)shape->n_sources * shape->leaves_per_source;
    if (shape->n_elements < 0 || shape->n_sources < 1 || shape->leaves_per_source < 1 ||
        shape->n_leaves < 1 || shape->n_leaves % of_rank || shape->first_source < 0 ||
        shape->first_source % shape->n_sources ||
        shape->first_source * (int64_t)shape->leaves_per_source >= shape->n_leaves)
        return rm_fail(
            error, RINGMOE_ERROR_ARGUMENT,
            "%d microbatches do not divide into ranks of %d sources of %d each, from "
            "source %d",
            shape->n_leaves, shape->n_sources, shape->leaves_per_source, shape->first_source);
    if (shape->number < 0 || shape->number >= RM_TREES_MOST)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "the number of a reduction tree is %d; it must be 0..%d", shape->number,
                       RM_TREES_MOST - 1);
    return RINGMOE_OK;
}

/* Everything that follows from the shape. */
static rm_tree plan(const rm_tree_shape *shape)
{
    rm_tree tree = {.shape = *shape, .n_buffers = rm_tree_buffers(shape)};
    tree.n_ranks = shape->n_leaves / (shape->n_sources * shape->leaves_per_source);
    for (int rank = 0; rank < tree.n_ranks; rank++)
        tree.n_all_nodes += rm_tree_rank_nodes(shape, rank, NULL);
    int64_t fits = RECEIVED_BYTES / (int64_t)sizeof(rm_real) / tree.n_all_nodes;
    tree.chunk = fits > ADD_BLOCK ? fits : ADD_BLOCK;
    if (tree.n_ranks == 1 || tree.chunk > shape->n_elements) tree.chunk = shape->n_elements;
    return tree;
}

/* Takes the tree's lists; the same calls while measuring. */
static void take_lists(rm_tree *tree, rm_arena *arena)
{
    int most = tree->n_buffers > tree->n_all_nodes ? tree->n_buffers : tree->n_all_nodes;
    int64_t n_requests = tree->n_all_nodes + (int64_t)tree->n_buffers * tree->n_ranks;
    tree->buffers = RM_TAKE(arena, tree->n_buffers, rm_real *);
    tree->nodes = RM_TAKE(arena, tree->n_buffers, rm_tree_node);
    tree->free_buffers = RM_TAKE(arena, tree->n_buffers, int);
    tree->all_nodes = RM_TAKE(arena, tree->n_all_nodes, rm_tree_node);
    tree->slices = RM_TAKE(arena, tree->n_all_nodes, rm_real *);
    for (int i = 0; i < RM_TREE_TURNS; i++)
        tree->turns[i].requests = RM_TAKE(arena, n_requests, MPI_Request);
    tree->additions = RM_TAKE(arena, most, rm_tree_addition);
}

ringmoe_status rm_tree_layout(const rm_tree_shape *shape, rm_arena *arena, rm_tree **tree,
                              rm_error *error)
{
    *tree = NULL;
    RM_TRY(check_shape(shape, error));
    rm_tree planned = plan(shape);
    rm_tree *made = RM_TAKE(arena, 1, rm_tree);
    take_lists(&planned, arena);
    for (int b = 0; b < planned.n_buffers; b++) {
        rm_real *buffer = RM_TAKE(arena, shape->n_elements, rm_real);
        if (planned.buffers) planned.buffers[b] = buffer;
    }
    for (int i = 0; i < RM_TREE_TURNS && planned.n_ranks > 1; i++)
        planned.turns[i].received =
            RM_TAKE(arena, planned.n_all_nodes * planned.chunk, rm_real);
    if (!arena->base) return RINGMOE_OK;
    if (arena->used > arena->reserved)
        return rm_fail(error, RINGMOE_ERROR_MEMORY,
                       "the reduction tree needs %zu bytes of an arena of %zu", arena->used,
                       arena->reserved);
    *made = planned;
    rm_tree_empty(made);
    *tree = made;
    return RINGMOE_OK;
}

void rm_tree_empty(rm_tree *tree)
{
    tree->next_step = 0;
    tree->n_nodes = 0;
    tree->n_free = tree->n_buffers;
    for (int b = 0; b < tree->n_buffers; b++) tree->free_buffers[b] = tree->n_buffers - 1 - b;
}

/* Index of the first pending node that does not lie left of the leaf. */
static int find_place(const rm_tree *tree, int leaf)
{
    int place = 0;
    while (place < tree->n_nodes && tree->nodes[place].first < leaf) place++;
    return place;
}

/* Gives a leaf its place among the pending nodes, or lets it join its neighbour's. */
static rm_sink place_leaf(rm_tree *tree, int leaf)
{
    int left = leaf & ~1;
    int place = find_place(tree, left);
    rm_tree_node *node = &tree->nodes[place];
    if (place < tree->n_nodes && node->size == 1 && node->first == (leaf ^ 1)) {
        *node = (rm_tree_node){left, 2, node->slot};
        return (rm_sink){tree->buffers[node->slot], true};
    }
    assert(tree->n_free > 0);
    memmove(node + 1, node, (size_t)(tree->n_nodes++ - place) * sizeof *node);
    *node = (rm_tree_node){leaf, 1, tree->free_buffers[--tree->n_free]};
    return (rm_sink){tree->buffers[node->slot], false};
}

void rm_tree_begin(rm_tree *tree, int step, rm_sink *sinks)
{
    assert(step == tree->next_step && step < tree->shape.leaves_per_source);
    tree->next_step = step + 1;
    for (int source = 0; source < tree->shape.n_sources; source++)
        sinks[source] = place_leaf(tree, leaf_of(&tree->shape, source, step));
}

void rm_tree_end(rm_tree *tree, const rm_compute *compute)
{
    int n_additions = rm_tree_join(tree->nodes, &tree->n_nodes, tree->additions);
    rm_tree_add(compute, tree->additions, n_additions, tree->buffers, 0,
                tree->shape.n_elements);
    for (int i = 0; i < n_additions; i++)
        tree->free_buffers[tree->n_free++] = tree->additions[i].from;
}

void rm_tree_add(const rm_compute *compute, const rm_tree_addition *additions, int n_additions,
                 rm_real *const *slots, int64_t first, int64_t n)
{
    if (n_additions == 0) return;
    int64_t n_blocks = (n + ADD_BLOCK - 1) / ADD_BLOCK;
#pragma omp parallel for num_threads(compute->n_threads)                                       \
    schedule(static) if (compute->n_threads > 1)
    for (int64_t block = 0; block < n_blocks; block++) {
        int64_t at = first + block * ADD_BLOCK, left = n - block * ADD_BLOCK;
        for (int i = 0; i < n_additions; i++)
            compute->kernels->add(left < ADD_BLOCK ? left : ADD_BLOCK,
                                  slots[additions[i].from] + at, slots[additions[i].into] + at);
    }
}

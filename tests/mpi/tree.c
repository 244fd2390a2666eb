/* SPDX-License-Identifier: MIT
 *
 * The reduction tree gives the bits of its recursive definition for every number of leaves,
 * sources and ranks, with shards of any size.
 */
#include <ringmoe.h>

#include "check.h"
#include "comm/mesh.h"
#include "tree_leaves.h"

#include <stdlib.h>

static ringmoe_context *context;

/* Bounds of shards: about equal, or everything on one rank and nothing on the others. */
static void choose_bounds(int64_t n_elements, int size, int variant, int64_t *bounds)
{
    for (int r = 0; r <= size; r++) {
        bounds[r] = r * n_elements / size;
        if (variant && r < size) bounds[r] = r <= variant - 1 ? 0 : n_elements;
    }
    bounds[size] = n_elements;
}

static void reduce_and_compare(rm_tree *tree, const rm_tree_shape *shape, const rm_axis *axis,
                               uint64_t seed, int variant)
{
    int64_t bounds[65];
    choose_bounds(shape->n_elements, axis->size, variant, bounds);
    int64_t first = bounds[axis->rank], n = bounds[axis->rank + 1] - first;
    rm_real *own = calloc((size_t)n + 1, sizeof *own);
    rm_real *shard = seed % 2 ? own : rm_tree_shard_in_place(tree, first);
    CHECK_STATUS(rm_tree_reduce(tree, axis, bounds, &context->compute, shard, &context->times,
                                &context->error),
                 RINGMOE_OK, context->error.text);
    for (int64_t i = 0; i < n; i++)
        CHECK(shard[i] == tree_sum(seed, shape->n_leaves, first + i));
    free(own);
}

static void run_tree(const rm_axis *axis, int64_t n_elements, int n_sources,
                     int leaves_per_source)
{
    rm_tree_shape shape = {.n_elements = n_elements,
                           .n_leaves = axis->size * n_sources * leaves_per_source,
                           .leaves_per_source = leaves_per_source,
                           .first_source = axis->rank * n_sources,
                           .n_sources = n_sources};
    rm_arena arena = {0};
    rm_tree *tree;
    CHECK(rm_tree_layout(&shape, &arena, &tree, &context->error) == RINGMOE_OK && !tree);
    CHECK(rm_arena_reserve(&arena, arena.used, &context->error) == RINGMOE_OK);
    CHECK_STATUS(rm_tree_layout(&shape, &arena, &tree, &context->error), RINGMOE_OK,
                 context->error.text);
    for (int round = 0; round < 3; round++) {
        uint64_t seed = (uint64_t)(round + 10 * leaves_per_source + 1000 * n_sources);
        give_leaves(tree, &shape, &context->compute, seed);
        reduce_and_compare(tree, &shape, axis, seed, round % (axis->size + 1));
    }
    rm_arena_free(&arena);
}

static void test_shapes(const rm_axis *axis)
{
    for (int n_sources = 1; n_sources <= 6; n_sources++)
        for (int leaves = 1; leaves * n_sources <= 12; leaves++)
            run_tree(axis, 67, n_sources, leaves);
    run_tree(axis, 0, 1, 3);
    run_tree(axis, 5000, 1, 37);
}

/* Several chunks, and several blocks of an addition. */
static void test_large(const rm_axis *axis)
{
    run_tree(axis, 2500001 * (int64_t)(axis->size > 1) + 5001, 1, 1);
}

/* Without the tree these sums would come out otherwise, so the comparison means something. */
static void test_order_shows(void)
{
    int differences = 0;
    for (int64_t i = 0; i < 67; i++) {
        rm_real running = 0;
        for (int leaf = 0; leaf < 8; leaf++) running += leaf_element(1, leaf, i);
        differences += running != tree_sum(1, 8, i);
    }
    CHECK(differences > 10);
}

static int buffers(int n_sources, int leaves_per_source, int first_source)
{
    rm_tree_shape shape = {.n_elements = 1,
                           .n_leaves = 64 * n_sources * leaves_per_source,
                           .leaves_per_source = leaves_per_source,
                           .first_source = first_source,
                           .n_sources = n_sources};
    return rm_tree_buffers(&shape);
}

static void test_buffers(void)
{
    CHECK(buffers(1, 1, 0) == 1);
    CHECK(buffers(1, 2, 0) == 1);
    CHECK(buffers(1, 4, 0) == 2);
    CHECK(buffers(1, 16, 0) == 4);
    CHECK(buffers(1, 3, 0) == 2);
    CHECK(buffers(1, 3, 1) == 2);
    CHECK(buffers(2, 1, 0) == 1);
    CHECK(buffers(4, 1, 0) == 2);
    CHECK(buffers(4, 2, 0) == 4);
    CHECK(buffers(2, 3, 0) == 3);
}

/* A step is missing on one rank: all are told. */
static void test_incomplete(const rm_axis *axis)
{
    int64_t bounds[65];
    rm_tree_shape shape = {8, axis->size * 2, 2, axis->rank, 1, 0};
    rm_arena arena = {0};
    rm_tree *tree;
    rm_sink sink;
    CHECK(rm_tree_layout(&shape, &arena, &tree, NULL) == RINGMOE_OK);
    CHECK(rm_arena_reserve(&arena, arena.used, NULL) == RINGMOE_OK);
    CHECK(rm_tree_layout(&shape, &arena, &tree, NULL) == RINGMOE_OK);
    for (int step = 0; step < (axis->rank == axis->size - 1 ? 1 : 2); step++) {
        rm_tree_begin(tree, step, &sink);
        rm_tree_end(tree, &context->compute);
    }
    choose_bounds(8, axis->size, 0, bounds);
    rm_real shard[8];
    CHECK(rm_tree_reduce(tree, axis, bounds, &context->compute, shard, &context->times,
                         &context->error) == RINGMOE_ERROR_STATE);
    CHECK_TEXT(ringmoe_context_error(context), "1 of 2 microbatches have been given");
    rm_arena_free(&arena);
}

static void test_refused_shapes(void)
{
    rm_arena arena = {0};
    rm_tree *tree;
    rm_error error = {""};
    CHECK(rm_tree_layout(&(rm_tree_shape){1, 7, 2, 0, 1, 0}, &arena, &tree, &error) ==
          RINGMOE_ERROR_ARGUMENT);
    CHECK(rm_tree_layout(&(rm_tree_shape){1, 8, 2, 4, 1, 0}, &arena, &tree, &error) ==
          RINGMOE_ERROR_ARGUMENT);
    CHECK(rm_tree_layout(&(rm_tree_shape){1, 8, 2, 1, 2, 0}, &arena, &tree, &error) ==
          RINGMOE_ERROR_ARGUMENT);
    CHECK(rm_tree_layout(&(rm_tree_shape){1, 8, 2, 0, 1, 128}, &arena, &tree, &error) ==
          RINGMOE_ERROR_ARGUMENT);
    CHECK_TEXT(error.text, "must be 0..127");
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    ringmoe_mesh *mesh;
    ringmoe_mesh_dims dims = {.expert = 1};
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, NULL, &context) == RINGMOE_OK);
    CHECK(ringmoe_mesh_create(context, &dims, 0, &mesh) == RINGMOE_OK);
    test_order_shows();
    test_buffers();
    test_refused_shapes();
    test_shapes(&mesh->data);
    test_large(&mesh->dense);
    test_incomplete(&mesh->data);
    ringmoe_mesh_destroy(&mesh);
    ringmoe_context_destroy(&context);
    return check_finish("tree");
}

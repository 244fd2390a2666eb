/* SPDX-License-Identifier: MIT
 *
 * Reductions in the background: several at once, in different orders on different ranks, behind
 * products and behind waiting, given up in the middle and begun again; the bits are those of
 * the recursive definition.
 */
#include <ringmoe.h>

#include "base/clock.h"
#include "check.h"
#include "comm/mesh.h"
#include "tensor/products.h"
#include "tree_leaves.h"

#include <stdlib.h>

enum { TREES = 5, MOST_RANKS = 64, SIDE = 96 };

static ringmoe_context *context;

/* A tree, its shards, and the numbers it is given. */
typedef struct running {
    rm_tree_shape shape;
    rm_tree *tree;
    rm_arena arena;
    int64_t bounds[MOST_RANKS + 1];
    rm_real *shard, *own;
    uint64_t seed;
} running;

static running create(const rm_axis *axis, int number, int64_t n_elements)
{
    running made = {.shape = {.n_elements = n_elements,
                              .n_leaves = axis->size * (number + 1),
                              .leaves_per_source = number + 1,
                              .first_source = axis->rank,
                              .n_sources = 1,
                              .number = number}};
    for (int r = 0; r <= axis->size; r++) made.bounds[r] = r * n_elements / axis->size;
    CHECK(rm_tree_layout(&made.shape, &made.arena, &made.tree, NULL) == RINGMOE_OK);
    CHECK(rm_arena_reserve(&made.arena, made.arena.used, NULL) == RINGMOE_OK);
    CHECK(rm_tree_layout(&made.shape, &made.arena, &made.tree, NULL) == RINGMOE_OK);
    made.own = calloc((size_t)n_elements + 1, sizeof *made.own);
    return made;
}

static void free_running(running *r)
{
    free(r->own);
    rm_arena_free(&r->arena);
}

static void give(running *r, uint64_t seed)
{
    r->seed = seed;
    give_leaves(r->tree, &r->shape, &context->compute, seed);
}

static void start(running *r, const rm_axis *axis)
{
    r->shard = r->seed % 2 ? r->own : rm_tree_shard_in_place(r->tree, r->bounds[axis->rank]);
    CHECK_STATUS(rm_tree_reduce_start(r->tree, axis, r->bounds, &context->compute, r->shard,
                                      &context->error),
                 RINGMOE_OK, context->error.text);
}

static void finish_and_compare(running *r, const rm_axis *axis)
{
    CHECK_STATUS(rm_tree_reduce_finish(r->tree, &context->times, &context->error), RINGMOE_OK,
                 context->error.text);
    int64_t first = r->bounds[axis->rank], n = r->bounds[axis->rank + 1] - first, i = 0;
    while (i < n && r->shard[i] == tree_sum(r->seed, r->shape.n_leaves, first + i)) i++;
    CHECK(i == n);
}

/* Work between whose tasks messages are moved. */
static void multiply(int rounds)
{
    static rm_real a[SIDE * SIDE], c[SIDE * SIDE];
    rm_outer term = {.n_rows = SIDE,
                     .d_y = a,
                     .d_y_stride = SIDE,
                     .x = a,
                     .x_stride = SIDE,
                     .sink = {.data = c}};
    rm_outer_group group = {SIDE, SIDE, &term, 1};
    for (int i = 0; i < rounds; i++)
        rm_outer_grouped(&context->compute, RINGMOE_PRECISION_FP32, &group, 1);
}

static int64_t elements_of(int number)
{
    static const int64_t elements[TREES] = {0, 3, 70001, 2500001, 1000};
    return elements[number];
}

static void test_several(const rm_axis *axis)
{
    running trees[TREES];
    for (int i = 0; i < TREES; i++) trees[i] = create(axis, i, elements_of(i));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < TREES; i++) {
            running *next = &trees[(i + axis->rank) % TREES];
            give(next, (uint64_t)(10 * round + next->shape.number));
            start(next, axis);
            multiply(20 * axis->rank);
        }
        multiply(20);
        for (int i = 0; i < TREES; i++) finish_and_compare(&trees[TREES - 1 - i], axis);
    }
    for (int i = 0; i < TREES; i++) free_running(&trees[i]);
}

/* Products alone, in which nothing is waited for, bring a reduction of many turns to its end.
 */
static void test_behind_products(const rm_axis *axis)
{
    running r = create(axis, 0, 8000001);
    give(&r, 300);
    start(&r, axis);
    double deadline = rm_clock_seconds() + 60;
    while (context->progress.background && rm_clock_seconds() < deadline) multiply(1);
    CHECK(!context->progress.background);
    finish_and_compare(&r, axis);
    free_running(&r);
}

/* Rank 0 fails before it starts; the others have sent, and some finished, their messages. What
 * is on its way must not be taken for a message of the next attempt. */
static void test_given_up(const rm_axis *axis)
{
    running r = create(axis, 3, 1200001);
    for (int attempt = 0; attempt < 2; attempt++) {
        give(&r, (uint64_t)(100 + attempt));
        if (axis->rank > 0) start(&r, axis);
        multiply(10);
        rm_tree_clear(r.tree);
        CHECK(!context->progress.background);
    }
    give(&r, 200);
    start(&r, axis);
    finish_and_compare(&r, axis);
    free_running(&r);
}

static void test_states(const rm_axis *axis)
{
    running r = create(axis, 1, 10);
    CHECK_STATUS(
        rm_tree_reduce_start(r.tree, axis, r.bounds, &context->compute, r.own, &context->error),
        RINGMOE_ERROR_STATE, context->error.text);
    CHECK_TEXT(context->error.text, "0 of 2 microbatches");
    CHECK(rm_tree_reduce_finish(r.tree, &context->times, &context->error) ==
          RINGMOE_ERROR_STATE);
    CHECK_TEXT(context->error.text, "has been started");
    free_running(&r);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    ringmoe_mesh *mesh;
    ringmoe_mesh_dims dims = {.expert = 1};
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, NULL, &context) == RINGMOE_OK);
    CHECK(ringmoe_mesh_create(context, &dims, 0, &mesh) == RINGMOE_OK);
    test_states(&mesh->data);
    test_several(&mesh->data);
    test_behind_products(&mesh->data);
    test_given_up(&mesh->data);
    test_several(&mesh->dense);
    ringmoe_mesh_destroy(&mesh);
    ringmoe_context_destroy(&context);
    return check_finish("overlapped trees");
}

/* SPDX-License-Identifier: MIT
 *
 * Two contexts of one program at work at the same time: on two halves of its ranks, and on all
 * ranks in two threads. Neither sees anything of the other.
 */
#include <ringmoe.h>

#include <pthread.h>
#include <stdlib.h>

#include "check.h"
#include "comm/exchange.h"
#include "comm/mesh.h"
#include "comm/tree.h"
#include "leaves.h"
#include "swap_rows.h"

enum { ROW_WIDTH = 33, TREE_ELEMENTS = 3001, LEAVES = 3 };

/* A context with all its ranks on the expert axis, and what it is to do. */
struct worker {
    ringmoe_context *context;
    ringmoe_mesh *mesh;
    int number; /* tells the two apart in everything they send */
    int rounds;
};

static void worker_init(struct worker *worker, MPI_Comm comm, int number, int rounds)
{
    int size;
    MPI_Comm_size(comm, &size);
    ringmoe_mesh_dims dims = {.data = 1, .expert = size};
    *worker = (struct worker){.number = number, .rounds = rounds};
    CHECK(ringmoe_context_create(comm, NULL, &worker->context) == RINGMOE_OK);
    CHECK(ringmoe_mesh_create(worker->context, &dims, size, &worker->mesh) == RINGMOE_OK);
}

static void worker_free(struct worker *worker)
{
    ringmoe_mesh_destroy(&worker->mesh);
    ringmoe_context_destroy(&worker->context);
}

static rm_real row_element(const struct worker *worker, int round, int from, int to, int64_t i)
{
    return (rm_real)(worker->number * 500000 + round * 1000 + from * 100 + to * 10) +
           (rm_real)i / 1024;
}

/* from + to + 1 rows between each two ranks. */
static void exchange(struct worker *worker, int round)
{
    const rm_axis *axis = &worker->mesh->expert;
    rm_error *error = &worker->context->error;
    int32_t send[8], recv[8], words[2048];
    int64_t send_rows[8], recv_rows[8], total = 0;
    CHECK(axis->size <= 8 && rm_exchange_counts_workspace(axis, 1) <= 2048);
    for (int r = 0; r < axis->size; r++) send[r] = axis->rank + r + 1;
    rm_label label = {round, worker->number, 0, RM_OPERATION_DISPATCH};
    CHECK_STATUS(
        rm_exchange_counts(axis, label, 1, send, recv, words, &worker->context->times, error),
        RINGMOE_OK, error->text);
    for (int r = 0; r < axis->size; r++) total += send_rows[r] = recv_rows[r] = recv[r];
    rm_real *out = calloc((size_t)total * ROW_WIDTH, sizeof *out), *next = out;
    rm_real *in = calloc((size_t)total * ROW_WIDTH, sizeof *in);
    for (int r = 0; r < axis->size; r++)
        for (int64_t i = 0; i < send_rows[r] * ROW_WIDTH; i++)
            *next++ = row_element(worker, round, axis->rank, r, i);
    CHECK_STATUS(swap_rows(axis, ROW_WIDTH, out, send_rows, in, recv_rows, error), RINGMOE_OK,
                 error->text);
    next = in;
    for (int r = 0; r < axis->size; r++)
        for (int64_t i = 0; i < recv_rows[r] * ROW_WIDTH; i++)
            CHECK(*next++ == row_element(worker, round, r, axis->rank, i));
    free(out);
    free(in);
}

static void reduce(struct worker *worker, int round, rm_tree *tree)
{
    const rm_axis *axis = &worker->mesh->dense;
    uint64_t seed = (uint64_t)(worker->number * 1000 + round);
    int64_t bounds[9];
    rm_sink sink;
    for (int r = 0; r <= axis->size; r++) bounds[r] = (int64_t)r * TREE_ELEMENTS / axis->size;
    for (int step = 0; step < LEAVES; step++) {
        rm_tree_begin(tree, step, &sink);
        for (int64_t i = 0; i < TREE_ELEMENTS; i++) {
            rm_real value = leaf_element(seed, axis->rank * LEAVES + step, i);
            sink.data[i] = sink.add ? sink.data[i] + value : value;
        }
        rm_tree_end(tree, &worker->context->compute);
    }
    int64_t first = bounds[axis->rank], n = bounds[axis->rank + 1] - first;
    rm_real *shard = rm_tree_shard_in_place(tree, first);
    CHECK_STATUS(rm_tree_reduce(tree, axis, bounds, &worker->context->compute, shard,
                                &worker->context->times, &worker->context->error),
                 RINGMOE_OK, ringmoe_context_error(worker->context));
    for (int64_t i = 0; i < n; i++)
        CHECK(shard[i] == tree_sum(seed, axis->size * LEAVES, first + i));
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    const rm_axis *axis = &worker->mesh->dense;
    rm_tree_shape shape = {TREE_ELEMENTS, axis->size * LEAVES, LEAVES, axis->rank, 1, 0};
    rm_arena arena = {0};
    rm_tree *tree;
    CHECK(rm_tree_layout(&shape, &arena, &tree, NULL) == RINGMOE_OK);
    CHECK(rm_arena_reserve(&arena, arena.used, NULL) == RINGMOE_OK);
    CHECK(rm_tree_layout(&shape, &arena, &tree, NULL) == RINGMOE_OK);
    for (int round = 0; round < worker->rounds; round++) {
        exchange(worker, round);
        reduce(worker, round, tree);
    }
    rm_arena_free(&arena);
    return NULL;
}

/* The lower ranks make one context, the upper ones another, with different amounts of work. */
static void test_halves(int rank, int size)
{
    MPI_Comm half;
    int upper = rank >= size / 2;
    MPI_Comm_split(MPI_COMM_WORLD, upper, rank, &half);
    struct worker worker;
    worker_init(&worker, half, upper, upper ? 30 : 20);
    MPI_Comm_free(&half); /* the context has a communicator of its own */
    work(&worker);
    worker_free(&worker);
}

static void test_threads(int provided)
{
    if (provided < MPI_THREAD_MULTIPLE) return;
    struct worker workers[2];
    pthread_t thread;
    for (int i = 0; i < 2; i++) worker_init(&workers[i], MPI_COMM_WORLD, i, 20 + 10 * i);
    CHECK(pthread_create(&thread, NULL, work, &workers[1]) == 0);
    work(&workers[0]);
    pthread_join(thread, NULL);
    for (int i = 0; i < 2; i++) worker_free(&workers[i]);
}

int main(int argc, char **argv)
{
    int provided, rank, size;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    test_halves(rank, size);
    test_threads(provided);
    return check_finish("two contexts");
}

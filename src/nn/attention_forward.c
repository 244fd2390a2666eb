/* SPDX-License-Identifier: MIT
 *
 * A task is one block of queries of the heads that share a key-value head (or of some of them):
 *
 *   rows of a task     head 0: query 0 .. n-1 | head 1: query 0 .. n-1 | ...   <= TASK_ROWS
 *   for each block of KEY_BLOCK keys, from position 0 on:
 *     scores = q k^T         [rows][KEY_BLOCK]
 *     scores -> exp(score - running maximum), sums and their total rescaled to it
 *     sums += scores v       [rows][head_dim]
 *   out = sums / total
 *
 * The tiles lie in the thread's scratch; a key block is packed once for all rows of the task.
 */
#include "nn/attention.h"

#include <math.h>
#include <string.h>

#include "tensor/tiles.h"

#define KEY_BLOCK 64
#define TASK_ROWS 128

/* The thread's tiles: packed keys and values, scores, and each row's running softmax. */
typedef struct attention_tiles {
    rm_real *keys, *values, *scores, *sums;
    double *total;
    rm_real *max;
} attention_tiles;

/* A pass: its arguments, and how it is cut into tasks. */
typedef struct attention_pass {
    const rm_kernels *kernels;
    rm_attention_shape shape;
    const rm_real *q, *k, *v;
    rm_real *out, *logsumexp;
    rm_real score_scale;
    int64_t q_stride, kv_stride;
    int64_t group; /* query heads of a key-value head */
    int64_t heads_per_task, queries_per_task;
    int64_t n_head_blocks, n_query_blocks; /* head blocks within a group */
} attention_pass;

/* One task: rows of queries [first_query, + n_queries) of heads [first_head, + n_heads). */
typedef struct attention_task {
    int64_t sequence, kv_head, first_head, n_heads, first_query, n_queries;
} attention_task;

static void cut_into_tasks(attention_pass *pass)
{
    pass->group = pass->shape.n_heads / pass->shape.n_kv_heads;
    pass->heads_per_task = rm_least(pass->group, TASK_ROWS);
    pass->queries_per_task = TASK_ROWS / pass->heads_per_task;
    pass->n_head_blocks = (pass->group + pass->heads_per_task - 1) / pass->heads_per_task;
    pass->n_query_blocks =
        (pass->shape.n_queries + pass->queries_per_task - 1) / pass->queries_per_task;
}

/* Task `index`; the last queries, which have the most keys, come first. */
static attention_task find_task(const attention_pass *pass, int64_t index)
{
    int64_t rest = index / pass->n_query_blocks;
    int64_t query_block = pass->n_query_blocks - 1 - index % pass->n_query_blocks;
    int64_t head_block = rest % pass->n_head_blocks;
    rest /= pass->n_head_blocks;
    attention_task task = {.kv_head = rest % pass->shape.n_kv_heads,
                           .sequence = rest / pass->shape.n_kv_heads,
                           .first_query = query_block * pass->queries_per_task};
    int64_t first = head_block * pass->heads_per_task;
    task.first_head = task.kv_head * pass->group + first;
    task.n_heads = rm_least(pass->heads_per_task, pass->group - first);
    task.n_queries = rm_least(pass->queries_per_task, pass->shape.n_queries - task.first_query);
    return task;
}

static attention_tiles cut_scratch(const attention_pass *pass, void *scratch)
{
    int64_t dim = pass->shape.head_dim;
    attention_tiles tiles = {.total = scratch};
    tiles.max = (rm_real *)(tiles.total + TASK_ROWS);
    tiles.scores = tiles.max + TASK_ROWS;
    tiles.sums = tiles.scores + TASK_ROWS * KEY_BLOCK;
    tiles.keys = tiles.sums + TASK_ROWS * dim;
    tiles.values = tiles.keys + rm_block_panels(pass->kernels, dim, KEY_BLOCK);
    return tiles;
}

/* Turns one row of scores into weights relative to the row's new maximum. Keys from `n_visible`
 * on lie after the query: weight 0. */
static void soften_row(const attention_pass *pass, attention_tiles *tiles, int64_t row,
                       int64_t n_visible, int64_t n_keys)
{
    const rm_kernels *kernels = pass->kernels;
    rm_real *scores = tiles->scores + row * KEY_BLOCK;
    kernels->scale(n_visible, pass->score_scale, scores);
    rm_real max = kernels->max(n_visible, scores);
    if (max > tiles->max[row]) {
        double factor = exp((double)tiles->max[row] - (double)max);
        kernels->scale(pass->shape.head_dim, (rm_real)factor,
                       tiles->sums + row * pass->shape.head_dim);
        tiles->total[row] *= factor;
        tiles->max[row] = max;
    }
    tiles->total[row] += kernels->exp_shift(n_visible, tiles->max[row], scores, scores);
    memset(scores + n_visible, 0, (size_t)(n_keys - n_visible) * sizeof *scores);
}

/* Adds keys [first_key, first_key + n_keys) to the queries of one head that see them. */
static void attend_block(const attention_pass *pass, const attention_task *task,
                         attention_tiles *tiles, int64_t head, int64_t first_key,
                         int64_t n_keys)
{
    const rm_attention_shape *shape = &pass->shape;
    int64_t dim = shape->head_dim, position = shape->n_past + task->first_query;
    int64_t skipped = first_key > position ? first_key - position : 0;
    int64_t n = task->n_queries - skipped;
    int64_t row = head * task->n_queries + skipped;
    const rm_real *q =
        pass->q + (task->first_head + head) * dim +
        (task->sequence * shape->n_queries + task->first_query + skipped) * pass->q_stride;
    rm_real *scores = tiles->scores + row * KEY_BLOCK;
    rm_block_product(pass->kernels, n, n_keys, dim, q, pass->q_stride, 1, tiles->keys, scores,
                     KEY_BLOCK, false);
    for (int64_t i = 0; i < n; i++) {
        int64_t n_visible = position + skipped + i + 1 - first_key;
        soften_row(pass, tiles, row + i, rm_least(n_visible, n_keys), n_keys);
    }
    rm_block_product(pass->kernels, n, dim, n_keys, scores, KEY_BLOCK, 1, tiles->values,
                     tiles->sums + row * dim, dim, true);
}

static void store_rows(const attention_pass *pass, const attention_task *task,
                       const attention_tiles *tiles)
{
    const rm_attention_shape *shape = &pass->shape;
    int64_t dim = shape->head_dim, n_rows = shape->n_sequences * shape->n_queries;
    for (int64_t head = 0; head < task->n_heads; head++) {
        for (int64_t i = 0; i < task->n_queries; i++) {
            int64_t row = head * task->n_queries + i, to_head = task->first_head + head;
            int64_t to = task->sequence * shape->n_queries + task->first_query + i;
            rm_real *out = pass->out + to * pass->q_stride + to_head * dim;
            memcpy(out, tiles->sums + row * dim, (size_t)dim * sizeof *out);
            pass->kernels->scale(dim, (rm_real)(1 / tiles->total[row]), out);
            if (pass->logsumexp)
                pass->logsumexp[to_head * n_rows + to] =
                    (rm_real)(tiles->max[row] + log(tiles->total[row]));
        }
    }
}

static void run_task(const attention_pass *pass, const attention_task *task, void *scratch)
{
    const rm_attention_shape *shape = &pass->shape;
    int64_t dim = shape->head_dim, rows = task->n_heads * task->n_queries;
    int64_t n_sequence_keys = shape->n_past + shape->n_queries;
    int64_t end = shape->n_past + task->first_query + task->n_queries;
    int64_t start = task->sequence * n_sequence_keys * pass->kv_stride + task->kv_head * dim;
    attention_tiles tiles = cut_scratch(pass, scratch);
    memset(tiles.sums, 0, (size_t)(rows * dim) * sizeof *tiles.sums);
    for (int64_t row = 0; row < rows; row++) {
        tiles.max[row] = -INFINITY;
        tiles.total[row] = 0;
    }
    for (int64_t key = 0; key < end; key += KEY_BLOCK) {
        int64_t n_keys = rm_least(KEY_BLOCK, end - key);
        int64_t from = start + key * pass->kv_stride;
        rm_pack_block(pass->kernels, dim, n_keys, pass->k + from, 1, pass->kv_stride,
                      tiles.keys);
        rm_pack_block(pass->kernels, n_keys, dim, pass->v + from, pass->kv_stride, 1,
                      tiles.values);
        for (int64_t head = 0; head < task->n_heads; head++)
            attend_block(pass, task, &tiles, head, key, n_keys);
    }
    store_rows(pass, task, &tiles);
}

void rm_attention_forward(const rm_compute *compute, rm_attention_shape shape, const rm_real *q,
                          const rm_real *k, const rm_real *v, rm_real *out, rm_real *logsumexp)
{
    attention_pass pass = {.kernels = compute->kernels,
                           .shape = shape,
                           .q = q,
                           .k = k,
                           .v = v,
                           .out = out,
                           .logsumexp = logsumexp};
    pass.score_scale = (rm_real)(1 / sqrt((double)shape.head_dim));
    pass.q_stride = shape.n_heads * shape.head_dim;
    pass.kv_stride = shape.n_kv_heads * shape.head_dim;
    cut_into_tasks(&pass);
    int64_t n_tasks =
        shape.n_sequences * shape.n_kv_heads * pass.n_head_blocks * pass.n_query_blocks;
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic)
    for (int64_t index = 0; index < n_tasks; index++) {
        attention_task task = find_task(&pass, index);
        run_task(&pass, &task, rm_compute_scratch(compute));
    }
}

/* SPDX-License-Identifier: MIT
 *
 * A row is one query of one head; the rows that share a key-value head follow each other query
 * by query. A task is a run of them, which is cut into blocks:
 *
 *   rows of a task     query 0: head 0 .. g-1 | query 1: head 0 .. g-1 | ...
 *   for each block of keys, from position 0 on, and each block of rows that sees it:
 *     scores = q k^T         [rows][keys]
 *     scores -> exp(score - running maximum), sums and their total rescaled to it
 *     sums += scores v       [rows][head_dim]
 *   out = sums / total
 *
 * All tiles lie in the thread's scratch; a key block is packed once for all rows of the task.
 */
#include <math.h>
#include <string.h>

#include "nn/attention.h"
#include "nn/attention_tiles.h"

/* Rows of a task: at most the first, and of wide heads what keeps q and sums in the cache; of
 * short sequences few enough that every thread gets several tasks. */
enum { MOST_ROWS = 4 * RM_ATTENTION_BLOCK, MOST_ELEMENTS = 32768, LEAST_ROWS = 24 };
enum { TASKS_A_THREAD = 4 };

/* The thread's tiles: scaled queries, packed keys and values, scores, and each row's running
 * softmax. */
typedef struct attention_tiles {
    rm_real *queries, *keys, *values, *scores, *sums;
    double *total;
    rm_real *max;
} attention_tiles;

/* A pass: its arguments, and how it is cut into tasks. */
typedef struct attention_pass {
    const rm_kernels *kernels;
    rm_attention_shape shape;
    const rm_real *q, *k, *v;
    rm_real *out, *logsumexp;
    int64_t q_stride, kv_stride;
    int64_t group; /* query heads of a key-value head */
    int64_t rows_per_task, tasks_per_head;
} attention_pass;

/* Rows [first_row, + n_rows) of one key-value head of one sequence. */
typedef struct attention_task {
    int64_t sequence, kv_head, first_row, n_rows;
} attention_task;

static void cut_into_tasks(attention_pass *pass, int n_threads)
{
    const rm_attention_shape *shape = &pass->shape;
    int64_t rows = pass->group * shape->n_queries;
    int64_t heads = shape->n_sequences * shape->n_kv_heads;
    int64_t per_task = rm_least(MOST_ROWS, MOST_ELEMENTS / shape->head_dim);
    int64_t wanted = n_threads > 1 ? TASKS_A_THREAD * (int64_t)n_threads : 1;
    while (per_task > LEAST_ROWS && heads * rm_ceil_divide(rows, per_task) < wanted)
        per_task /= 2;
    pass->rows_per_task = per_task;
    pass->tasks_per_head = rm_ceil_divide(rows, per_task);
}

/* Task `index`; the last rows, which have the most keys, come first. */
static attention_task find_task(const attention_pass *pass, int64_t index)
{
    int64_t heads = pass->shape.n_sequences * pass->shape.n_kv_heads, head = index % heads;
    int64_t part = pass->tasks_per_head - 1 - index / heads;
    int64_t first = part * pass->rows_per_task;
    return (attention_task){
        .sequence = head / pass->shape.n_kv_heads,
        .kv_head = head % pass->shape.n_kv_heads,
        .first_row = first,
        .n_rows = rm_least(pass->rows_per_task, pass->group * pass->shape.n_queries - first)};
}

/* Where a row's query lies in q, and its result in out. */
static int64_t query_offset(const attention_pass *pass, const attention_task *task, int64_t row)
{
    int64_t query = task->sequence * pass->shape.n_queries + row / pass->group;
    int64_t head = task->kv_head * pass->group + row % pass->group;
    return query * pass->q_stride + head * pass->shape.head_dim;
}

static attention_tiles cut_scratch(const attention_pass *pass, void *scratch)
{
    int64_t dim = pass->shape.head_dim;
    attention_tiles tiles = {.total = scratch};
    tiles.max = (rm_real *)(tiles.total + MOST_ROWS);
    tiles.queries = tiles.max + MOST_ROWS;
    tiles.sums = tiles.queries + pass->rows_per_task * dim;
    tiles.scores = tiles.sums + pass->rows_per_task * dim;
    tiles.keys = tiles.scores + RM_ATTENTION_BLOCK * RM_ATTENTION_BLOCK;
    tiles.values = tiles.keys + rm_block_panels(pass->kernels, dim, RM_ATTENTION_BLOCK);
    return tiles;
}

/* Copies the task's queries, times the scale of the scores. */
static void load_queries(const attention_pass *pass, const attention_task *task,
                         attention_tiles *tiles)
{
    int64_t dim = pass->shape.head_dim;
    for (int64_t i = 0; i < task->n_rows; i++)
        memcpy(tiles->queries + i * dim,
               pass->q + query_offset(pass, task, task->first_row + i),
               (size_t)dim * sizeof(rm_real));
    pass->kernels->scale(task->n_rows * dim, (rm_real)(1 / sqrt((double)dim)), tiles->queries);
}

/* Packs keys and values of a block, n_keys from first_key on. */
static void load_keys(const attention_pass *pass, const attention_task *task, int64_t first_key,
                      int64_t n_keys, attention_tiles *tiles)
{
    const rm_attention_shape *shape = &pass->shape;
    int64_t dim = shape->head_dim, stride = pass->kv_stride;
    int64_t row = task->sequence * (shape->n_past + shape->n_queries) + first_key;
    int64_t from = row * stride + task->kv_head * dim;
    rm_pack_block(pass->kernels, dim, n_keys, pass->k + from, 1, stride, tiles->keys);
    rm_pack_block(pass->kernels, n_keys, dim, pass->v + from, stride, 1, tiles->values);
}

/* Turns one row of scores into weights relative to the row's new maximum. */
static void soften_row(const rm_score_block *block, attention_tiles *tiles, int64_t row,
                       rm_real *scores, int64_t n_visible)
{
    const rm_kernels *kernels = block->kernels;
    rm_real max = kernels->max(n_visible, scores);
    if (block->first_key == 0) {
        tiles->max[row] = max;
        tiles->total[row] = 0;
    } else if (max > tiles->max[row]) {
        double factor = exp((double)tiles->max[row] - (double)max);
        kernels->scale(block->head_dim, (rm_real)factor, tiles->sums + row * block->head_dim);
        tiles->total[row] *= factor;
        tiles->max[row] = max;
    }
    tiles->total[row] += kernels->exp_shift(n_visible, tiles->max[row], scores, scores);
    memset(scores + n_visible, 0, (size_t)(block->n_keys - n_visible) * sizeof *scores);
}

/* Adds the packed keys to rows [row, + block->n_rows) of the task. */
static void attend_block(const rm_score_block *block, attention_tiles *tiles, int64_t row)
{
    int64_t dim = block->head_dim;
    rm_scores_product(block, tiles->queries + row * dim, dim, tiles->keys, tiles->scores);
    for (int64_t i = 0; i < block->n_rows; i++)
        soften_row(block, tiles, row + i, tiles->scores + i * RM_ATTENTION_BLOCK,
                   rm_visible_keys(block, i));
    rm_sum_over_keys(block, tiles->scores, tiles->values, tiles->sums + row * dim, dim,
                     block->first_key > 0);
}

/* Adds the packed keys to all rows of the task that see one of them. */
static void attend_keys(const attention_pass *pass, const attention_task *task,
                        int64_t first_key, int64_t n_keys, attention_tiles *tiles)
{
    int64_t first_seeing = (first_key - pass->shape.n_past) * pass->group - task->first_row;
    int64_t row = first_seeing > 0 ? first_seeing : 0;
    for (; row < task->n_rows; row += RM_ATTENTION_BLOCK) {
        int64_t at = task->first_row + row;
        rm_score_block block = {.kernels = pass->kernels,
                                .head_dim = pass->shape.head_dim,
                                .n_rows = rm_least(RM_ATTENTION_BLOCK, task->n_rows - row),
                                .position = pass->shape.n_past + at / pass->group,
                                .first_head = at % pass->group,
                                .n_heads = pass->group,
                                .first_key = first_key,
                                .n_keys = n_keys};
        attend_block(&block, tiles, row);
    }
}

static void store_rows(const attention_pass *pass, const attention_task *task,
                       const attention_tiles *tiles)
{
    const rm_attention_shape *shape = &pass->shape;
    int64_t dim = shape->head_dim, n_queries = shape->n_sequences * shape->n_queries;
    for (int64_t i = 0; i < task->n_rows; i++) {
        int64_t row = task->first_row + i;
        int64_t query = task->sequence * shape->n_queries + row / pass->group;
        int64_t head = task->kv_head * pass->group + row % pass->group;
        rm_real *sums = tiles->sums + i * dim;
        pass->kernels->scale(dim, (rm_real)(1 / tiles->total[i]), sums);
        memcpy(pass->out + query_offset(pass, task, row), sums, (size_t)dim * sizeof *sums);
        if (pass->logsumexp)
            pass->logsumexp[head * n_queries + query] =
                (rm_real)(tiles->max[i] + log(tiles->total[i]));
    }
}

static void run_task(const attention_pass *pass, const attention_task *task, void *scratch)
{
    attention_tiles tiles = cut_scratch(pass, scratch);
    int64_t last = (task->first_row + task->n_rows - 1) / pass->group;
    int64_t end = pass->shape.n_past + last + 1;
    load_queries(pass, task, &tiles);
    for (int64_t key = 0; key < end; key += RM_ATTENTION_BLOCK) {
        int64_t n_keys = rm_least(RM_ATTENTION_BLOCK, end - key);
        load_keys(pass, task, key, n_keys, &tiles);
        attend_keys(pass, task, key, n_keys, &tiles);
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
    pass.group = shape.n_heads / shape.n_kv_heads;
    pass.q_stride = shape.n_heads * shape.head_dim;
    pass.kv_stride = shape.n_kv_heads * shape.head_dim;
    cut_into_tasks(&pass, compute->n_threads);
    int64_t n_tasks = shape.n_sequences * shape.n_kv_heads * pass.tasks_per_head;
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic)
    for (int64_t index = 0; index < n_tasks; index++) {
        attention_task task = find_task(&pass, index);
        run_task(&pass, &task, rm_compute_scratch(compute));
    }
}

/* SPDX-License-Identifier: MIT
 *
 * A task is one or several blocks of keys of one key-value head of one sequence. With p =
 * exp(score - logsumexp) and delta = d_out . out of a row:
 *
 *   for each query head of the group, each block of queries, each block of keys that they see:
 *     d_v += p^T d_out
 *     d_score = p * (d_out v^T - delta) / sqrt(head_dim)
 *     d_k += d_score^T q
 *     d_q += d_score k
 *
 * d_k and d_v belong to the task. To d_q the key blocks add in ascending order: a counter of
 * each block of queries says how many have, and the next one waits for its turn. Tasks are
 * handed out key block by key block, so a thread waits for tasks alone that others are at, and
 * seldom, since all start at their own first block of queries:
 *
 *                        blocks of queries ->
 *   key block 0, ahead   a b c d e f          a task comes to `f` when the one
 *   key block 1            a b c d             before it has left it
 */
#include "nn/attention.h"

#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "nn/attention_tiles.h"

#define BLOCK RM_ATTENTION_BLOCK

/* Looks at a counter before the processor is given away. */
enum { LOOKS = 64 };

/* Blocks of keys of a task, for which queries are packed once: at most so many, of wide heads
 * (blocks times head_dim) what leaves room in the second-level cache, and few enough that every
 * thread gets several tasks. */
enum { MOST_KEY_BLOCKS = 2, MOST_WIDTH = 256, TASKS_A_THREAD = 4 };

/* The thread's tiles of a block of keys. Of keys and values, `_columns` are packed with their
 * rows as columns (keys times the scale of the scores), `keys` with their rows as terms. */
typedef struct key_tiles {
    rm_real *key_columns, *value_columns, *keys;
    rm_real *d_k, *d_v; /* [BLOCK][head_dim] */
} key_tiles;

/* All of the thread's tiles. */
typedef struct attention_tiles {
    rm_real *queries, *d_out;    /* packed, rows as terms */
    rm_real *weights, *d_scores; /* [BLOCK][BLOCK] */
    key_tiles key_blocks[MOST_KEY_BLOCKS];
} attention_tiles;

typedef struct attention_pass {
    const rm_kernels *kernels;
    rm_attention_shape shape;
    const rm_attention_gradient *gradient;
    rm_real score_scale;
    int64_t q_stride, kv_stride, group;
    rm_real *delta;         /* [rows of q][n_heads] */
    atomic_int *key_blocks; /* added to d_q: [n_sequences][n_heads][query blocks] */
    int64_t n_blocks;       /* of a sequence */
    int64_t blocks_per_task, tasks_per_head;
} attention_pass;

/* A pair of blocks: keys [key, + n_keys) with queries [query, + n_queries) of one head. */
typedef struct block_pair {
    int64_t sequence, kv_head, head;
    int64_t key, n_keys, query, n_queries;
} block_pair;

int64_t rm_attention_workspace(int64_t n_rows, int64_t n_heads)
{
    _Static_assert(sizeof(atomic_int) <= sizeof(rm_real), "counters are laid out as numbers");
    return 2 * n_rows * n_heads;
}

/* Takes `n` elements from the front of the scratch. */
static rm_real *take(rm_real **scratch, int64_t n)
{
    rm_real *taken = *scratch;
    *scratch += n;
    return taken;
}

static attention_tiles cut_scratch(const attention_pass *pass, rm_real *scratch)
{
    int64_t dim = pass->shape.head_dim;
    int64_t columns = rm_block_panels(pass->kernels, dim, BLOCK);
    int64_t terms = rm_block_panels(pass->kernels, BLOCK, dim);
    attention_tiles tiles = {.queries = take(&scratch, terms), .d_out = take(&scratch, terms)};
    tiles.weights = take(&scratch, BLOCK * BLOCK);
    tiles.d_scores = take(&scratch, BLOCK * BLOCK);
    for (int64_t i = 0; i < pass->blocks_per_task; i++)
        tiles.key_blocks[i] = (key_tiles){.key_columns = take(&scratch, columns),
                                          .value_columns = take(&scratch, columns),
                                          .keys = take(&scratch, terms),
                                          .d_k = take(&scratch, BLOCK * dim),
                                          .d_v = take(&scratch, BLOCK * dim)};
    return tiles;
}

static void cut_into_tasks(attention_pass *pass, int n_threads)
{
    const rm_attention_shape *shape = &pass->shape;
    int64_t heads = shape->n_sequences * shape->n_kv_heads;
    int64_t wanted = n_threads > 1 ? TASKS_A_THREAD * (int64_t)n_threads : 1;
    int64_t blocks = rm_least(MOST_KEY_BLOCKS, MOST_WIDTH / shape->head_dim);
    pass->n_blocks = rm_ceil_divide(shape->n_queries, BLOCK);
    while (blocks > 1 && heads * rm_ceil_divide(pass->n_blocks, blocks) < wanted) blocks--;
    pass->blocks_per_task = blocks > 1 ? blocks : 1;
    pass->tasks_per_head = rm_ceil_divide(pass->n_blocks, pass->blocks_per_task);
}

/* The row of q of the pair's first query. */
static int64_t first_row(const attention_pass *pass, const block_pair *pair)
{
    return pair->sequence * pass->shape.n_queries + pair->query;
}

/* Where the pair's queries and keys begin in rows of all sequences. */
static int64_t query_offset(const attention_pass *pass, const block_pair *pair)
{
    return first_row(pass, pair) * pass->q_stride + pair->head * pass->shape.head_dim;
}

static int64_t key_offset(const attention_pass *pass, const block_pair *pair)
{
    return (pair->sequence * pass->shape.n_queries + pair->key) * pass->kv_stride +
           pair->kv_head * pass->shape.head_dim;
}

static rm_score_block score_block(const attention_pass *pass, const block_pair *pair)
{
    return (rm_score_block){.kernels = pass->kernels,
                            .head_dim = pass->shape.head_dim,
                            .n_rows = pair->n_queries,
                            .position = pair->query,
                            .n_heads = 1,
                            .first_key = pair->key,
                            .n_keys = pair->n_keys};
}

/* delta of a row of q, all heads. */
static void dot_outputs(const attention_pass *pass, int64_t row)
{
    const rm_attention_gradient *gradient = pass->gradient;
    int64_t dim = pass->shape.head_dim, n_heads = pass->shape.n_heads;
    for (int64_t head = 0; head < n_heads; head++) {
        int64_t from = row * pass->q_stride + head * dim;
        pass->delta[row * n_heads + head] =
            pass->kernels->dot(dim, gradient->d_out + from, gradient->out + from);
    }
}

/* Fills the pair's weights and d_scores, 0 for keys after the query. */
static void differentiate_scores(const attention_pass *pass, const attention_tiles *tiles,
                                 const key_tiles *keys, const block_pair *pair,
                                 const rm_score_block *block)
{
    const rm_attention_gradient *gradient = pass->gradient;
    const rm_kernels *kernels = pass->kernels;
    int64_t from = query_offset(pass, pair), row = first_row(pass, pair);
    int64_t n_rows = pass->shape.n_sequences * pass->shape.n_queries;
    rm_scores_product(block, gradient->q + from, pass->q_stride, keys->key_columns,
                      tiles->weights);
    rm_scores_product(block, gradient->d_out + from, pass->q_stride, keys->value_columns,
                      tiles->d_scores);
    for (int64_t i = 0; i < pair->n_queries; i++) {
        rm_real *weights = tiles->weights + i * BLOCK, *d_scores = tiles->d_scores + i * BLOCK;
        int64_t n = rm_visible_keys(block, i);
        size_t hidden = (size_t)(pair->n_keys - n) * sizeof *weights;
        kernels->exp_shift(n, gradient->logsumexp[pair->head * n_rows + row + i], weights,
                           weights);
        kernels->softmax_backward(n, pass->delta[(row + i) * pass->shape.n_heads + pair->head],
                                  pass->score_scale, weights, d_scores, d_scores);
        memset(weights + n, 0, hidden);
        memset(d_scores + n, 0, hidden);
    }
}

static void pack_queries(const attention_pass *pass, const attention_tiles *tiles,
                         const block_pair *pair)
{
    int64_t from = query_offset(pass, pair), dim = pass->shape.head_dim;
    rm_pack_block(pass->kernels, pair->n_queries, dim, pass->gradient->q + from, pass->q_stride,
                  1, tiles->queries);
    rm_pack_block(pass->kernels, pair->n_queries, dim, pass->gradient->d_out + from,
                  pass->q_stride, 1, tiles->d_out);
}

/* Waits until the key blocks before the pair's have added to its d_q, then adds. */
static void add_to_queries(const attention_pass *pass, const attention_tiles *tiles,
                           const key_tiles *keys, const block_pair *pair,
                           const rm_score_block *block)
{
    int64_t head = pair->sequence * pass->shape.n_heads + pair->head;
    atomic_int *done = &pass->key_blocks[head * pass->n_blocks + pair->query / BLOCK];
    int before = (int)(pair->key / BLOCK);
    for (int looks = 1; atomic_load_explicit(done, memory_order_acquire) < before; looks++)
        if (looks % LOOKS == 0) sched_yield();
    rm_sum_over_keys(block, tiles->d_scores, keys->keys,
                     pass->gradient->d_q + query_offset(pass, pair), pass->q_stride,
                     before > 0);
    atomic_store_explicit(done, before + 1, memory_order_release);
}

static void add_pair(const attention_pass *pass, const attention_tiles *tiles,
                     const key_tiles *keys, const block_pair *pair)
{
    rm_score_block block = score_block(pass, pair);
    bool add = pair->head % pass->group > 0 || pair->query > pair->key;
    differentiate_scores(pass, tiles, keys, pair, &block);
    rm_sum_over_rows(&block, tiles->weights, tiles->d_out, keys->d_v, add);
    rm_sum_over_rows(&block, tiles->d_scores, tiles->queries, keys->d_k, add);
    add_to_queries(pass, tiles, keys, pair, &block);
}

static void pack_keys(const attention_pass *pass, const key_tiles *tiles,
                      const block_pair *pair)
{
    const rm_kernels *kernels = pass->kernels;
    const rm_real *k = pass->gradient->k + key_offset(pass, pair);
    const rm_real *v = pass->gradient->v + key_offset(pass, pair);
    int64_t dim = pass->shape.head_dim, stride = pass->kv_stride;
    rm_pack_block(kernels, dim, pair->n_keys, k, 1, stride, tiles->key_columns);
    kernels->scale(rm_block_panels(kernels, dim, pair->n_keys), pass->score_scale,
                   tiles->key_columns);
    rm_pack_block(kernels, dim, pair->n_keys, v, 1, stride, tiles->value_columns);
    rm_pack_block(kernels, pair->n_keys, dim, k, stride, 1, tiles->keys);
}

static void store_rows(const attention_pass *pass, const block_pair *pair, const rm_real *sums,
                       rm_real *rows)
{
    int64_t dim = pass->shape.head_dim;
    for (int64_t j = 0; j < pair->n_keys; j++)
        memcpy(rows + key_offset(pass, pair) + j * pass->kv_stride, sums + j * dim,
               (size_t)dim * sizeof *sums);
}

/* Sets the pair's keys to block number `block`. */
static void select_keys(const attention_pass *pass, int64_t block, block_pair *pair)
{
    pair->key = block * BLOCK;
    pair->n_keys = rm_least(BLOCK, pass->shape.n_queries - pair->key);
}

/* All pairs of the pair's queries with key blocks [first, end) that they see. */
static void add_queries(const attention_pass *pass, const attention_tiles *tiles, int64_t first,
                        int64_t end, block_pair *pair)
{
    pair->n_queries = rm_least(BLOCK, pass->shape.n_queries - pair->query);
    pack_queries(pass, tiles, pair);
    for (int64_t block = first; block < end && block * BLOCK <= pair->query; block++) {
        select_keys(pass, block, pair);
        add_pair(pass, tiles, &tiles->key_blocks[block - first], pair);
    }
}

static void run_task(const attention_pass *pass, int64_t index, rm_real *scratch)
{
    attention_tiles tiles = cut_scratch(pass, scratch);
    int64_t n_kv_heads = pass->shape.n_kv_heads, heads = pass->shape.n_sequences * n_kv_heads;
    int64_t first = index / heads * pass->blocks_per_task;
    int64_t end = rm_least(first + pass->blocks_per_task, pass->n_blocks);
    block_pair pair = {.sequence = index % heads / n_kv_heads, .kv_head = index % n_kv_heads};
    for (int64_t block = first; block < end; block++) {
        select_keys(pass, block, &pair);
        pack_keys(pass, &tiles.key_blocks[block - first], &pair);
    }
    for (int64_t i = 0; i < pass->group; i++) {
        pair.head = pair.kv_head * pass->group + i;
        for (pair.query = first * BLOCK; pair.query < pass->shape.n_queries;
             pair.query += BLOCK)
            add_queries(pass, &tiles, first, end, &pair);
    }
    for (int64_t block = first; block < end; block++) {
        select_keys(pass, block, &pair);
        store_rows(pass, &pair, tiles.key_blocks[block - first].d_k, pass->gradient->d_k);
        store_rows(pass, &pair, tiles.key_blocks[block - first].d_v, pass->gradient->d_v);
    }
}

void rm_attention_backward(const rm_compute *compute, rm_attention_shape shape,
                           const rm_attention_gradient *gradient)
{
    attention_pass pass = {.kernels = compute->kernels, .shape = shape, .gradient = gradient};
    int64_t n_rows = shape.n_sequences * shape.n_queries;
    pass.score_scale = (rm_real)(1 / sqrt((double)shape.head_dim));
    pass.q_stride = shape.n_heads * shape.head_dim;
    pass.kv_stride = shape.n_kv_heads * shape.head_dim;
    pass.group = shape.n_heads / shape.n_kv_heads;
    pass.delta = gradient->workspace;
    pass.key_blocks = (atomic_int *)(gradient->workspace + n_rows * shape.n_heads);
    cut_into_tasks(&pass, compute->n_threads);
    for (int64_t i = 0; i < shape.n_sequences * shape.n_heads * pass.n_blocks; i++)
        atomic_init(&pass.key_blocks[i], 0);
#pragma omp parallel for num_threads(compute->n_threads) schedule(static)
    for (int64_t row = 0; row < n_rows; row++) dot_outputs(&pass, row);
    int64_t n_tasks = shape.n_sequences * shape.n_kv_heads * pass.tasks_per_head;
#pragma omp parallel for num_threads(compute->n_threads) schedule(monotonic : dynamic)
    for (int64_t index = 0; index < n_tasks; index++)
        run_task(&pass, index, rm_compute_scratch(compute));
}

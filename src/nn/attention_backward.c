/* SPDX-License-Identifier: MIT
 *
 * A task is one key-value head of one sequence, so that no two tasks write the same gradient
 * and every sum has one order. With p = exp(score - logsumexp) and delta = d_out . out of a
 * row:
 *
 *   for each block of keys, each query head of the group, each block of queries from there on:
 *     d_v += p^T d_out
 *     d_score = p * (d_out v^T - delta) / sqrt(head_dim)
 *     d_k += d_score^T q
 *     d_q += d_score k
 */
#include "nn/attention.h"

#include <math.h>
#include <string.h>

#include "tensor/tiles.h"

#define BLOCK 64

/* The thread's tiles; `_t` are packed transposed. */
typedef struct attention_tiles {
    rm_real *keys_t, *values_t, *keys, *queries, *d_out;
    rm_real *weights, *d_scores; /* [BLOCK][BLOCK] */
} attention_tiles;

typedef struct attention_pass {
    const rm_kernels *kernels;
    rm_attention_shape shape;
    const rm_attention_gradient *gradient;
    rm_real score_scale;
    int64_t q_stride, kv_stride, group;
} attention_pass;

/* A pair of blocks: keys [key, + n_keys) with queries [query, + n_queries) of one head. */
typedef struct block_pair {
    int64_t sequence, kv_head, head;
    int64_t key, n_keys, query, n_queries;
} block_pair;

static attention_tiles cut_scratch(const attention_pass *pass, rm_real *scratch)
{
    int64_t transposed = rm_block_panels(pass->kernels, pass->shape.head_dim, BLOCK);
    int64_t straight = rm_block_panels(pass->kernels, BLOCK, pass->shape.head_dim);
    attention_tiles tiles = {.keys_t = scratch};
    tiles.values_t = tiles.keys_t + transposed;
    tiles.keys = tiles.values_t + transposed;
    tiles.queries = tiles.keys + straight;
    tiles.d_out = tiles.queries + straight;
    tiles.weights = tiles.d_out + straight;
    tiles.d_scores = tiles.weights + BLOCK * BLOCK;
    return tiles;
}

/* Where the pair's queries and keys begin in rows of all sequences. */
static int64_t query_offset(const attention_pass *pass, const block_pair *pair)
{
    return (pair->sequence * pass->shape.n_queries + pair->query) * pass->q_stride +
           pair->head * pass->shape.head_dim;
}

static int64_t key_offset(const attention_pass *pass, const block_pair *pair)
{
    return (pair->sequence * pass->shape.n_queries + pair->key) * pass->kv_stride +
           pair->kv_head * pass->shape.head_dim;
}

/* The index of the pair's first query in [n_heads][rows]. */
static int64_t row_index(const attention_pass *pass, const block_pair *pair)
{
    int64_t n_rows = pass->shape.n_sequences * pass->shape.n_queries;
    return pair->head * n_rows + pair->sequence * pass->shape.n_queries + pair->query;
}

/* delta of all rows of one head of one sequence. */
static void dot_outputs(const attention_pass *pass, const block_pair *pair)
{
    const rm_attention_gradient *gradient = pass->gradient;
    int64_t first = query_offset(pass, pair), to = row_index(pass, pair);
    for (int64_t i = 0; i < pass->shape.n_queries; i++) {
        int64_t from = first + i * pass->q_stride;
        gradient->workspace[to + i] = pass->kernels->dot(
            pass->shape.head_dim, gradient->d_out + from, gradient->out + from);
    }
}

/* One row: scores become weights, d_weights become d_scores, 0 for keys after the query. */
static void differentiate_row(const attention_pass *pass, rm_real *weights, rm_real *d_scores,
                              rm_real logsumexp, rm_real delta, int64_t n_visible,
                              int64_t n_keys)
{
    pass->kernels->scale(n_visible, pass->score_scale, weights);
    pass->kernels->exp_shift(n_visible, logsumexp, weights, weights);
    for (int64_t j = 0; j < n_visible; j++)
        d_scores[j] = weights[j] * (d_scores[j] - delta) * pass->score_scale;
    size_t hidden = (size_t)(n_keys - n_visible) * sizeof *weights;
    memset(weights + n_visible, 0, hidden);
    memset(d_scores + n_visible, 0, hidden);
}

/* Fills the pair's weights and d_scores. */
static void differentiate_scores(const attention_pass *pass, const attention_tiles *tiles,
                                 const block_pair *pair)
{
    const rm_attention_gradient *gradient = pass->gradient;
    int64_t from = query_offset(pass, pair), row = row_index(pass, pair);
    rm_block_product(pass->kernels, pair->n_queries, pair->n_keys, pass->shape.head_dim,
                     gradient->q + from, pass->q_stride, 1, tiles->keys_t, tiles->weights,
                     BLOCK, false);
    rm_block_product(pass->kernels, pair->n_queries, pair->n_keys, pass->shape.head_dim,
                     gradient->d_out + from, pass->q_stride, 1, tiles->values_t,
                     tiles->d_scores, BLOCK, false);
    for (int64_t i = 0; i < pair->n_queries; i++)
        differentiate_row(pass, tiles->weights + i * BLOCK, tiles->d_scores + i * BLOCK,
                          gradient->logsumexp[row + i], gradient->workspace[row + i],
                          rm_least(pair->query + i + 1 - pair->key, pair->n_keys),
                          pair->n_keys);
}

/* Adds the pair's part to d_q, d_k and d_v; the first pair of a key block stores d_k and d_v,
 * the first key block stores d_q. */
static void add_pair(const attention_pass *pass, const attention_tiles *tiles,
                     const block_pair *pair, bool first_of_keys)
{
    const rm_attention_gradient *gradient = pass->gradient;
    const rm_kernels *kernels = pass->kernels;
    int64_t dim = pass->shape.head_dim;
    int64_t query = query_offset(pass, pair), key = key_offset(pass, pair);
    differentiate_scores(pass, tiles, pair);
    rm_pack_block(kernels, pair->n_queries, dim, gradient->d_out + query, pass->q_stride, 1,
                  tiles->d_out);
    rm_block_product(kernels, pair->n_keys, dim, pair->n_queries, tiles->weights, 1, BLOCK,
                     tiles->d_out, gradient->d_v + key, pass->kv_stride, !first_of_keys);
    rm_pack_block(kernels, pair->n_queries, dim, gradient->q + query, pass->q_stride, 1,
                  tiles->queries);
    rm_block_product(kernels, pair->n_keys, dim, pair->n_queries, tiles->d_scores, 1, BLOCK,
                     tiles->queries, gradient->d_k + key, pass->kv_stride, !first_of_keys);
    rm_block_product(kernels, pair->n_queries, dim, pair->n_keys, tiles->d_scores, BLOCK, 1,
                     tiles->keys, gradient->d_q + query, pass->q_stride, pair->key > 0);
}

static void pack_keys(const attention_pass *pass, const attention_tiles *tiles,
                      const block_pair *pair)
{
    const rm_real *k = pass->gradient->k + key_offset(pass, pair);
    const rm_real *v = pass->gradient->v + key_offset(pass, pair);
    int64_t dim = pass->shape.head_dim, stride = pass->kv_stride;
    rm_pack_block(pass->kernels, dim, pair->n_keys, k, 1, stride, tiles->keys_t);
    rm_pack_block(pass->kernels, dim, pair->n_keys, v, 1, stride, tiles->values_t);
    rm_pack_block(pass->kernels, pair->n_keys, dim, k, stride, 1, tiles->keys);
}

static void run_task(const attention_pass *pass, int64_t sequence, int64_t kv_head,
                     rm_real *scratch)
{
    attention_tiles tiles = cut_scratch(pass, scratch);
    int64_t n = pass->shape.n_queries, first_head = kv_head * pass->group;
    block_pair pair = {.sequence = sequence, .kv_head = kv_head};
    for (int64_t head = 0; head < pass->group; head++) {
        pair.head = first_head + head;
        dot_outputs(pass, &pair);
    }
    for (pair.key = 0; pair.key < n; pair.key += BLOCK) {
        pair.n_keys = rm_least(BLOCK, n - pair.key);
        pack_keys(pass, &tiles, &pair);
        for (int64_t head = 0; head < pass->group; head++) {
            pair.head = first_head + head;
            for (pair.query = pair.key; pair.query < n; pair.query += BLOCK) {
                pair.n_queries = rm_least(BLOCK, n - pair.query);
                add_pair(pass, &tiles, &pair, head == 0 && pair.query == pair.key);
            }
        }
    }
}

void rm_attention_backward(const rm_compute *compute, rm_attention_shape shape,
                           const rm_attention_gradient *gradient)
{
    attention_pass pass = {.kernels = compute->kernels, .shape = shape, .gradient = gradient};
    pass.score_scale = (rm_real)(1 / sqrt((double)shape.head_dim));
    pass.q_stride = shape.n_heads * shape.head_dim;
    pass.kv_stride = shape.n_kv_heads * shape.head_dim;
    pass.group = shape.n_heads / shape.n_kv_heads;
    int64_t n_tasks = shape.n_sequences * shape.n_kv_heads;
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic)
    for (int64_t index = 0; index < n_tasks; index++)
        run_task(&pass, index / shape.n_kv_heads, index % shape.n_kv_heads,
                 rm_compute_scratch(compute));
}

/* SPDX-License-Identifier: MIT
 *
 * The backward pass sorts the tokens by table row first (a counting sort, which keeps their
 * order), so that threads own rows and each row's sum has a fixed order:
 *
 *   workspace   | first[0 .. vocab]: where row v's tokens begin | order[0 .. n_tokens) |
 */
#include "nn/embedding.h"

#include <string.h>

void rm_embedding_forward(const rm_compute *compute, int64_t n_tokens, int64_t d_model,
                          const int32_t *tokens, const rm_real *table, rm_real *y)
{
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, 64)
    for (int64_t t = 0; t < n_tokens; t++)
        memcpy(y + t * d_model, table + tokens[t] * d_model, (size_t)d_model * sizeof *y);
}

int64_t rm_embedding_workspace(int64_t n_tokens, int64_t vocab)
{
    return vocab + 2 + n_tokens;
}

/* first[v] .. first[v + 1] are the places in `order` of row v's tokens, in ascending order.
 * While filling, first[v + 1] is the next free place of row v, hence the array of vocab + 2. */
static void sort_by_row(int64_t n_tokens, int64_t vocab, const int32_t *tokens, int32_t *first,
                        int32_t *order)
{
    memset(first, 0, (size_t)(vocab + 2) * sizeof *first);
    for (int64_t t = 0; t < n_tokens; t++) first[tokens[t] + 2]++;
    for (int64_t v = 2; v < vocab + 2; v++) first[v] += first[v - 1];
    for (int64_t t = 0; t < n_tokens; t++) order[first[tokens[t] + 1]++] = (int32_t)t;
}

/* The row's sum: `start` (zero if NULL), then the d_y of its tokens. */
static void sum_row(const rm_kernels *kernels, int64_t d_model, const rm_real *d_y,
                    const rm_real *start, const int32_t *order, int32_t n_tokens, rm_real *sum)
{
    size_t bytes = (size_t)d_model * sizeof *sum;
    if (!start)
        memset(sum, 0, bytes);
    else if (start != sum)
        memcpy(sum, start, bytes);
    for (int32_t i = 0; i < n_tokens; i++) kernels->add(d_model, d_y + order[i] * d_model, sum);
}

void rm_embedding_backward(const rm_compute *compute, int64_t n_tokens, int64_t vocab,
                           int64_t d_model, const int32_t *tokens, const rm_real *d_y,
                           const rm_real *start, int32_t *workspace, rm_sink sink)
{
    int32_t *first = workspace, *order = workspace + vocab + 2;
    sort_by_row(n_tokens, vocab, tokens, first, order);
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, 16)
    for (int64_t v = 0; v < vocab; v++) {
        int32_t n_row_tokens = first[v + 1] - first[v];
        rm_real *target = sink.data + v * d_model;
        rm_real *sum = sink.add ? rm_compute_scratch(compute) : target;
        if (sink.add && !start && n_row_tokens == 0) continue; /* nothing to add */
        sum_row(compute->kernels, d_model, d_y, start ? start + v * d_model : NULL,
                order + first[v], n_row_tokens, sum);
        if (sink.add) compute->kernels->add(d_model, sum, target);
    }
}

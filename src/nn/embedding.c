/* SPDX-License-Identifier: MIT
 *
 * The backward pass sorts the tokens by table row first (a counting sort, which keeps their
 * order), so that threads own rows and each row's sum has a fixed order:
 *
 *   workspace   | first[0 .. rows.n]: where row v's tokens begin | order[0 .. n_tokens) |
 */
#include "nn/embedding.h"

#include <string.h>

static bool holds(rm_vocab_rows rows, int32_t token)
{
    return token >= rows.first && token < rows.first + rows.n;
}

typedef struct embedded_rows {
    int64_t d_model;
    const int32_t *tokens;
    rm_vocab_rows rows;
    rm_row_reader *read;
    const void *table;
    rm_real *y;
} embedded_rows;

static void embed_row(void *user, int64_t t)
{
    const embedded_rows *pass = user;
    int32_t token = pass->tokens[t];
    rm_real *row = pass->y + t * pass->d_model;
    if (holds(pass->rows, token))
        pass->read(pass->table, token - pass->rows.first, row);
    else
        for (int64_t i = 0; i < pass->d_model; i++) row[i] = -(rm_real)0;
}

void rm_embedding_read(const rm_compute *compute, int64_t n_tokens, int64_t d_model,
                       const int32_t *tokens, rm_vocab_rows rows, rm_row_reader *read,
                       const void *table, rm_real *y)
{
    embedded_rows pass = {d_model, tokens, rows, read, table, y};
    rm_rows_run(compute, n_tokens, embed_row, &pass);
}

/* Rows of numbers, side by side. */
typedef struct plain_table {
    const rm_real *numbers;
    int64_t d_model;
} plain_table;

static void copy_row(const void *table, int64_t row, rm_real *y)
{
    const plain_table *plain = table;
    memcpy(y, plain->numbers + row * plain->d_model, (size_t)plain->d_model * sizeof *y);
}

void rm_embedding_forward(const rm_compute *compute, int64_t n_tokens, int64_t d_model,
                          const int32_t *tokens, rm_vocab_rows rows, const rm_real *table,
                          rm_real *y)
{
    rm_embedding_read(compute, n_tokens, d_model, tokens, rows, copy_row,
                      &(plain_table){table, d_model}, y);
}

int64_t rm_embedding_workspace(int64_t n_tokens, int64_t n_rows)
{
    return n_rows + 2 + n_tokens;
}

/* first[v] .. first[v + 1] are the places in `order` of row v's tokens, in ascending order.
 * While filling, first[v + 1] is the next free place of row v, hence the array of n + 2. */
static void sort_by_row(int64_t n_tokens, const int32_t *tokens, rm_vocab_rows rows,
                        int32_t *first, int32_t *order)
{
    memset(first, 0, (size_t)(rows.n + 2) * sizeof *first);
    for (int64_t t = 0; t < n_tokens; t++)
        if (holds(rows, tokens[t])) first[tokens[t] - rows.first + 2]++;
    for (int64_t v = 2; v < rows.n + 2; v++) first[v] += first[v - 1];
    for (int64_t t = 0; t < n_tokens; t++)
        if (holds(rows, tokens[t])) order[first[tokens[t] - rows.first + 1]++] = (int32_t)t;
}

static void sum_row(const rm_kernels *kernels, int64_t d_model, const rm_real *d_y,
                    const int32_t *order, int32_t n_tokens, rm_real *sum)
{
    memset(sum, 0, (size_t)d_model * sizeof *sum);
    for (int32_t i = 0; i < n_tokens; i++) kernels->add(d_model, d_y + order[i] * d_model, sum);
}

void rm_embedding_backward(const rm_compute *compute, int64_t n_tokens, int64_t d_model,
                           const int32_t *tokens, rm_vocab_rows rows, const rm_real *d_y,
                           int32_t *workspace, rm_sink sink)
{
    int32_t *first = workspace, *order = workspace + rows.n + 2;
    sort_by_row(n_tokens, tokens, rows, first, order);
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, 16)
    for (int64_t v = 0; v < rows.n; v++) {
        int32_t n_row_tokens = first[v + 1] - first[v];
        rm_real *target = sink.data + v * d_model;
        rm_real *sum = sink.add ? rm_compute_scratch(compute) : target;
        if (sink.add && n_row_tokens == 0) continue; /* nothing to add */
        sum_row(compute->kernels, d_model, d_y, order + first[v], n_row_tokens, sum);
        if (sink.add) compute->kernels->add(d_model, sum, target);
    }
}

/* SPDX-License-Identifier: MIT */
#include "nn/norm.h"

#include <string.h>

/* Rows whose weight gradients make one partial sum: part of the result, so the same for all. */
#define BLOCK_ROWS 64
/* Columns of the weight's gradient that a thread sums at a time. */
#define SUM_COLUMNS 256
/* Elements a thread adds at a time. */
#define ADD_ELEMENTS 16384

/* A row with an infinity has rstd 0, one with a NaN has rstd NaN. */
static bool is_finite(rm_real rstd)
{
    return rstd > 0;
}

typedef struct norm_rows {
    const rm_kernels *kernels;
    rm_norm_shape shape;
    const rm_real *residual; /* or NULL */
    rm_real *sum;            /* x and the residual, where there is one */
    const rm_real *x, *weight;
    rm_real *y, *rstd;
    int bad;
} norm_rows;

static void norm_row(void *user, int64_t row)
{
    norm_rows *rows = user;
    int64_t width = rows->shape.width, at = row * width;
    if (rows->residual) rows->kernels->add(width, rows->residual + at, rows->sum + at);
    rows->rstd[row] = rows->kernels->rmsnorm(width, rows->shape.eps, rows->x + at, rows->weight,
                                             rows->y + at);
    if (!is_finite(rows->rstd[row])) {
#pragma omp atomic write
        rows->bad = 1;
    }
}

static bool run_rows(const rm_compute *compute, norm_rows rows)
{
    rows.kernels = compute->kernels;
    rm_rows_run(compute, rows.shape.n_rows, norm_row, &rows);
    return !rows.bad;
}

bool rm_norm_forward(const rm_compute *compute, rm_norm_shape shape, const rm_real *x,
                     const rm_real *weight, rm_real *y, rm_real *rstd)
{
    return run_rows(
        compute, (norm_rows){.shape = shape, .x = x, .weight = weight, .y = y, .rstd = rstd});
}

bool rm_norm_add_forward(const rm_compute *compute, rm_norm_shape shape,
                         const rm_real *residual, rm_real *x, const rm_real *weight, rm_real *y,
                         rm_real *rstd)
{
    return run_rows(compute, (norm_rows){.shape = shape,
                                         .residual = residual,
                                         .sum = x,
                                         .x = x,
                                         .weight = weight,
                                         .y = y,
                                         .rstd = rstd});
}

void rm_residual_add(const rm_compute *compute, int64_t n, const rm_real *residual, rm_real *x)
{
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic)
    for (int64_t first = 0; first < n; first += ADD_ELEMENTS)
        compute->kernels->add(n - first < ADD_ELEMENTS ? n - first : ADD_ELEMENTS,
                              residual + first, x + first);
}

static int64_t block_count(int64_t n_rows)
{
    return (n_rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
}

int64_t rm_norm_workspace(int64_t n_rows, int64_t width)
{
    return block_count(n_rows) * width;
}

/* The rows of one pass, and where their gradients go. */
typedef struct backward_rows {
    rm_norm_shape shape;
    const rm_real *x, *rstd, *weight;
    rm_real *d_y, *d_x;
    bool add;
} backward_rows;

/* One block of rows: d_x, and the block's sum of the weight's gradient into `partial`. */
static void backward_block(const rm_kernels *kernels, const backward_rows *rows, int64_t block,
                           rm_real *partial)
{
    int64_t width = rows->shape.width, first = block * BLOCK_ROWS;
    int64_t end = first + BLOCK_ROWS;
    if (end > rows->shape.n_rows) end = rows->shape.n_rows;
    memset(partial, 0, (size_t)width * sizeof *partial);
    for (int64_t row = first; row < end; row++) {
        rm_real *d_y = rows->d_y + row * width, *d_x = rows->d_x + row * width;
        kernels->rmsnorm_backward(width, rows->rstd[row], rows->x + row * width, rows->weight,
                                  d_y, rows->add ? d_y : d_x, partial);
        if (rows->add) kernels->add(width, d_y, d_x);
    }
}

/* Sums columns [first, first + n) of the partial rows into row 0, then into the sink. */
static void sum_partials(const rm_kernels *kernels, rm_norm_shape shape, int64_t first,
                         int64_t n, rm_real *partials, rm_sink sink)
{
    rm_real *sum = partials + first;
    for (int64_t block = 1; block < block_count(shape.n_rows); block++)
        kernels->add(n, partials + block * shape.width + first, sum);
    if (sink.add)
        kernels->add(n, sum, sink.data + first);
    else
        memcpy(sink.data + first, sum, (size_t)n * sizeof *sum);
}

void rm_norm_backward(const rm_compute *compute, rm_norm_shape shape, const rm_real *x,
                      const rm_real *rstd, const rm_real *weight, rm_real *d_y, bool add,
                      rm_real *d_x, rm_real *workspace, rm_sink d_weight)
{
    int64_t n_blocks = block_count(shape.n_rows), width = shape.width;
    if (n_blocks == 0) {
        if (!d_weight.add) memset(d_weight.data, 0, (size_t)width * sizeof *d_weight.data);
        return;
    }
    backward_rows rows = {shape, x, rstd, weight, d_y, d_x, add};
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic)
    for (int64_t block = 0; block < n_blocks; block++)
        backward_block(compute->kernels, &rows, block, workspace + block * width);
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic)
    for (int64_t first = 0; first < width; first += SUM_COLUMNS) {
        int64_t n = width - first < SUM_COLUMNS ? width - first : SUM_COLUMNS;
        sum_partials(compute->kernels, shape, first, n, workspace, d_weight);
    }
}

/* SPDX-License-Identifier: MIT
 *
 * The way back through nn/heads.h. A norm's weight's gradient is summed over fixed blocks of
 * rows, then over the blocks in order; that of one weight for all heads also over the blocks of
 * heads, in their tree, and over the tensor axis.
 *
 *   workspace   | sums of a row: N | partials: [heads' blocks][rows' blocks][weight] |
 */
#include <string.h>

#include "comm/sum.h"
#include "nn/heads.h"

/* Rows whose weight gradients make one partial sum: part of the result, so the same for all. */
#define BLOCK_ROWS 64

static int64_t block_count(int64_t n_rows)
{
    return (n_rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
}

int64_t rm_heads_workspace(int64_t n_rows, int64_t n_heads, int64_t head_dim)
{
    int64_t row = n_heads * head_dim, blocks = RM_INNER_BLOCKS * head_dim;
    return n_rows + (block_count(n_rows) + 1) * (row > blocks ? row : blocks);
}

/* One pass. */
typedef struct backward_rows {
    const rm_kernels *kernels;
    const rm_heads *heads;
    const rm_real *x, *rstd;
    rm_real *d;
    rm_real *sums;     /* [N], of whole rows */
    rm_real *partials; /* [heads' blocks][rows' blocks][weight] */
    int64_t width;     /* of a row here */
    int64_t n_blocks;  /* of rows */
} backward_rows;

/* What was cut has no gradient. weight NULL: there was no norm. */
static void cut_gradient(rm_real limit, int64_t n, const rm_real *x, rm_real rstd,
                         const rm_real *weight, rm_real *d)
{
    for (int64_t i = 0; i < n; i++) {
        rm_real y = weight ? x[i] * rstd * weight[i] : x[i];
        if (y > limit || y < -limit) d[i] = 0;
    }
}

static void backward_plain(const backward_rows *rows, int64_t row)
{
    cut_gradient(rows->heads->limit, rows->width, rows->x + row * rows->width, 0, NULL,
                 rows->d + row * rows->width);
}

/* The head's block of heads. */
static int block_of(const rm_heads *heads, int64_t head)
{
    int b = 0;
    while (b + 1 < heads->cut.n && head * heads->head_dim >= heads->cut.bounds[b + 1]) b++;
    return b;
}

static void backward_heads(const backward_rows *rows, int64_t row)
{
    const rm_heads *heads = rows->heads;
    int64_t dim = heads->head_dim;
    for (int64_t h = 0; h < heads->n_heads; h++) {
        const rm_real *x = rows->x + row * rows->width + h * dim;
        rm_real *d = rows->d + row * rows->width + h * dim;
        rm_real rstd = rows->rstd[row * heads->n_heads + h];
        int64_t at = block_of(heads, h) * rows->n_blocks + row / BLOCK_ROWS;
        if (heads->limit > 0) cut_gradient(heads->limit, dim, x, rstd, heads->weight, d);
        rows->kernels->rmsnorm_backward(dim, rstd, x, heads->weight, d, d,
                                        rows->partials + at * dim);
    }
}

/* Up to the sum over the whole row. */
static void backward_row(const backward_rows *rows, int64_t row)
{
    const rm_heads *heads = rows->heads;
    const rm_real *x = rows->x + row * rows->width;
    rm_real *d = rows->d + row * rows->width, rstd = rows->rstd[row];
    rm_real *partial = rows->partials + row / BLOCK_ROWS * rows->width;
    if (heads->limit > 0) cut_gradient(heads->limit, rows->width, x, rstd, heads->weight, d);
    for (int64_t i = 0; i < rows->width; i++) {
        partial[i] += d[i] * x[i] * rstd;
        d[i] *= heads->weight[i];
    }
    rows->sums[row] = rm_heads_dot(rows->kernels, heads, d, x);
}

static void finish_row(const backward_rows *rows, int64_t row)
{
    const rm_real *x = rows->x + row * rows->width;
    rm_real *d = rows->d + row * rows->width, rstd = rows->rstd[row];
    rm_real along_x = rstd * rstd * rows->sums[row] / (rm_real)rows->heads->row_width;
    for (int64_t i = 0; i < rows->width; i++) d[i] = rstd * (d[i] - x[i] * along_x);
}

static void for_each_row(const rm_compute *compute, const backward_rows *rows,
                         void (*work)(const backward_rows *rows, int64_t row))
{
    int64_t n_rows = rows->heads->n_rows;
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic)
    for (int64_t block = 0; block < rows->n_blocks; block++)
        for (int64_t row = block * BLOCK_ROWS; row < (block + 1) * BLOCK_ROWS; row++)
            if (row < n_rows) work(rows, row);
}

/* The sum of the partials, whose place it returns. */
static rm_real *sum_partials(const backward_rows *rows, int64_t n)
{
    int n_cuts = rows->heads->norm == RINGMOE_QK_NORM_HEAD ? rows->heads->cut.n : 0;
    int64_t stride = (rows->n_blocks > 0 ? rows->n_blocks : 1) * n;
    rm_real *first = rows->partials;
    int n_sums = 0;
    for (int b = 0; b < (n_cuts > 0 ? n_cuts : 1); b++) {
        rm_real *sum = first + b * stride;
        for (int64_t block = 1; block < rows->n_blocks; block++)
            rows->kernels->add(n, sum + block * n, sum);
        if (b != n_sums) memcpy(first + n_sums * stride, sum, (size_t)n * sizeof *sum);
        n_sums++;
        for (int joins = rm_inner_joins(b); joins > 0 && n_sums > 1; joins--, n_sums--)
            rows->kernels->add(n, first + (n_sums - 1) * stride, first + (n_sums - 2) * stride);
    }
    return first;
}

/* The norm's weight's gradient to its sink. */
static ringmoe_status deliver(const rm_compute *compute, const backward_rows *rows,
                              rm_sink weight, rm_error *error)
{
    const rm_heads *heads = rows->heads;
    int64_t n = rm_heads_weight_elements(heads);
    rm_real *sum = sum_partials(rows, n);
    if (heads->norm == RINGMOE_QK_NORM_HEAD)
        RM_TRY(rm_sum(heads->tensor, sum, n, compute, heads->times, error));
    if (weight.add)
        compute->kernels->add(n, sum, weight.data);
    else
        memcpy(weight.data, sum, (size_t)n * sizeof *sum);
    return RINGMOE_OK;
}

ringmoe_status rm_heads_backward(const rm_compute *compute, const rm_heads *heads,
                                 const rm_real *x, const rm_real *rstd, rm_real *d,
                                 rm_real *workspace, rm_sink weight, rm_error *error)
{
    backward_rows rows = {.kernels = compute->kernels,
                          .heads = heads,
                          .x = x,
                          .rstd = rstd,
                          .d = d,
                          .sums = workspace,
                          .partials = workspace + heads->n_rows,
                          .width = heads->n_heads * heads->head_dim,
                          .n_blocks = block_count(heads->n_rows)};
    size_t n = (size_t)rm_heads_workspace(heads->n_rows, heads->n_heads, heads->head_dim);
    if (heads->norm == RINGMOE_QK_NORM_NONE) {
        if (heads->limit > 0) for_each_row(compute, &rows, backward_plain);
        return RINGMOE_OK;
    }
    memset(workspace, 0, n * sizeof *workspace);
    if (heads->norm == RINGMOE_QK_NORM_HEAD) {
        for_each_row(compute, &rows, backward_heads);
        return deliver(compute, &rows, weight, error);
    }
    for_each_row(compute, &rows, backward_row);
    RM_TRY(rm_sum(heads->tensor, rows.sums, heads->n_rows, compute, heads->times, error));
    for_each_row(compute, &rows, finish_row);
    return deliver(compute, &rows, weight, error);
}

void rm_heads_bias_backward(const rm_compute *compute, const rm_heads *heads, const rm_real *d,
                            rm_sink bias)
{
    static const rm_real one = 1;
    int64_t width = heads->n_heads * heads->head_dim;
    /* Every row is multiplied by the same 1. */
    rm_outer term = {.n_rows = heads->n_rows,
                     .d_y = d,
                     .d_y_stride = width,
                     .x = &one,
                     .x_stride = 0,
                     .sink = bias};
    rm_outer_group group = {width, 1, &term, 1};
    rm_outer_grouped(compute, RINGMOE_PRECISION_FP32, &group, 1);
}

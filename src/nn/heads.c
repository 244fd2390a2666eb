/* SPDX-License-Identifier: MIT */
#include "nn/heads.h"

#include <math.h>

#include "comm/sum.h"

static int64_t own_width(const rm_heads *heads)
{
    return heads->n_heads * heads->head_dim;
}

int64_t rm_heads_rstd_elements(const rm_heads *heads)
{
    if (heads->norm == RINGMOE_QK_NORM_NONE) return 0;
    return heads->n_rows * (heads->norm == RINGMOE_QK_NORM_HEAD ? heads->n_heads : 1);
}

int64_t rm_heads_weight_elements(const rm_heads *heads)
{
    if (heads->norm == RINGMOE_QK_NORM_NONE) return 0;
    return heads->norm == RINGMOE_QK_NORM_HEAD ? heads->head_dim : own_width(heads);
}

rm_real rm_heads_dot(const rm_kernels *kernels, const rm_heads *heads, const rm_real *x,
                     const rm_real *y)
{
    rm_real sums[RM_INNER_BLOCKS];
    const int64_t *bounds = heads->cut.bounds;
    int n = 0;
    if (heads->cut.n == 0) return kernels->dot(own_width(heads), x, y);
    for (int b = 0; b < heads->cut.n; b++) {
        sums[n++] = kernels->dot(bounds[b + 1] - bounds[b], x + bounds[b], y + bounds[b]);
        for (int joins = rm_inner_joins(b); joins > 0 && n > 1; joins--, n--)
            sums[n - 2] += sums[n - 1];
    }
    return sums[0];
}

static void cut_to_limit(rm_real limit, int64_t n, rm_real *y)
{
    for (int64_t i = 0; i < n; i++) {
        /* Written so that a NaN stays one. */
        if (y[i] > limit) y[i] = limit;
        if (y[i] < -limit) y[i] = -limit;
    }
}

/* All of a row that needs no other rank. */
static void forward_row(const rm_kernels *kernels, const rm_heads *heads, int64_t row,
                        rm_real *x, rm_real *rstd, rm_real *y)
{
    int64_t width = own_width(heads), dim = heads->head_dim;
    if (heads->bias) kernels->add(width, heads->bias, x);
    if (heads->norm == RINGMOE_QK_NORM_ROW) {
        rstd[row] = rm_heads_dot(kernels, heads, x, x);
        return;
    }
    if (heads->norm == RINGMOE_QK_NORM_HEAD)
        for (int64_t h = 0; h < heads->n_heads; h++)
            rstd[row * heads->n_heads + h] =
                kernels->rmsnorm(dim, heads->eps, x + h * dim, heads->weight, y + h * dim);
    else if (heads->limit > 0)
        for (int64_t i = 0; i < width; i++) y[i] = x[i];
    if (heads->limit > 0) cut_to_limit(heads->limit, width, y);
}

/* With the sum of the whole row's squares in *rstd. */
static void normalize_row(const rm_heads *heads, const rm_real *x, rm_real *rstd, rm_real *y)
{
    rm_real mean = *rstd / (rm_real)heads->row_width;
    int64_t width = own_width(heads);
    *rstd = (rm_real)(1 / sqrt((double)(mean + heads->eps)));
    for (int64_t i = 0; i < width; i++) y[i] = x[i] * *rstd * heads->weight[i];
    if (heads->limit > 0) cut_to_limit(heads->limit, width, y);
}

typedef struct head_rows {
    const rm_kernels *kernels;
    const rm_heads *heads;
    rm_real *x, *rstd, *y;
} head_rows;

static void forward_own_row(void *user, int64_t row)
{
    const head_rows *rows = user;
    int64_t at = row * own_width(rows->heads);
    forward_row(rows->kernels, rows->heads, row, rows->x + at, rows->rstd, rows->y + at);
}

static void normalize_own_row(void *user, int64_t row)
{
    const head_rows *rows = user;
    int64_t at = row * own_width(rows->heads);
    normalize_row(rows->heads, rows->x + at, &rows->rstd[row], rows->y + at);
}

ringmoe_status rm_heads_forward(const rm_compute *compute, const rm_heads *heads, rm_real *x,
                                rm_real *rstd, rm_real *y, rm_error *error)
{
    head_rows rows = {compute->kernels, heads, x, rstd, y};
    if (!heads->bias && heads->norm == RINGMOE_QK_NORM_NONE && !(heads->limit > 0))
        return RINGMOE_OK;
    rm_rows_run(compute, heads->n_rows, forward_own_row, &rows);
    if (heads->norm != RINGMOE_QK_NORM_ROW) return RINGMOE_OK;
    RM_TRY(rm_sum(heads->tensor, rstd, heads->n_rows, compute, heads->times, error));
    rm_rows_run(compute, heads->n_rows, normalize_own_row, &rows);
    return RINGMOE_OK;
}

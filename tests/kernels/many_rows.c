/* SPDX-License-Identifier: MIT
 *
 * Checks of the kernels for many rows at once: they have the bits of dot and axpy, which are
 * checked by themselves, called row by row.
 */
#include <string.h>

#include "check.h"

typedef struct many_rows {
    int64_t n, n_rows, stride;
    rm_real *x, *rows, *alphas, *y, *want;
} many_rows;

static many_rows take_rows(check *c, int64_t n, int64_t n_rows, int placement)
{
    many_rows taken = {.n = n, .n_rows = n_rows, .stride = n + n_rows % 4};
    int64_t span = n_rows ? (n_rows - 1) * taken.stride + n : 0;
    buffers_reset(c);
    taken.x = buffer_take(c, placement, n, sizeof(rm_real));
    taken.rows = buffer_take(c, placement, span, sizeof(rm_real));
    taken.alphas = buffer_take(c, placement, n_rows, sizeof(rm_real));
    taken.y = buffer_take(c, placement, n > n_rows ? n : n_rows, sizeof(rm_real));
    taken.want = buffer_take(c, placement, n > n_rows ? n : n_rows, sizeof(rm_real));
    fill_values(c, VALUES_WIDE, n, taken.x);
    fill_values(c, VALUES_WIDE, span, taken.rows);
    fill_values(c, VALUES_UNIT, n_rows, taken.alphas);
    return taken;
}

static void check_dot_rows(check *c, const many_rows *t)
{
    for (int64_t j = 0; j < t->n_rows; j++)
        t->want[j] = c->kernels->dot(t->n, t->x, t->rows + j * t->stride);
    c->kernels->dot_rows(t->n, t->n_rows, t->x, t->rows, t->stride, t->y);
    expect_same(c, "dots", t->n_rows, t->y, t->want);
    buffers_verify(c);
}

static void check_axpy_rows(check *c, const many_rows *t)
{
    memcpy(t->y, t->x, (size_t)t->n * sizeof *t->y);
    memcpy(t->want, t->x, (size_t)t->n * sizeof *t->y);
    for (int64_t j = 0; j < t->n_rows; j++)
        c->kernels->axpy(t->n, t->alphas[j], t->rows + j * t->stride, t->want);
    c->kernels->axpy_rows(t->n, t->n_rows, t->alphas, t->rows, t->stride, t->y);
    expect_same(c, "y", t->n, t->y, t->want);
    buffers_verify(c);
}

void check_many_rows(check *c)
{
    static const int64_t row_counts[] = {0, 1, 2, 3, 7, 32};
    for (int64_t n = 0; n <= 140; n += n < 70 ? 1 : 7)
        for (int r = 0; r < 6; r++) {
            describe(c, "n %lld, %lld rows", (long long)n, (long long)row_counts[r]);
            many_rows taken = take_rows(c, n, row_counts[r], (int)(n + r) % N_PLACEMENTS);
            check_dot_rows(c, &taken);
            check_axpy_rows(c, &taken);
        }
}

/* SPDX-License-Identifier: MIT
 *
 * A dense matrix on contiguous rows: groups of one.
 */
#include "tensor/products.h"

#include <assert.h>

void rm_linear(const rm_compute *compute, const rm_matrix *matrix, int64_t n, const rm_real *x,
               rm_real *y, bool add)
{
    rm_product product = {.n_rows = n,
                          .a = x,
                          .a_stride = matrix->in,
                          .b = &matrix->forward,
                          .c = y,
                          .c_stride = matrix->out,
                          .add = add};
    rm_product_grouped(compute, &product, 1);
}

void rm_linear_backward_input(const rm_compute *compute, const rm_matrix *matrix, int64_t n,
                              const rm_real *d_y, rm_real *d_x, bool add)
{
    rm_product product = {.n_rows = n,
                          .a = d_y,
                          .a_stride = matrix->out,
                          .b = &matrix->backward,
                          .c = d_x,
                          .c_stride = matrix->in,
                          .add = add};
    rm_product_grouped(compute, &product, 1);
}

void rm_linears_backward_input(const rm_compute *compute, const rm_matrix *const *matrices,
                               int n_matrices, int64_t n, const rm_real *const *d_y,
                               rm_real *d_x, bool add)
{
    rm_product_term terms[RM_LINEARS_MOST];
    assert(n_matrices >= 1 && n_matrices <= RM_LINEARS_MOST);
    for (int i = 0; i < n_matrices; i++)
        terms[i] = (rm_product_term){
            .a = d_y[i], .a_stride = matrices[i]->out, .b = &matrices[i]->backward};
    rm_product product = {.n_rows = n,
                          .a = terms[0].a,
                          .a_stride = terms[0].a_stride,
                          .b = terms[0].b,
                          .c = d_x,
                          .c_stride = matrices[0]->in,
                          .add = add,
                          .more = terms + 1,
                          .n_more = n_matrices - 1};
    rm_product_grouped(compute, &product, 1);
}

void rm_linear_backward_weight(const rm_compute *compute, const rm_matrix *matrix, int64_t n,
                               const rm_real *d_y, const rm_real *x, rm_sink sink)
{
    rm_outer term = {.n_rows = n,
                     .d_y = d_y,
                     .d_y_stride = matrix->out,
                     .x = x,
                     .x_stride = matrix->in,
                     .sink = sink};
    rm_outer_group group = {matrix->out, matrix->in, &term, 1};
    rm_outer_grouped(compute, matrix->forward.precision, &group, 1);
}

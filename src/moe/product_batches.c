/* SPDX-License-Identifier: MIT */
#include "moe/product_batches.h"

void rm_product_batch_add(rm_product_batch *batch, const rm_product *product)
{
    if (batch->n == RM_PRODUCTS_AT_ONCE) rm_product_batch_run(batch);
    batch->products[batch->n++] = *product;
}

void rm_product_batch_run(rm_product_batch *batch)
{
    if (batch->n) rm_product_grouped(batch->compute, batch->products, batch->n);
    batch->n = 0;
}

void rm_outer_batch_add(rm_outer_batch *batch, const rm_matrix *matrix, const rm_outer *term)
{
    if (batch->n_terms == RM_TERMS_AT_ONCE) rm_outer_batch_run(batch);
    if (batch->matrix != matrix) {
        batch->matrix = matrix;
        batch->groups[batch->n_groups++] =
            (rm_outer_group){matrix->out, matrix->in, &batch->terms[batch->n_terms], 0};
    }
    batch->terms[batch->n_terms++] = *term;
    batch->groups[batch->n_groups - 1].n_terms++;
}

void rm_outer_batch_run(rm_outer_batch *batch)
{
    if (batch->n_groups)
        rm_outer_grouped(batch->compute, batch->compute->precision, batch->groups,
                         batch->n_groups);
    batch->n_terms = batch->n_groups = 0;
    batch->matrix = NULL;
}

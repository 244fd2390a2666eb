/* SPDX-License-Identifier: MIT */
#include "moe/product_batches.h"

void rm_batch_room_layout(rm_batch_room *room, int64_t n_products, int64_t n_gradients,
                          int n_sources, rm_arena *arena)
{
    room->products = RM_TAKE(arena, n_products, rm_product);
    room->more = RM_TAKE(arena, n_products, rm_product_term);
    room->terms = RM_TAKE(arena, n_gradients * n_sources, rm_outer);
    room->groups = RM_TAKE(arena, n_gradients, rm_outer_group);
}

void rm_product_batch_add(rm_product_batch *batch, const rm_product *product)
{
    batch->room->products[batch->n++] = *product;
}

void rm_product_batch_add_sum(rm_product_batch *batch, const rm_product *product,
                              const rm_product_term *more)
{
    rm_product sum = *product;
    batch->room->more[batch->n] = *more;
    sum.more = &batch->room->more[batch->n];
    sum.n_more = 1;
    rm_product_batch_add(batch, &sum);
}

void rm_product_batch_run(rm_product_batch *batch)
{
    rm_product_grouped(batch->compute, batch->room->products, batch->n);
    batch->n = 0;
}

void rm_outer_batch_add(rm_outer_batch *batch, const rm_matrix *matrix, const rm_outer *term)
{
    rm_outer *place = &batch->room->terms[batch->n_terms++];
    *place = *term;
    if (batch->matrix != matrix) {
        batch->matrix = matrix;
        batch->room->groups[batch->n_groups++] =
            (rm_outer_group){matrix->out, matrix->in, place, 0};
    }
    batch->room->groups[batch->n_groups - 1].n_terms++;
}

void rm_outer_batch_run(rm_outer_batch *batch)
{
    rm_outer_grouped(batch->compute, batch->compute->precision, batch->room->groups,
                     batch->n_groups);
    batch->n_terms = batch->n_groups = 0;
    batch->matrix = NULL;
}

/* SPDX-License-Identifier: MIT
 *
 * The forward pass of SwiGLU experts: two grouped products over ragged rows.
 *
 *   gate = x Wg^T   up = x Wu^T   hidden = weight * silu(gate) * up       in one
 *   y = hidden Wd^T
 */
#include "moe/swiglu.h"

int64_t rm_swiglu_inner(const rm_swiglu_shape *shape)
{
    int64_t first;
    return rm_split(shape->d_ff, shape->tensor_ranks, shape->tensor_rank, &first);
}

void rm_swiglu_layout(rm_swiglu *swiglu, const rm_compute *compute,
                      const rm_swiglu_shape *shape, rm_arena *arena)
{
    rm_inner_cut cut = {0};
    if (shape->reproducible)
        cut = rm_inner_cut_of(shape->d_ff, 1, shape->tensor_ranks, shape->tensor_rank);
    rm_matrix_shape inwards = {.out = rm_swiglu_inner(shape),
                               .in = shape->d_model,
                               .precision = shape->precision,
                               .with_backward = shape->with_backward,
                               .out_cut = shape->with_backward ? cut : (rm_inner_cut){0}};
    rm_matrix_shape outwards = {.out = shape->d_model,
                                .in = inwards.out,
                                .precision = shape->precision,
                                .with_backward = shape->with_backward,
                                .in_cut = cut};
    rm_matrix_layout_shape(&swiglu->gate, compute, &inwards, arena);
    rm_matrix_layout_shape(&swiglu->up, compute, &inwards, arena);
    rm_matrix_layout_shape(&swiglu->down, compute, &outwards, arena);
}

int64_t rm_swiglu_hidden_elements(rm_swiglu_sizes sizes)
{
    return sizes.max_rows * sizes.d_ff;
}

void rm_swiglu_saved_layout(rm_swiglu_saved *saved, rm_swiglu_sizes sizes, bool with_backward,
                            rm_arena *arena)
{
    int64_t elements = rm_swiglu_hidden_elements(sizes);
    saved->hidden = sizes.borrows_hidden ? NULL : RM_TAKE(arena, elements, rm_real);
    saved->gate = with_backward ? RM_TAKE(arena, elements, rm_real) : saved->hidden;
    saved->up = with_backward ? RM_TAKE(arena, elements, rm_real) : saved->hidden;
    rm_batch_room_layout(&saved->room, sizes.n_experts,
                         with_backward ? 3 * (int64_t)sizes.n_experts : 0, sizes.n_sources,
                         arena);
}

/* hidden of all rows. */
static void run_gated_pairs(const rm_compute *compute, const rm_swiglu *experts,
                            const rm_swiglu_rows *rows, const rm_swiglu_saved *saved)
{
    rm_product_batch batch = {.compute = compute, .room = &saved->room};
    for (int e = 0; e < rows->n_experts; e++) {
        const rm_packed *gate = &experts[e].gate.forward;
        int64_t first = rows->offsets[e], at = first * gate->n;
        if (rows->offsets[e + 1] == first) continue;
        rm_product_batch_add(
            &batch, &(rm_product){.n_rows = rows->offsets[e + 1] - first,
                                  .a = rows->x_rows ? rows->x : rows->x + first * gate->k,
                                  .a_stride = gate->k,
                                  .a_rows = rows->x_rows ? rows->x_rows + first : NULL,
                                  .b = gate,
                                  .c = saved->gate + at,
                                  .c_stride = gate->n,
                                  .up = &experts[e].up.forward,
                                  .c_up = saved->up + at,
                                  .hidden = saved->hidden + at,
                                  .weights = rows->weights ? rows->weights + first : NULL});
    }
    rm_product_batch_run(&batch);
}

void rm_swiglu_forward(const rm_compute *compute, const rm_swiglu *experts,
                       const rm_swiglu_rows *rows, const rm_swiglu_saved *saved, rm_real *y,
                       const int32_t *y_rows)
{
    rm_product_batch batch = {.compute = compute, .room = &saved->room};
    run_gated_pairs(compute, experts, rows, saved);
    for (int e = 0; e < rows->n_experts; e++) {
        const rm_packed *down = &experts[e].down.forward;
        int64_t first = rows->offsets[e];
        if (rows->offsets[e + 1] == first) continue;
        rm_product_batch_add(&batch, &(rm_product){.n_rows = rows->offsets[e + 1] - first,
                                                   .a = saved->hidden + first * down->k,
                                                   .a_stride = down->k,
                                                   .b = down,
                                                   .c = y_rows ? y : y + first * down->n,
                                                   .c_stride = down->n,
                                                   .c_rows = y_rows ? y_rows + first : NULL});
    }
    rm_product_batch_run(&batch);
}

/* SPDX-License-Identifier: MIT
 *
 * The backward pass of SwiGLU experts, as grouped products and one element-wise pass:
 *
 *   dWd = dy^T hidden    u = dy Wd (over hidden)
 *   d_weight = sum(u * silu(gate) * up)    gate, up <- gradients with weight * u
 *   dWg = gate^T x    dWu = up^T x    dx = gate Wg + up Wu
 *
 * It needs no memory of its own: what is no longer needed is overwritten. Rows of dy and x are
 * found by index while they are packed.
 */
#include "moe/swiglu.h"

enum { ROWS_AT_ONCE = 8 };

/* One backward pass at work. */
typedef struct backward_pass {
    const rm_compute *compute;
    const rm_swiglu *experts;
    const rm_swiglu_rows *rows;
    const rm_swiglu_saved *saved;
    const rm_swiglu_gradients *gradients;
} backward_pass;

/* Rows of an operand, found through indices if there are any. */
typedef struct operand {
    const rm_real *data;
    const int32_t *rows;
} operand;

/* The operand's rows from `first` on: indices are shifted if there are any, else the pointer.
 */
static operand operand_from(operand from, int64_t first, int64_t width)
{
    return from.rows ? (operand){from.data, from.rows + first}
                     : (operand){from.data + first * width, NULL};
}

/* --- gradients of the inputs --- */

/* hidden <- u, the gradient of weight * silu(gate) * up. */
static void backward_down(const backward_pass *pass)
{
    rm_product_batch batch = {.compute = pass->compute, .room = &pass->saved->room};
    operand d_y = {pass->gradients->d_y, pass->gradients->d_y_rows};
    for (int e = 0; e < pass->rows->n_experts; e++) {
        const rm_packed *down = &pass->experts[e].down.backward;
        int64_t first = pass->rows->offsets[e];
        operand a = operand_from(d_y, first, down->k);
        rm_product_batch_add(&batch, &(rm_product){.n_rows = pass->rows->offsets[e + 1] - first,
                                                   .a = a.data,
                                                   .a_stride = down->k,
                                                   .a_rows = a.rows,
                                                   .b = down,
                                                   .c = pass->saved->hidden + first * down->n,
                                                   .c_stride = down->n});
    }
    rm_product_batch_run(&batch);
}

static void backward_silu_mul(const backward_pass *pass)
{
    const rm_swiglu_saved *saved = pass->saved;
    const rm_real *weights = pass->rows->weights;
    rm_real *d_weights = pass->gradients->d_weights;
    int64_t d_ff = pass->experts[0].gate.out,
            n_rows = pass->rows->offsets[pass->rows->n_experts];
#pragma omp parallel for num_threads(pass->compute->n_threads) schedule(dynamic, ROWS_AT_ONCE)
    for (int64_t i = 0; i < n_rows; i++) {
        rm_real *gate = saved->gate + i * d_ff, *up = saved->up + i * d_ff;
        rm_real d_weight = pass->compute->kernels->silu_mul_backward(
            d_ff, weights ? weights[i] : 1, gate, up, saved->hidden + i * d_ff, gate, up);
        if (d_weights) d_weights[i] = d_weight;
    }
}

/* d_x (+)= d W for one of gate and up, whose gradients d are in `d_rows`. */
static void backward_input(const backward_pass *pass, size_t member, const rm_real *d_rows,
                           bool add)
{
    rm_product_batch batch = {.compute = pass->compute, .room = &pass->saved->room};
    const rm_swiglu_gradients *gradients = pass->gradients;
    const int32_t *d_x_rows = gradients->d_x_rows;
    for (int e = 0; e < pass->rows->n_experts; e++) {
        const char *expert = (const char *)&pass->experts[e];
        const rm_packed *w = &((const rm_matrix *)(expert + member))->backward;
        int64_t first = pass->rows->offsets[e];
        rm_product_batch_add(&batch,
                             &(rm_product){.n_rows = pass->rows->offsets[e + 1] - first,
                                           .a = d_rows + first * w->k,
                                           .a_stride = w->k,
                                           .b = w,
                                           .c = gradients->d_x + (d_x_rows ? 0 : first * w->n),
                                           .c_stride = w->n,
                                           .c_rows = d_x_rows ? d_x_rows + first : NULL,
                                           .add = add});
    }
    rm_product_batch_run(&batch);
}

/* --- gradients of the weights --- */

/* One matrix of each expert: d_rows^T x over the runs of the expert's rows. */
typedef struct weight_gradient {
    size_t matrix, sink; /* offsets in rm_swiglu and rm_swiglu_sinks */
    operand d_rows, x;
} weight_gradient;

static void add_runs(rm_outer_batch *batch, const backward_pass *pass,
                     const weight_gradient *gradient, int expert)
{
    const rm_swiglu_gradients *gradients = pass->gradients;
    const char *swiglu = (const char *)&pass->experts[expert];
    const rm_matrix *matrix = (const rm_matrix *)(swiglu + gradient->matrix);
    int64_t first = pass->rows->offsets[expert];
    for (int s = 0; s < gradients->n_sources; s++) {
        const char *sinks =
            (const char *)&gradients->sinks[(int64_t)s * pass->rows->n_experts + expert];
        int64_t n = gradients->run_rows[(int64_t)expert * gradients->n_sources + s];
        operand d_y = operand_from(gradient->d_rows, first, matrix->out);
        operand x = operand_from(gradient->x, first, matrix->in);
        rm_outer_batch_add(batch, matrix,
                           &(rm_outer){.n_rows = n,
                                       .d_y = d_y.data,
                                       .d_y_stride = matrix->out,
                                       .d_y_rows = d_y.rows,
                                       .x = x.data,
                                       .x_stride = matrix->in,
                                       .x_rows = x.rows,
                                       .sink = *(const rm_sink *)(sinks + gradient->sink)});
        first += n;
    }
}

#define MEMBER(name) offsetof(rm_swiglu, name), offsetof(rm_swiglu_sinks, name)

static void backward_down_weights(const backward_pass *pass)
{
    rm_outer_batch batch = {.compute = pass->compute, .room = &pass->saved->room};
    const rm_swiglu_gradients *gradients = pass->gradients;
    weight_gradient down = {
        MEMBER(down), {gradients->d_y, gradients->d_y_rows}, {pass->saved->hidden, NULL}};
    for (int e = 0; e < pass->rows->n_experts; e++) add_runs(&batch, pass, &down, e);
    rm_outer_batch_run(&batch);
}

static void backward_gate_and_up_weights(const backward_pass *pass)
{
    rm_outer_batch batch = {.compute = pass->compute, .room = &pass->saved->room};
    operand x = {pass->rows->x, pass->rows->x_rows};
    weight_gradient gate = {MEMBER(gate), {pass->saved->gate, NULL}, x};
    weight_gradient up = {MEMBER(up), {pass->saved->up, NULL}, x};
    for (int e = 0; e < pass->rows->n_experts; e++) {
        add_runs(&batch, pass, &gate, e);
        add_runs(&batch, pass, &up, e);
    }
    rm_outer_batch_run(&batch);
}

void rm_swiglu_backward(const rm_compute *compute, const rm_swiglu *experts,
                        const rm_swiglu_rows *rows, const rm_swiglu_saved *saved,
                        const rm_swiglu_gradients *gradients)
{
    const backward_pass pass = {compute, experts, rows, saved, gradients};
    backward_down_weights(&pass);
    backward_down(&pass);
    backward_silu_mul(&pass);
    backward_gate_and_up_weights(&pass);
    backward_input(&pass, offsetof(rm_swiglu, gate), saved->gate, gradients->add);
    backward_input(&pass, offsetof(rm_swiglu, up), saved->up, true);
}

/* SPDX-License-Identifier: MIT
 *
 * The backward pass of SwiGLU experts, as grouped products and one element-wise pass:
 *
 *   u = dy Wd (over hidden)
 *   d_weight = sum(u * silu(gate) * up)
 *   hidden = weight * silu(gate) * up, again    gate, up <- gradients with weight * u
 *   dx = gate Wg + up Wu
 *   dWd = dy^T hidden    dWg = gate^T x    dWu = up^T x
 *
 * It needs no memory of its own: what is no longer needed is overwritten. Rows of dy and x are
 * found by index while they are packed.
 */
#include "moe/swiglu.h"

#include <string.h>

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

/* u, gate and up of a row become hidden and the gradients of gate and up. */
static rm_real backward_row(const backward_pass *pass, int64_t row, rm_real weight)
{
    const rm_kernels *kernels = pass->compute->kernels;
    int64_t d_ff = pass->experts[0].gate.out, at = row * d_ff;
    rm_real *gate = pass->saved->gate + at, *up = pass->saved->up + at;
    rm_real *hidden = pass->saved->hidden + at, *again = rm_compute_scratch(pass->compute);
    kernels->silu_mul(d_ff, weight, gate, up, again);
    rm_real d_weight = kernels->silu_mul_backward(d_ff, weight, gate, up, hidden, gate, up);
    memcpy(hidden, again, (size_t)d_ff * sizeof *again);
    return d_weight;
}

static void backward_silu_mul(const backward_pass *pass)
{
    const rm_real *weights = pass->rows->weights;
    rm_real *d_weights = pass->gradients->d_weights;
    const int64_t *offsets = pass->rows->offsets;
#pragma omp parallel for num_threads(pass->compute->n_threads) schedule(dynamic, ROWS_AT_ONCE)
    for (int64_t i = offsets[0]; i < offsets[pass->rows->n_experts]; i++) {
        rm_real d_weight = backward_row(pass, i, weights ? weights[i] : 1);
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
        int64_t run = (int64_t)expert * gradients->n_sources + s, n = gradients->run_rows[run];
        if (gradients->run_first) first = gradients->run_first[run];
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

/* All matrices of all experts in one batch. */
static void backward_all_weights(const backward_pass *pass)
{
    rm_outer_batch batch = {.compute = pass->compute, .room = &pass->saved->room};
    operand x = {pass->rows->x, pass->rows->x_rows};
    operand d_y = {pass->gradients->d_y, pass->gradients->d_y_rows};
    weight_gradient gradients[] = {{MEMBER(gate), {pass->saved->gate, NULL}, x},
                                   {MEMBER(up), {pass->saved->up, NULL}, x},
                                   {MEMBER(down), d_y, {pass->saved->hidden, NULL}}};
    for (int e = 0; e < pass->rows->n_experts; e++)
        for (int i = 0; i < 3; i++) add_runs(&batch, pass, &gradients[i], e);
    rm_outer_batch_run(&batch);
}

/* --- all of it --- */

static void backward_hidden(const backward_pass *pass)
{
    backward_down(pass);
    backward_silu_mul(pass);
}

static void backward_all_inputs(const backward_pass *pass)
{
    backward_input(pass, offsetof(rm_swiglu, gate), pass->saved->gate, pass->gradients->add);
    backward_input(pass, offsetof(rm_swiglu, up), pass->saved->up, true);
}

void rm_swiglu_backward(const rm_compute *compute, const rm_swiglu *experts,
                        const rm_swiglu_rows *rows, const rm_swiglu_saved *saved,
                        const rm_swiglu_gradients *gradients)
{
    const backward_pass pass = {compute, experts, rows, saved, gradients};
    backward_hidden(&pass);
    backward_all_weights(&pass);
    backward_all_inputs(&pass);
}

void rm_swiglu_backward_inputs(const rm_compute *compute, const rm_swiglu *experts,
                               const rm_swiglu_rows *rows, const rm_swiglu_saved *saved,
                               const rm_swiglu_gradients *gradients)
{
    const backward_pass pass = {compute, experts, rows, saved, gradients};
    backward_hidden(&pass);
    backward_all_inputs(&pass);
}

void rm_swiglu_backward_weights(const rm_compute *compute, const rm_swiglu *experts,
                                const rm_swiglu_rows *rows, const rm_swiglu_saved *saved,
                                const rm_swiglu_gradients *gradients)
{
    const backward_pass pass = {compute, experts, rows, saved, gradients};
    backward_all_weights(&pass);
}

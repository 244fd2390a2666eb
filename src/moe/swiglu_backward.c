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

/* Columns [first, first + n) of the row that begins at `row`: u, gate and up become hidden and
 * the gradients of gate and up. Returns their part of the weight's gradient. */
static rm_real backward_columns(const backward_pass *pass, int64_t row, rm_real weight,
                                int64_t first, int64_t n)
{
    const rm_kernels *kernels = pass->compute->kernels;
    rm_real *gate = pass->saved->gate + row + first, *up = pass->saved->up + row + first;
    rm_real *hidden = pass->saved->hidden + row + first;
    rm_real *again = rm_compute_scratch(pass->compute);
    kernels->silu_mul(n, weight, gate, up, again);
    rm_real d_weight = kernels->silu_mul_backward(n, weight, gate, up, hidden, gate, up);
    memcpy(hidden, again, (size_t)n * sizeof *again);
    return d_weight;
}

/* A whole row; the weight's gradient is summed block by block where d_ff is cut. */
static rm_real backward_row(const backward_pass *pass, int64_t row, rm_real weight)
{
    const rm_packed *inner = &pass->experts[0].gate.backward;
    rm_real sums[RM_INNER_BLOCKS];
    int n_sums = 0;
    for (int b = 0; b < rm_packed_n_blocks(inner); b++) {
        int64_t first = rm_packed_bound(inner, b), end = rm_packed_bound(inner, b + 1);
        sums[n_sums++] = backward_columns(pass, row * inner->k, weight, first, end - first);
        for (int joins = rm_inner_joins(b); joins > 0; joins--, n_sums--)
            sums[n_sums - 2] += sums[n_sums - 1];
    }
    return sums[0];
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

/* A row of one of gate and up has its gradient in `d_rows`. */
static rm_product_term input_term(const rm_packed *w, const rm_real *d_rows, int64_t first)
{
    return (rm_product_term){.a = d_rows + first * w->k, .a_stride = w->k, .b = w};
}

/* d_x (+)= the term, of the expert's rows. */
static rm_product input_product(const backward_pass *pass, int expert, rm_product_term term,
                                bool add)
{
    const rm_swiglu_gradients *gradients = pass->gradients;
    const int32_t *d_x_rows = gradients->d_x_rows;
    int64_t first = pass->rows->offsets[expert];
    return (rm_product){.n_rows = pass->rows->offsets[expert + 1] - first,
                        .a = term.a,
                        .a_stride = term.a_stride,
                        .b = term.b,
                        .c = gradients->d_x + (d_x_rows ? 0 : first * term.b->n),
                        .c_stride = term.b->n,
                        .c_rows = d_x_rows ? d_x_rows + first : NULL,
                        .add = add};
}

/* d_x (+)= gate Wg + up Wu, as one sum of blocks. */
static void backward_inputs_by_blocks(const backward_pass *pass)
{
    rm_product_batch batch = {.compute = pass->compute, .room = &pass->saved->room};
    for (int e = 0; e < pass->rows->n_experts; e++) {
        const rm_swiglu *expert = &pass->experts[e];
        int64_t first = pass->rows->offsets[e];
        rm_product_term gate = input_term(&expert->gate.backward, pass->saved->gate, first);
        rm_product_term up = input_term(&expert->up.backward, pass->saved->up, first);
        rm_product product = input_product(pass, e, gate, pass->gradients->add);
        rm_product_batch_add_sum(&batch, &product, &up);
    }
    rm_product_batch_run(&batch);
}

/* d_x (+)= d W for one of gate and up. */
static void backward_input(const backward_pass *pass, size_t member, const rm_real *d_rows,
                           bool add)
{
    rm_product_batch batch = {.compute = pass->compute, .room = &pass->saved->room};
    for (int e = 0; e < pass->rows->n_experts; e++) {
        const char *expert = (const char *)&pass->experts[e];
        const rm_packed *w = &((const rm_matrix *)(expert + member))->backward;
        rm_product_term term = input_term(w, d_rows, pass->rows->offsets[e]);
        rm_product product = input_product(pass, e, term, add);
        rm_product_batch_add(&batch, &product);
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

static bool is_skipped(const rm_swiglu_gradients *gradients, int expert)
{
    for (int i = 0; i < gradients->n_skipped; i++)
        if (gradients->skipped[i] == expert) return true;
    return false;
}

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
        for (int i = 0; i < 3 && !is_skipped(pass->gradients, e); i++)
            add_runs(&batch, pass, &gradients[i], e);
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
    if (pass->experts[0].gate.backward.cut.n) {
        backward_inputs_by_blocks(pass);
        return;
    }
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

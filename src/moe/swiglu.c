/* SPDX-License-Identifier: MIT
 *
 * SwiGLU experts, as grouped products over ragged rows with element-wise passes between them.
 *
 *   forward    gate = x Wg^T   up = x Wu^T   hidden = silu(gate) * up   y = hidden Wd^T
 *   backward   dWd = dy^T hidden    hidden <- dy Wd    gate, up <- their gradients
 *              dx = gate Wg + up Wu    dWg = gate^T x    dWu = up^T x
 *
 * The backward pass needs no memory of its own: what is no longer needed is overwritten.
 */
#include "moe/swiglu.h"

/* Groups handed to one grouped call: enough to balance threads, small enough for the stack. */
enum { PRODUCTS_AT_ONCE = 64, TERMS_AT_ONCE = 128, ROWS_AT_ONCE = 8 };

void rm_swiglu_saved_layout(rm_swiglu_saved *saved, int64_t max_rows, int64_t d_ff,
                            bool with_backward, rm_arena *arena)
{
    int64_t elements = max_rows * d_ff;
    saved->gate = RM_TAKE(arena, elements, rm_real);
    saved->up = RM_TAKE(arena, elements, rm_real);
    saved->hidden = with_backward ? RM_TAKE(arena, elements, rm_real) : saved->gate;
}

/* --- products --- */

/* Products collected until there are enough for a grouped call. */
typedef struct product_batch {
    const rm_compute *compute;
    int n;
    rm_product products[PRODUCTS_AT_ONCE];
} product_batch;

static void flush_products(product_batch *batch)
{
    if (batch->n) rm_product_grouped(batch->compute, batch->products, batch->n);
    batch->n = 0;
}

static void add_product(product_batch *batch, const rm_product *product)
{
    if (batch->n == PRODUCTS_AT_ONCE) flush_products(batch);
    batch->products[batch->n++] = *product;
}

/* Rows [first, first + n) of an array of `width` columns, found through indices if there are
 * any: the indices are shifted then, else the pointer is. */
static const rm_real *rows_from(const rm_real *data, const int32_t *rows, int64_t first,
                                int64_t width)
{
    return rows ? data : data + first * width;
}

static rm_real *rows_to(rm_real *data, const int32_t *rows, int64_t first, int64_t width)
{
    return rows ? data : data + first * width;
}

static const int32_t *indices_from(const int32_t *rows, int64_t first)
{
    return rows ? rows + first : NULL;
}

/* C rows = A rows * B for rows [first, first + n) of an expert. */
static void add_rows(product_batch *batch, int64_t first, int64_t n, const rm_packed *b,
                     const rm_real *a, const int32_t *a_rows, rm_real *c, const int32_t *c_rows,
                     bool add)
{
    rm_product product = {.n_rows = n,
                          .a = rows_from(a, a_rows, first, b->k),
                          .a_stride = b->k,
                          .a_rows = indices_from(a_rows, first),
                          .b = b,
                          .c = rows_to(c, c_rows, first, b->n),
                          .c_stride = b->n,
                          .c_rows = indices_from(c_rows, first),
                          .add = add};
    add_product(batch, &product);
}

static void silu_mul_rows(const rm_compute *compute, int64_t n_rows, int64_t d_ff,
                          const rm_swiglu_saved *saved)
{
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, ROWS_AT_ONCE)
    for (int64_t i = 0; i < n_rows; i++)
        compute->kernels->silu_mul(d_ff, saved->gate + i * d_ff, saved->up + i * d_ff,
                                   saved->hidden + i * d_ff);
}

void rm_swiglu_forward(const rm_compute *compute, const rm_swiglu *experts, int n_experts,
                       const int64_t *offsets, const rm_real *x, const int32_t *x_rows,
                       rm_swiglu_saved *saved, rm_real *y, const int32_t *y_rows)
{
    product_batch batch = {.compute = compute};
    for (int e = 0; e < n_experts; e++) {
        int64_t first = offsets[e], n = offsets[e + 1] - first;
        add_rows(&batch, first, n, &experts[e].gate.forward, x, x_rows, saved->gate, NULL,
                 false);
        add_rows(&batch, first, n, &experts[e].up.forward, x, x_rows, saved->up, NULL, false);
    }
    flush_products(&batch);
    silu_mul_rows(compute, offsets[n_experts], experts[0].gate.out, saved);
    for (int e = 0; e < n_experts; e++)
        add_rows(&batch, offsets[e], offsets[e + 1] - offsets[e], &experts[e].down.forward,
                 saved->hidden, NULL, y, y_rows, false);
    flush_products(&batch);
}

/* --- gradients of the inputs --- */

/* hidden <- its gradient, then gate and up <- theirs. */
static void backward_hidden(const rm_compute *compute, const rm_swiglu *experts, int n_experts,
                            const int64_t *offsets, const rm_swiglu_saved *saved,
                            const rm_real *d_y)
{
    product_batch batch = {.compute = compute};
    for (int e = 0; e < n_experts; e++)
        add_rows(&batch, offsets[e], offsets[e + 1] - offsets[e], &experts[e].down.backward,
                 d_y, NULL, saved->hidden, NULL, false);
    flush_products(&batch);

    int64_t d_ff = experts[0].gate.out;
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, ROWS_AT_ONCE)
    for (int64_t i = 0; i < offsets[n_experts]; i++) {
        rm_real *gate = saved->gate + i * d_ff, *up = saved->up + i * d_ff;
        compute->kernels->silu_mul_backward(d_ff, gate, up, saved->hidden + i * d_ff, gate, up);
    }
}

/* d_x = d_gate Wg, and then + d_up Wu. */
static void backward_x(const rm_compute *compute, const rm_swiglu *experts, int n_experts,
                       const int64_t *offsets, const rm_swiglu_saved *saved, rm_real *d_x,
                       const int32_t *d_x_rows)
{
    product_batch batch = {.compute = compute};
    for (int e = 0; e < n_experts; e++)
        add_rows(&batch, offsets[e], offsets[e + 1] - offsets[e], &experts[e].gate.backward,
                 saved->gate, NULL, d_x, d_x_rows, false);
    flush_products(&batch);
    for (int e = 0; e < n_experts; e++)
        add_rows(&batch, offsets[e], offsets[e + 1] - offsets[e], &experts[e].up.backward,
                 saved->up, NULL, d_x, d_x_rows, true);
    flush_products(&batch);
}

/* --- gradients of the weights --- */

/* Terms collected until there are enough for a grouped call. A matrix whose terms do not fit is
 * continued in the next call, which keeps their order. */
typedef struct outer_batch {
    const rm_compute *compute;
    int n_terms, n_groups;
    rm_outer terms[TERMS_AT_ONCE];
    rm_outer_group groups[TERMS_AT_ONCE];
} outer_batch;

static void flush_outers(outer_batch *batch)
{
    if (batch->n_groups)
        rm_outer_grouped(batch->compute, batch->compute->precision, batch->groups,
                         batch->n_groups);
    batch->n_terms = batch->n_groups = 0;
}

/* One matrix's gradient: d_rows^T x over the runs of one expert. d_rows are contiguous. */
typedef struct weight_runs {
    const rm_matrix *matrix;
    const rm_real *d_rows;
    const rm_real *x;
    const int32_t *x_rows;
    int64_t first; /* of the expert's rows */
    int n_sources;
    const int64_t *run_rows; /* [n_sources] */
    const rm_swiglu_sinks *sinks;
    int sink_stride;    /* from one source's sinks to the next */
    size_t sink_member; /* offset of gate, up or down in rm_swiglu_sinks */
} weight_runs;

static rm_sink sink_of(const weight_runs *runs, int source)
{
    const rm_swiglu_sinks *sinks = runs->sinks + (int64_t)source * runs->sink_stride;
    return *(const rm_sink *)((const char *)sinks + runs->sink_member);
}

static void add_runs(outer_batch *batch, const weight_runs *runs)
{
    int64_t out = runs->matrix->out, in = runs->matrix->in, first = runs->first;
    rm_outer_group *group = NULL;
    for (int s = 0; s < runs->n_sources; s++) {
        if (batch->n_terms == TERMS_AT_ONCE) flush_outers(batch), group = NULL;
        if (!group) {
            group = &batch->groups[batch->n_groups++];
            *group = (rm_outer_group){out, in, &batch->terms[batch->n_terms], 0};
        }
        batch->terms[batch->n_terms++] =
            (rm_outer){.n_rows = runs->run_rows[s],
                       .d_y = runs->d_rows + first * out,
                       .d_y_stride = out,
                       .x = rows_from(runs->x, runs->x_rows, first, in),
                       .x_stride = in,
                       .x_rows = indices_from(runs->x_rows, first),
                       .sink = sink_of(runs, s)};
        group->n_terms++;
        first += runs->run_rows[s];
    }
}

void rm_swiglu_backward(const rm_compute *compute, const rm_swiglu *experts, int n_experts,
                        const int64_t *offsets, const rm_real *x, const int32_t *x_rows,
                        const rm_swiglu_saved *saved, const rm_real *d_y, rm_real *d_x,
                        const int32_t *d_x_rows, int n_sources, const int64_t *run_rows,
                        const rm_swiglu_sinks *sinks)
{
    outer_batch batch = {.compute = compute};
    for (int e = 0; e < n_experts; e++)
        add_runs(&batch, &(weight_runs){&experts[e].down, d_y, saved->hidden, NULL, offsets[e],
                                        n_sources, run_rows + (int64_t)e * n_sources, sinks + e,
                                        n_experts, offsetof(rm_swiglu_sinks, down)});
    flush_outers(&batch);
    backward_hidden(compute, experts, n_experts, offsets, saved, d_y);
    for (int e = 0; e < n_experts; e++) {
        weight_runs runs = {&experts[e].gate,
                            saved->gate,
                            x,
                            x_rows,
                            offsets[e],
                            n_sources,
                            run_rows + (int64_t)e * n_sources,
                            sinks + e,
                            n_experts,
                            offsetof(rm_swiglu_sinks, gate)};
        add_runs(&batch, &runs);
        runs.matrix = &experts[e].up;
        runs.d_rows = saved->up;
        runs.sink_member = offsetof(rm_swiglu_sinks, up);
        add_runs(&batch, &runs);
    }
    flush_outers(&batch);
    backward_x(compute, experts, n_experts, offsets, saved, d_x, d_x_rows);
}

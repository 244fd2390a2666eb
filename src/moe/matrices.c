/* SPDX-License-Identifier: MIT
 *
 * The public grouped products (include/ringmoe/products.h): packed matrices of one shape, and
 * checks of the arguments before the drivers of tensor/products.h run.
 */
#include <ringmoe/products.h>

#include <stdlib.h>

#include "comm/context.h"
#include "moe/product_batches.h"

struct ringmoe_matrices {
    ringmoe_context *context;
    int n;
    int64_t n_out, n_in;
    ringmoe_precision precision;
    bool with_backward, is_packed;
    rm_arena arena;
    rm_matrix *matrices, **list; /* [n] each */
    rm_batch_room room;
};

/* --- life --- */

static ringmoe_status check_shape(ringmoe_context *context, int n, int64_t n_out, int64_t n_in)
{
    if (n >= 1 && n_out >= 1 && n_out <= INT32_MAX && n_in >= 1 && n_in <= INT32_MAX)
        return RINGMOE_OK;
    return rm_fail(&context->error, RINGMOE_ERROR_ARGUMENT,
                   "%d matrices of %lld x %lld; there must be at least one, and each side "
                   "1..%d",
                   n, (long long)n_out, (long long)n_in, INT32_MAX);
}

static void layout(ringmoe_matrices *set, rm_arena *arena)
{
    const rm_compute *compute = &set->context->compute;
    set->matrices = RM_TAKE(arena, set->n, rm_matrix);
    set->list = RM_TAKE(arena, set->n, rm_matrix *);
    rm_batch_room_layout(&set->room, set->n, set->n, 1, arena);
    for (int i = 0; i < set->n && !arena->overflow; i++) {
        rm_matrix unused, *matrix = set->matrices ? &set->matrices[i] : &unused;
        rm_matrix_layout(matrix, compute, set->n_out, set->n_in, set->precision,
                         set->with_backward, arena);
        if (set->list) set->list[i] = matrix;
    }
}

static ringmoe_status build(ringmoe_matrices *set)
{
    rm_arena measure = {0};
    layout(set, &measure);
    set->arena.overflow = measure.overflow;
    RM_TRY(rm_arena_reserve(&set->arena, measure.used, &set->context->error));
    layout(set, &set->arena);
    return RINGMOE_OK;
}

static ringmoe_status create_set(const ringmoe_matrices *wanted, ringmoe_matrices **matrices)
{
    ringmoe_context *context = wanted->context;
    if (!matrices)
        return rm_fail(&context->error, RINGMOE_ERROR_ARGUMENT,
                       "the place for the new matrices is NULL");
    RM_TRY(check_shape(context, wanted->n, wanted->n_out, wanted->n_in));
    ringmoe_matrices *set = calloc(1, sizeof *set);
    if (!set)
        return rm_fail(&context->error, RINGMOE_ERROR_MEMORY, "no memory for %d matrices",
                       wanted->n);
    *set = *wanted;
    ringmoe_status status = build(set);
    if (status == RINGMOE_OK)
        *matrices = set;
    else
        ringmoe_matrices_destroy(&set);
    return status;
}

ringmoe_status ringmoe_matrices_create(ringmoe_context *context, int n, int64_t n_out,
                                       int64_t n_in, int with_backward,
                                       ringmoe_matrices **matrices)
{
    if (matrices) *matrices = NULL;
    if (!context) return RINGMOE_ERROR_ARGUMENT;
    return create_set(&(ringmoe_matrices){.context = context,
                                          .n = n,
                                          .n_out = n_out,
                                          .n_in = n_in,
                                          .precision = context->compute.precision,
                                          .with_backward = with_backward != 0},
                      matrices);
}

ringmoe_status ringmoe_matrices_create_in(ringmoe_context *context, int n, int64_t n_out,
                                          int64_t n_in, ringmoe_precision precision,
                                          ringmoe_matrices **matrices)
{
    if (matrices) *matrices = NULL;
    if (!context) return RINGMOE_ERROR_ARGUMENT;
    if ((int)precision < RINGMOE_PRECISION_FP32 || precision > RINGMOE_PRECISION_Q4_0)
        return rm_fail(&context->error, RINGMOE_ERROR_ARGUMENT,
                       "precision is %d; it must be 0 (fp32), 1 (bf16), 2 (Q8_0) or 3 (Q4_0)",
                       (int)precision);
    return create_set(
        &(ringmoe_matrices){
            .context = context, .n = n, .n_out = n_out, .n_in = n_in, .precision = precision},
        matrices);
}

void ringmoe_matrices_destroy(ringmoe_matrices **matrices)
{
    if (!matrices || !*matrices) return;
    rm_arena_free(&(*matrices)->arena);
    free(*matrices);
    *matrices = NULL;
}

ringmoe_status ringmoe_matrices_pack(ringmoe_matrices *set, const ringmoe_real *weights)
{
    if (!set) return RINGMOE_ERROR_ARGUMENT;
    if (!weights)
        return rm_fail(&set->context->error, RINGMOE_ERROR_ARGUMENT,
                       "the weights of %d matrices to pack are NULL", set->n);
    for (int i = 0; i < set->n; i++)
        set->matrices[i].weights = weights + i * set->n_out * set->n_in;
    rm_matrices_pack(&set->context->compute, set->list, set->n);
    for (int i = 0; i < set->n; i++) set->matrices[i].weights = NULL;
    set->is_packed = true;
    return RINGMOE_OK;
}

/* --- checks --- */

static ringmoe_status check_offsets(const ringmoe_matrices *set, const int64_t *offsets)
{
    rm_error *error = &set->context->error;
    if (!offsets || offsets[0] != 0)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "offsets must be %d numbers that ascend from 0; %s", set->n + 1,
                       offsets ? "the first is not 0" : "they are NULL");
    for (int e = 0; e < set->n; e++)
        if (offsets[e + 1] < offsets[e])
            return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                           "offsets[%d] is %lld, less than the %lld before it; offsets ascend",
                           e + 1, (long long)offsets[e + 1], (long long)offsets[e]);
    return RINGMOE_OK;
}

/* Rows of an argument that is called `name`, found by index if there are indices. */
typedef struct rows_argument {
    const char *name;
    const rm_real *data;
    const int32_t *rows;
} rows_argument;

static ringmoe_status check_rows(const ringmoe_matrices *set, int64_t n_rows,
                                 rows_argument argument)
{
    rm_error *error = &set->context->error;
    if (n_rows > 0 && !argument.data)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "%s is NULL; the groups have %lld rows",
                       argument.name, (long long)n_rows);
    for (int64_t i = 0; argument.rows && i < n_rows; i++)
        if (argument.rows[i] < 0)
            return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                           "%s_rows[%lld] is %d; a row's index must not be negative",
                           argument.name, (long long)i, (int)argument.rows[i]);
    return RINGMOE_OK;
}

static ringmoe_status check_call(const ringmoe_matrices *set, const int64_t *offsets,
                                 rows_argument first, rows_argument second)
{
    RM_TRY(check_offsets(set, offsets));
    RM_TRY(check_rows(set, offsets[set->n], first));
    return check_rows(set, offsets[set->n], second);
}

static ringmoe_status check_packed(const ringmoe_matrices *set, bool backward)
{
    if (backward && !set->with_backward)
        return rm_fail(&set->context->error, RINGMOE_ERROR_STATE,
                       "these matrices were made without with_backward, for forward products "
                       "alone");
    if (!set->is_packed)
        return rm_fail(&set->context->error, RINGMOE_ERROR_STATE,
                       "no weights have been packed; call ringmoe_matrices_pack first");
    return RINGMOE_OK;
}

/* --- products --- */

static const rm_real *read_from(rows_argument argument, int64_t first, int64_t width)
{
    return argument.rows ? argument.data : argument.data + first * width;
}

static const int32_t *rows_from(const int32_t *rows, int64_t first)
{
    return rows ? rows + first : NULL;
}

/* C rows = A rows * B, B being the forward or the backward form of each matrix. */
static void multiply(const ringmoe_matrices *set, bool backward, const int64_t *offsets,
                     rows_argument a, rm_real *c, const int32_t *c_rows)
{
    rm_product_batch batch = {.compute = &set->context->compute, .room = &set->room};
    for (int e = 0; e < set->n; e++) {
        const rm_matrix *matrix = &set->matrices[e];
        const rm_packed *b = backward ? &matrix->backward : &matrix->forward;
        int64_t first = offsets[e], n = offsets[e + 1] - first;
        if (n == 0) continue;
        rm_product_batch_add(&batch, &(rm_product){.n_rows = n,
                                                   .a = read_from(a, first, b->k),
                                                   .a_stride = b->k,
                                                   .a_rows = rows_from(a.rows, first),
                                                   .b = b,
                                                   .c = c_rows ? c : c + first * b->n,
                                                   .c_stride = b->n,
                                                   .c_rows = rows_from(c_rows, first)});
    }
    rm_product_batch_run(&batch);
}

ringmoe_status ringmoe_matrices_forward(ringmoe_matrices *set, const int64_t *offsets,
                                        const ringmoe_real *x, const int32_t *x_rows,
                                        ringmoe_real *y, const int32_t *y_rows)
{
    if (!set) return RINGMOE_ERROR_ARGUMENT;
    rows_argument input = {"x", x, x_rows};
    RM_TRY(check_packed(set, false));
    RM_TRY(check_call(set, offsets, input, (rows_argument){"y", y, y_rows}));
    multiply(set, false, offsets, input, y, y_rows);
    return RINGMOE_OK;
}

ringmoe_status ringmoe_matrices_backward_input(ringmoe_matrices *set, const int64_t *offsets,
                                               const ringmoe_real *d_y, const int32_t *d_y_rows,
                                               ringmoe_real *d_x, const int32_t *d_x_rows)
{
    if (!set) return RINGMOE_ERROR_ARGUMENT;
    rows_argument input = {"d_y", d_y, d_y_rows};
    RM_TRY(check_packed(set, true));
    RM_TRY(check_call(set, offsets, input, (rows_argument){"d_x", d_x, d_x_rows}));
    multiply(set, true, offsets, input, d_x, d_x_rows);
    return RINGMOE_OK;
}

static void multiply_outer(const ringmoe_matrices *set, const int64_t *offsets,
                           rows_argument d_y, rows_argument x, bool add, rm_real *d_w)
{
    rm_outer_batch batch = {.compute = &set->context->compute, .room = &set->room};
    for (int e = 0; e < set->n; e++) {
        int64_t first = offsets[e], n = offsets[e + 1] - first;
        rm_sink sink = {d_w + e * set->n_out * set->n_in, add};
        rm_outer term = {.n_rows = n, .sink = sink};
        if (n > 0)
            term = (rm_outer){.n_rows = n,
                              .d_y = read_from(d_y, first, set->n_out),
                              .d_y_stride = set->n_out,
                              .d_y_rows = rows_from(d_y.rows, first),
                              .x = read_from(x, first, set->n_in),
                              .x_stride = set->n_in,
                              .x_rows = rows_from(x.rows, first),
                              .sink = sink};
        rm_outer_batch_add(&batch, &set->matrices[e], &term);
    }
    rm_outer_batch_run(&batch);
}

ringmoe_status ringmoe_matrices_backward_weight(ringmoe_matrices *set, const int64_t *offsets,
                                                const ringmoe_real *d_y,
                                                const int32_t *d_y_rows, const ringmoe_real *x,
                                                const int32_t *x_rows, int add,
                                                ringmoe_real *d_w)
{
    if (!set) return RINGMOE_ERROR_ARGUMENT;
    rows_argument gradient = {"d_y", d_y, d_y_rows}, input = {"x", x, x_rows};
    RM_TRY(check_call(set, offsets, gradient, input));
    if (!d_w)
        return rm_fail(&set->context->error, RINGMOE_ERROR_ARGUMENT,
                       "the place for %d weight gradients is NULL", set->n);
    multiply_outer(set, offsets, gradient, input, add != 0, d_w);
    return RINGMOE_OK;
}

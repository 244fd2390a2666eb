/* SPDX-License-Identifier: MIT
 *
 * The public grouped products: values against plain loops in double, rows that do not depend on
 * one another, and what is refused, with its line.
 */
#include <ringmoe.h>

#include "naive.h"

enum { MATRICES = 5, OUT = 37, IN = 300, ROWS = 30, SPREAD = 2 };

/* Ragged: the first and one in the middle have no rows. */
static const int64_t offsets[MATRICES + 1] = {0, 0, 7, 8, 8, ROWS};

typedef struct fixture {
    ringmoe_context *context;
    ringmoe_matrices *matrices;
    ringmoe_precision precision;
    rm_real *weights, *x, *d_y; /* rows of x and d_y are spread over SPREAD times as many */
    int32_t x_rows[ROWS], d_y_rows[ROWS];
} fixture;

static fixture create(ringmoe_precision precision, int with_backward)
{
    fixture f = {.precision = precision};
    ringmoe_context_settings settings;
    ringmoe_context_settings_default(&settings);
    settings.precision = precision;
    settings.n_threads = 2;
    assert_int_equal(ringmoe_context_create(MPI_COMM_SELF, &settings, &f.context), RINGMOE_OK);
    assert_int_equal(
        ringmoe_matrices_create(f.context, MATRICES, OUT, IN, with_backward, &f.matrices),
        RINGMOE_OK);
    f.weights = naive_random(1, MATRICES * OUT * IN);
    f.x = naive_random(2, ROWS * SPREAD * IN);
    f.d_y = naive_random(3, ROWS * SPREAD * OUT);
    for (int i = 0; i < ROWS; i++) {
        f.x_rows[i] = SPREAD * (i * 7 % ROWS);
        f.d_y_rows[i] = SPREAD * (ROWS - 1 - i) + 1;
    }
    assert_int_equal(ringmoe_matrices_pack(f.matrices, f.weights), RINGMOE_OK);
    return f;
}

static void destroy(fixture *f)
{
    ringmoe_matrices_destroy(&f->matrices);
    ringmoe_context_destroy(&f->context);
    free(f->weights);
    free(f->x);
    free(f->d_y);
}

static int matrix_of(int row)
{
    int e = 0;
    while (row >= offsets[e + 1]) e++;
    return e;
}

/* sum over p of a[p * a_step] * b[p * b_step] as the products round their operands. */
static naive_sum plain_dot(const fixture *f, int64_t n, const rm_real *a, int64_t a_step,
                           const rm_real *b, int64_t b_step)
{
    naive_sum sum = {0};
    for (int64_t p = 0; p < n; p++)
        naive_add(&sum, naive_operand(a[p * a_step], f->precision) *
                            naive_operand(b[p * b_step], f->precision));
    return sum;
}

/* Rows of x are gathered, and those of y scattered over the places of d_y. */
static void check_forward(fixture *f)
{
    rm_real *y = naive_allocate(ROWS * SPREAD * OUT, sizeof *y);
    assert_int_equal(
        ringmoe_matrices_forward(f->matrices, offsets, f->x, f->x_rows, y, f->d_y_rows),
        RINGMOE_OK);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < OUT; j++)
            naive_check(y[f->d_y_rows[i] * OUT + j],
                        plain_dot(f, IN, f->x + f->x_rows[i] * IN, 1,
                                  f->weights + (matrix_of(i) * OUT + j) * IN, 1));
    for (int j = 0; j < OUT; j++) assert_true(y[j] == 0);
    free(y);
}

static void check_backward_input(fixture *f)
{
    rm_real *d_x = naive_allocate(ROWS * IN, sizeof *d_x);
    assert_int_equal(
        ringmoe_matrices_backward_input(f->matrices, offsets, f->d_y, f->d_y_rows, d_x, NULL),
        RINGMOE_OK);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < IN; j++)
            naive_check(d_x[i * IN + j],
                        plain_dot(f, OUT, f->d_y + f->d_y_rows[i] * OUT, 1,
                                  f->weights + (int64_t)matrix_of(i) * OUT * IN + j, IN));
    free(d_x);
}

/* d_y by index, x as it lies. */
static naive_sum plain_weight_gradient(const fixture *f, int e, int i, int j)
{
    naive_sum sum = {0};
    for (int64_t row = offsets[e]; row < offsets[e + 1]; row++)
        naive_add(&sum, naive_operand(f->d_y[f->d_y_rows[row] * OUT + i], f->precision) *
                            naive_operand(f->x[row * IN + j], f->precision));
    return sum;
}

static void check_backward_weight(fixture *f)
{
    enum { ELEMENTS = MATRICES * OUT * IN };
    rm_real *first = naive_random(4, ELEMENTS), *sum = naive_random(5, ELEMENTS);
    rm_real *before = naive_copy(sum, ELEMENTS);
    for (int add = 0; add < 2; add++)
        assert_int_equal(ringmoe_matrices_backward_weight(f->matrices, offsets, f->d_y,
                                                          f->d_y_rows, f->x, NULL, add,
                                                          add ? sum : first),
                         RINGMOE_OK);
    for (int at = 0; at < ELEMENTS; at++) {
        int e = at / (OUT * IN), i = at / IN % OUT, j = at % IN;
        naive_check(first[at], plain_weight_gradient(f, e, i, j));
        assert_true(sum[at] == before[at] + first[at]);
    }
    free(first);
    free(sum);
    free(before);
}

static void values_match_plain_loops(void **state)
{
    (void)state;
    for (int precision = 0; precision < 2; precision++) {
        fixture f = create((ringmoe_precision)precision, 1);
        check_forward(&f);
        check_backward_input(&f);
        check_backward_weight(&f);
        destroy(&f);
    }
}

/* One row of one group has the bits it has among the others. */
static void rows_do_not_depend_on_others(void **state)
{
    (void)state;
    fixture f = create(RINGMOE_PRECISION_FP32, 0);
    rm_real together[ROWS * OUT], alone[OUT];
    assert_int_equal(ringmoe_matrices_forward(f.matrices, offsets, f.x, NULL, together, NULL),
                     RINGMOE_OK);
    for (int i = 0; i < ROWS; i++) {
        int64_t single[MATRICES + 1];
        for (int e = 0; e <= MATRICES; e++) single[e] = e > matrix_of(i);
        assert_int_equal(
            ringmoe_matrices_forward(f.matrices, single, f.x + i * IN, NULL, alone, NULL),
            RINGMOE_OK);
        assert_memory_equal(alone, together + i * OUT, sizeof alone);
    }
    destroy(&f);
}

static void no_rows_need_no_arrays(void **state)
{
    (void)state;
    static const int64_t none[MATRICES + 1] = {0};
    fixture f = create(RINGMOE_PRECISION_BF16, 1);
    rm_real *d_w = naive_random(6, MATRICES * OUT * IN);
    assert_int_equal(ringmoe_matrices_forward(f.matrices, none, NULL, NULL, NULL, NULL),
                     RINGMOE_OK);
    assert_int_equal(ringmoe_matrices_backward_input(f.matrices, none, NULL, NULL, NULL, NULL),
                     RINGMOE_OK);
    assert_int_equal(
        ringmoe_matrices_backward_weight(f.matrices, none, NULL, NULL, NULL, NULL, 0, d_w),
        RINGMOE_OK);
    for (int i = 0; i < MATRICES * OUT * IN; i++) assert_true(d_w[i] == 0);
    free(d_w);
    destroy(&f);
}

/* --- refusals --- */

static void assert_refused(const fixture *f, ringmoe_status status, ringmoe_status expected,
                           const char *words)
{
    assert_int_equal(status, expected);
    const char *line = ringmoe_context_error(f->context);
    if (!strstr(line, words)) fail_msg("\"%s\" does not say \"%s\"", line, words);
}

static void shapes_are_checked(void **state)
{
    (void)state;
    fixture f = create(RINGMOE_PRECISION_FP32, 1);
    ringmoe_matrices *none = f.matrices;
    assert_refused(&f, ringmoe_matrices_create(f.context, 0, OUT, IN, 1, &none),
                   RINGMOE_ERROR_ARGUMENT, "0 matrices of 37 x 300");
    assert_null(none);
    assert_refused(&f, ringmoe_matrices_create(f.context, 1, OUT, -1, 1, &none),
                   RINGMOE_ERROR_ARGUMENT, "37 x -1");
    assert_refused(&f, ringmoe_matrices_create(f.context, 1, OUT, IN, 1, NULL),
                   RINGMOE_ERROR_ARGUMENT, "NULL");
    assert_int_equal(
        ringmoe_matrices_create(f.context, INT32_MAX, INT32_MAX, INT32_MAX, 1, &none),
        RINGMOE_ERROR_MEMORY);
    assert_null(none);
    assert_int_equal(ringmoe_matrices_create(NULL, 1, 1, 1, 1, &none), RINGMOE_ERROR_ARGUMENT);
    ringmoe_matrices_destroy(NULL);
    ringmoe_matrices_destroy(&none);
    destroy(&f);
}

static void arguments_are_checked(void **state)
{
    (void)state;
    static const int64_t late[MATRICES + 1] = {1, 1, 1, 1, 1, 1};
    static const int64_t falling[MATRICES + 1] = {0, 3, 2, 3, 3, 3};
    static const int32_t negative[ROWS] = {0, 1, -4};
    fixture f = create(RINGMOE_PRECISION_FP32, 1);
    rm_real y[ROWS * OUT];
    assert_refused(&f, ringmoe_matrices_forward(f.matrices, NULL, f.x, NULL, y, NULL),
                   RINGMOE_ERROR_ARGUMENT, "they are NULL");
    assert_refused(&f, ringmoe_matrices_forward(f.matrices, late, f.x, NULL, y, NULL),
                   RINGMOE_ERROR_ARGUMENT, "the first is not 0");
    assert_refused(&f, ringmoe_matrices_forward(f.matrices, falling, f.x, NULL, y, NULL),
                   RINGMOE_ERROR_ARGUMENT, "offsets[2] is 2, less than the 3");
    assert_refused(&f, ringmoe_matrices_forward(f.matrices, offsets, NULL, NULL, y, NULL),
                   RINGMOE_ERROR_ARGUMENT, "x is NULL");
    assert_refused(&f, ringmoe_matrices_forward(f.matrices, offsets, f.x, negative, y, NULL),
                   RINGMOE_ERROR_ARGUMENT, "x_rows[2] is -4");
    assert_refused(
        &f, ringmoe_matrices_backward_input(f.matrices, offsets, f.d_y, NULL, NULL, NULL),
        RINGMOE_ERROR_ARGUMENT, "d_x is NULL");
    assert_refused(
        &f,
        ringmoe_matrices_backward_weight(f.matrices, offsets, f.d_y, NULL, f.x, NULL, 0, NULL),
        RINGMOE_ERROR_ARGUMENT, "weight gradients is NULL");
    assert_refused(&f, ringmoe_matrices_pack(f.matrices, NULL), RINGMOE_ERROR_ARGUMENT, "NULL");
    assert_int_equal(ringmoe_matrices_pack(NULL, f.weights), RINGMOE_ERROR_ARGUMENT);
    assert_int_equal(ringmoe_matrices_forward(NULL, offsets, f.x, NULL, y, NULL),
                     RINGMOE_ERROR_ARGUMENT);
    destroy(&f);
}

static void states_are_checked(void **state)
{
    (void)state;
    fixture f = create(RINGMOE_PRECISION_FP32, 0);
    rm_real d_x[IN], *y = d_x;
    assert_refused(&f,
                   ringmoe_matrices_backward_input(f.matrices, offsets, f.d_y, NULL, d_x, NULL),
                   RINGMOE_ERROR_STATE, "without with_backward");
    ringmoe_matrices *fresh;
    assert_int_equal(ringmoe_matrices_create(f.context, 1, OUT, IN, 0, &fresh), RINGMOE_OK);
    assert_refused(&f, ringmoe_matrices_forward(fresh, offsets, f.x, NULL, y, NULL),
                   RINGMOE_ERROR_STATE, "ringmoe_matrices_pack first");
    ringmoe_matrices_destroy(&fresh);
    destroy(&f);
}

/* In blocks of bytes numbers near 1 are off by less than 1 / 100 each. */
static void weights_may_be_in_blocks(void **state)
{
    fixture f = create(RINGMOE_PRECISION_FP32, 0);
    ringmoe_matrices *blocks = NULL;
    rm_real *plain = naive_random(4, ROWS * OUT), *y = naive_random(5, ROWS * OUT);
    assert_refused(
        &f, ringmoe_matrices_create_in(f.context, 1, OUT, IN, (ringmoe_precision)4, &blocks),
        RINGMOE_ERROR_ARGUMENT, "precision is 4");
    assert_int_equal(ringmoe_matrices_create_in(f.context, MATRICES, OUT, IN,
                                                RINGMOE_PRECISION_Q8_0, &blocks),
                     RINGMOE_OK);
    assert_int_equal(ringmoe_matrices_pack(blocks, f.weights), RINGMOE_OK);
    assert_int_equal(ringmoe_matrices_forward(blocks, offsets, f.x, f.x_rows, y, NULL),
                     RINGMOE_OK);
    assert_int_equal(ringmoe_matrices_forward(f.matrices, offsets, f.x, f.x_rows, plain, NULL),
                     RINGMOE_OK);
    double square = 0, difference = 0;
    for (int i = 0; i < ROWS * OUT; i++) {
        square += (double)plain[i] * (double)plain[i];
        difference += pow((double)y[i] - (double)plain[i], 2);
    }
    assert_true(difference > 0 && sqrt(difference / square) < 0.02);
    assert_refused(&f, ringmoe_matrices_backward_input(blocks, offsets, f.d_y, NULL, y, NULL),
                   RINGMOE_ERROR_STATE, "forward products alone");
    free(plain), free(y);
    ringmoe_matrices_destroy(&blocks);
    destroy(&f);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_match_plain_loops),
        cmocka_unit_test(rows_do_not_depend_on_others),
        cmocka_unit_test(no_rows_need_no_arrays),
        cmocka_unit_test(shapes_are_checked),
        cmocka_unit_test(arguments_are_checked),
        cmocka_unit_test(states_are_checked),
        cmocka_unit_test(weights_may_be_in_blocks),
    };
    MPI_Init(&argc, &argv);
    int failed = cmocka_run_group_tests_name("matrices", tests, NULL, NULL);
    MPI_Finalize();
    return failed;
}

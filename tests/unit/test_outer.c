/* SPDX-License-Identifier: MIT
 *
 * Weight gradients dY^T X against plain loops in double, at every level and precision, and
 * their promises: empty terms, terms in order, one addition to a sink, the same bits on any
 * threads.
 */
#include "naive.h"

/* Rows of X are wider apart than X has columns, and gathered in another order. */
typedef struct operands {
    int64_t n_rows, out, in;
    rm_real *d_y, *x;
    int32_t *x_rows;
} operands;
enum { STRIDE_GAP = 3 };

static operands operands_create(uint64_t seed, int64_t n_rows, int64_t out, int64_t in)
{
    operands made = {n_rows,
                     out,
                     in,
                     naive_random(seed, n_rows * (out + STRIDE_GAP)),
                     naive_random(seed + 1, n_rows * (in + STRIDE_GAP)),
                     naive_allocate(n_rows, sizeof(int32_t))};
    for (int64_t i = 0; i < n_rows; i++) made.x_rows[i] = (int32_t)(n_rows - 1 - i);
    return made;
}

static void operands_free(operands *made)
{
    free(made->d_y);
    free(made->x);
    free(made->x_rows);
}

static rm_outer term_of(const operands *from, bool is_gathered, rm_sink sink)
{
    return (rm_outer){.n_rows = from->n_rows,
                      .d_y = from->d_y,
                      .d_y_stride = from->out + STRIDE_GAP,
                      .x = from->x,
                      .x_stride = from->in + STRIDE_GAP,
                      .x_rows = is_gathered ? from->x_rows : NULL,
                      .sink = sink};
}

/* Runs one term into a sink. */
static void run_one(const rm_compute *compute, const operands *from, bool is_gathered,
                    rm_sink sink)
{
    rm_outer term = term_of(from, is_gathered, sink);
    rm_outer_group group = {from->out, from->in, &term, 1};
    rm_outer_grouped(compute, compute->precision, &group, 1);
}

static naive_sum element(const operands *from, bool is_gathered, int64_t i, int64_t j,
                         ringmoe_precision precision)
{
    naive_sum sum = {0};
    for (int64_t p = 0; p < from->n_rows; p++) {
        int64_t x_row = is_gathered ? from->x_rows[p] : p;
        rm_real d_y = from->d_y[p * (from->out + STRIDE_GAP) + i];
        rm_real x = from->x[x_row * (from->in + STRIDE_GAP) + j];
        naive_add(&sum, naive_operand(d_y, precision) * naive_operand(x, precision));
    }
    return sum;
}

static void check_shape(const rm_compute *compute, int64_t n_rows, int64_t out, int64_t in,
                        bool is_gathered)
{
    operands from = operands_create(11, n_rows, out, in);
    rm_real *d_w = naive_random(13, out * in);
    run_one(compute, &from, is_gathered, (rm_sink){d_w, false});
    for (int64_t i = 0; i < out; i++)
        for (int64_t j = 0; j < in; j++)
            naive_check(d_w[i * in + j], element(&from, is_gathered, i, j, compute->precision));
    free(d_w);
    operands_free(&from);
}

static void check_values(const char *level, ringmoe_precision precision)
{
    static const int64_t shapes[][3] = {{1, 1, 1},     {5, 3, 70},   {256, 40, 17},
                                        {300, 21, 33}, {77, 201, 6}, {2, 9, 530}};
    rm_compute compute = naive_compute(level, 2, precision);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int is_gathered = 0; is_gathered < 2; is_gathered++)
            check_shape(&compute, shapes[i][0], shapes[i][1], shapes[i][2], is_gathered);
    rm_compute_free(&compute);
}

static void test_values(void **state)
{
    (void)state;
    naive_each_mode(check_values);
}

static void check_threads(const char *level, ringmoe_precision precision)
{
    enum { OUT = 400, IN = 230 };
    operands from = operands_create(17, 600, OUT, IN);
    rm_real *results[2];
    for (int i = 0; i < 2; i++) {
        rm_compute compute = naive_compute(level, i + 1, precision);
        results[i] = naive_random(19, OUT * IN);
        run_one(&compute, &from, true, (rm_sink){results[i], true});
        rm_compute_free(&compute);
    }
    assert_memory_equal(results[0], results[1], OUT * IN * sizeof(rm_real));
    free(results[0]);
    free(results[1]);
    operands_free(&from);
}

static void test_threads_do_not_change_bits(void **state)
{
    (void)state;
    naive_each_mode(check_threads);
}

/* a + p has the same bits whether p is formed beside a or in a buffer of its own. */
static void check_one_addition(const char *level, ringmoe_precision precision)
{
    enum { OUT = 31, IN = 47, SIZE = OUT * IN };
    rm_compute compute = naive_compute(level, 1, precision);
    for (int64_t n_rows = 200; n_rows <= 900; n_rows += 140) {
        operands from = operands_create(23, n_rows, OUT, IN);
        rm_real *sink = naive_random(29, SIZE), *expected = naive_copy(sink, SIZE);
        rm_real *product = naive_allocate(SIZE, sizeof *product);
        run_one(&compute, &from, false, (rm_sink){product, false});
        for (int i = 0; i < SIZE; i++) expected[i] += product[i];
        run_one(&compute, &from, false, (rm_sink){sink, true});
        assert_memory_equal(sink, expected, SIZE * sizeof *sink);
        free(sink);
        free(expected);
        free(product);
        operands_free(&from);
    }
    rm_compute_free(&compute);
}

static void test_adds_once(void **state)
{
    (void)state;
    naive_each_mode(check_one_addition);
}

/* Groups of different shapes; a later term adds to what an earlier one has stored. */
static void check_terms_in_order(const char *level, ringmoe_precision precision)
{
    enum { OUT = 200, IN = 90, SIZE = OUT * IN };
    rm_compute compute = naive_compute(level, 2, precision);
    operands first = operands_create(31, 40, OUT, IN),
             second = operands_create(37, 270, OUT, IN);
    operands other = operands_create(41, 8, 3, 5);
    rm_real *p1 = naive_random(43, SIZE), *p2 = naive_random(47, SIZE);
    rm_real *sum = naive_random(53, SIZE), small[3 * 5], small_alone[3 * 5];
    run_one(&compute, &first, false, (rm_sink){p1, false});
    run_one(&compute, &second, true, (rm_sink){p2, false});
    run_one(&compute, &other, false, (rm_sink){small_alone, false});
    rm_outer terms[] = {term_of(&first, false, (rm_sink){sum, false}),
                        term_of(&second, true, (rm_sink){sum, true})};
    rm_outer small_term = term_of(&other, false, (rm_sink){small, false});
    rm_outer_group groups[] = {{OUT, IN, terms, 2}, {3, 5, &small_term, 1}, {OUT, IN, NULL, 0}};
    rm_outer_grouped(&compute, precision, groups, 3);
    for (int i = 0; i < SIZE; i++) p1[i] += p2[i];
    assert_memory_equal(sum, p1, SIZE * sizeof *sum);
    assert_memory_equal(small, small_alone, sizeof small);
    free(p1);
    free(p2);
    free(sum);
    operands_free(&first);
    operands_free(&second);
    operands_free(&other);
    rm_compute_free(&compute);
}

static void test_terms_in_order(void **state)
{
    (void)state;
    naive_each_mode(check_terms_in_order);
}

static void test_term_without_rows(void **state)
{
    (void)state;
    enum { OUT = 19, IN = 21, SIZE = OUT * IN };
    rm_compute compute = naive_compute(NULL, 2, RINGMOE_PRECISION_FP32);
    operands none = operands_create(59, 0, OUT, IN);
    rm_real *sink = naive_random(61, SIZE), *before = naive_copy(sink, SIZE);
    run_one(&compute, &none, false, (rm_sink){sink, true});
    assert_memory_equal(sink, before, SIZE * sizeof *sink);
    run_one(&compute, &none, false, (rm_sink){sink, false});
    for (int i = 0; i < SIZE; i++) assert_true(sink[i] == 0);
    free(sink);
    free(before);
    operands_free(&none);
    rm_compute_free(&compute);
}

static void test_linear_keeps_its_matrix_precision(void **state)
{
    (void)state;
    enum { ROWS = 10, OUT = 4, IN = 6, SIZE = OUT * IN };
    rm_compute exact = naive_compute(NULL, 1, RINGMOE_PRECISION_FP32);
    rm_compute rounded = naive_compute(NULL, 1, RINGMOE_PRECISION_BF16);
    naive_matrix weights = naive_matrix_create(&exact, OUT, IN);
    rm_real *d_y = naive_random(67, ROWS * OUT), *x = naive_random(71, ROWS * IN);
    rm_real with_exact[SIZE], with_rounded[SIZE];
    rm_linear_backward_weight(&exact, &weights.matrix, ROWS, d_y, x,
                              (rm_sink){with_exact, false});
    rm_linear_backward_weight(&rounded, &weights.matrix, ROWS, d_y, x,
                              (rm_sink){with_rounded, false});
    assert_memory_equal(with_exact, with_rounded, sizeof with_exact);
    free(d_y);
    free(x);
    naive_matrix_free(&weights);
    rm_compute_free(&exact);
    rm_compute_free(&rounded);
}

/* Gathered rows of dY, and more of them than have room when packed: blocks of few rows are
 * compared with the sums over slices of the same rows. */
static void test_rows_beyond_the_scratch(void **state)
{
    (void)state;
    enum { ROWS = 40000, OUT = 200, IN = 300, PART = 7 };
    rm_compute compute = naive_compute(NULL, 1, RINGMOE_PRECISION_FP32);
    operands from = operands_create(73, ROWS, OUT, IN);
    rm_real *wide = naive_random(79, OUT * IN), *narrow = naive_random(83, PART * IN);
    rm_outer term = term_of(&from, true, (rm_sink){wide, false});
    term.d_y_rows = from.x_rows;
    rm_outer_grouped(&compute, RINGMOE_PRECISION_FP32, &(rm_outer_group){OUT, IN, &term, 1}, 1);
    term.sink.data = narrow;
    rm_outer_grouped(&compute, RINGMOE_PRECISION_FP32, &(rm_outer_group){PART, IN, &term, 1},
                     1);
    assert_memory_equal(wide, narrow, PART * IN * sizeof *narrow);
    free(wide);
    free(narrow);
    operands_free(&from);
    rm_compute_free(&compute);
}

static void test_gathered_d_y(void **state)
{
    (void)state;
    enum { ROWS = 70, OUT = 33, IN = 20, SIZE = OUT * IN };
    rm_compute compute = naive_compute(NULL, 2, RINGMOE_PRECISION_FP32);
    operands from = operands_create(89, ROWS, OUT, IN);
    rm_real gathered[SIZE], plain[SIZE];
    rm_real *d_y = naive_allocate(ROWS * (OUT + STRIDE_GAP), sizeof *d_y);
    for (int i = 0; i < ROWS; i++)
        memcpy(d_y + i * (OUT + STRIDE_GAP), from.d_y + from.x_rows[i] * (OUT + STRIDE_GAP),
               OUT * sizeof *d_y);
    rm_outer term = term_of(&from, false, (rm_sink){gathered, false});
    term.d_y_rows = from.x_rows;
    rm_outer_grouped(&compute, RINGMOE_PRECISION_FP32, &(rm_outer_group){OUT, IN, &term, 1}, 1);
    term.d_y = d_y;
    term.d_y_rows = NULL;
    term.sink.data = plain;
    rm_outer_grouped(&compute, RINGMOE_PRECISION_FP32, &(rm_outer_group){OUT, IN, &term, 1}, 1);
    assert_memory_equal(gathered, plain, sizeof plain);
    free(d_y);
    operands_free(&from);
    rm_compute_free(&compute);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_threads_do_not_change_bits),
        cmocka_unit_test(test_adds_once),
        cmocka_unit_test(test_terms_in_order),
        cmocka_unit_test(test_term_without_rows),
        cmocka_unit_test(test_linear_keeps_its_matrix_precision),
        cmocka_unit_test(test_gathered_d_y),
        cmocka_unit_test(test_rows_beyond_the_scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

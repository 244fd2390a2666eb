/* SPDX-License-Identifier: MIT
 *
 * Grouped, dense and small products against plain loops in double, at every level and
 * precision, and what they promise about bits: independence of threads and neighbours, one
 * addition.
 */
#include "naive.h"

/* Rows of one group; some are empty, one is larger than a block. */
static const int64_t ragged_rows[] = {3, 0, 1, 17, 215, 0, 6};
enum { N_GROUPS = sizeof ragged_rows / sizeof *ragged_rows };

/* Groups whose rows are gathered from all over A and scattered to a permutation of C's rows. */
typedef struct ragged {
    int64_t n_rows, in, out;
    rm_real *a, *c;
    int32_t *a_rows, *c_rows;
    naive_matrix weights[N_GROUPS];
    rm_product groups[N_GROUPS];
} ragged;

static ragged ragged_create(const rm_compute *compute, int64_t in, int64_t out,
                            bool is_scattered, bool add)
{
    ragged made = {.in = in, .out = out};
    for (int g = 0; g < N_GROUPS; g++) made.n_rows += ragged_rows[g];
    made.a = naive_random(5, made.n_rows * in);
    made.c = naive_random(6, made.n_rows * out);
    made.a_rows = naive_allocate(made.n_rows, sizeof(int32_t));
    made.c_rows = naive_allocate(made.n_rows, sizeof(int32_t));
    for (int64_t i = 0; i < made.n_rows; i++) {
        made.a_rows[i] = (int32_t)(i * 7 % made.n_rows);
        made.c_rows[i] = is_scattered ? (int32_t)(made.n_rows - 1 - i) : (int32_t)i;
    }
    int64_t first = 0;
    for (int g = 0; g < N_GROUPS; g++) {
        made.weights[g] = naive_matrix_create(compute, out, in);
        made.groups[g] = (rm_product){.n_rows = ragged_rows[g],
                                      .a = made.a,
                                      .a_stride = in,
                                      .a_rows = made.a_rows + first,
                                      .c = is_scattered ? made.c : made.c + first * out,
                                      .c_stride = out,
                                      .c_rows = is_scattered ? made.c_rows + first : NULL,
                                      .add = add};
        first += ragged_rows[g];
    }
    return made;
}

static void ragged_run(const rm_compute *compute, ragged *made)
{
    for (int g = 0; g < N_GROUPS; g++) made->groups[g].b = &made->weights[g].matrix.forward;
    rm_product_grouped(compute, made->groups, N_GROUPS);
}

static void ragged_free(ragged *made)
{
    for (int g = 0; g < N_GROUPS; g++) naive_matrix_free(&made->weights[g]);
    free(made->a);
    free(made->c);
    free(made->a_rows);
    free(made->c_rows);
}

/* Element j of a row of A times the weights, in double, added to `start`. */
static naive_sum row_times_weights(const ragged *made, int g, int64_t row, int64_t j,
                                   double start, ringmoe_precision precision)
{
    const rm_real *a = made->a + made->a_rows[row] * made->in;
    const rm_real *w = made->weights[g].weights + j * made->in;
    naive_sum sum = {0};
    naive_add(&sum, start);
    for (int64_t p = 0; p < made->in; p++)
        naive_add(&sum, naive_operand(a[p], precision) * naive_operand(w[p], precision));
    return sum;
}

static void check_ragged(const rm_compute *compute, int64_t in, int64_t out, bool is_scattered,
                         bool add)
{
    ragged made = ragged_create(compute, in, out, is_scattered, add);
    rm_real *before = naive_copy(made.c, made.n_rows * out);
    ragged_run(compute, &made);
    int64_t row = 0;
    for (int g = 0; g < N_GROUPS; g++)
        for (int64_t i = 0; i < ragged_rows[g]; i++, row++)
            for (int64_t j = 0; j < out; j++) {
                int64_t at = made.c_rows[row] * out + j;
                double start = add ? (double)before[at] : 0;
                naive_check(made.c[at],
                            row_times_weights(&made, g, row, j, start, compute->precision));
            }
    free(before);
    ragged_free(&made);
}

static void check_values(const char *level, ringmoe_precision precision)
{
    rm_compute compute = naive_compute(level, 2, precision);
    static const int64_t shapes[][2] = {{1, 1}, {7, 33}, {300, 45}, {64, 16}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int mode = 0; mode < 4; mode++)
            check_ragged(&compute, shapes[i][0], shapes[i][1], mode & 1, mode & 2);
    rm_compute_free(&compute);
}

static void test_values(void **state)
{
    (void)state;
    naive_each_mode(check_values);
}

static void check_threads(const char *level, ringmoe_precision precision)
{
    rm_real *results[2];
    int64_t elements = 0;
    for (int i = 0; i < 2; i++) {
        rm_compute compute = naive_compute(level, i + 1, precision);
        ragged made = ragged_create(&compute, 290, 600, true, true);
        ragged_run(&compute, &made);
        elements = made.n_rows * made.out;
        results[i] = naive_copy(made.c, elements);
        ragged_free(&made);
        rm_compute_free(&compute);
    }
    assert_memory_equal(results[0], results[1], (size_t)elements * sizeof(rm_real));
    free(results[0]);
    free(results[1]);
}

static void test_threads_do_not_change_bits(void **state)
{
    (void)state;
    naive_each_mode(check_threads);
}

static void check_row_alone(const char *level, ringmoe_precision precision)
{
    enum { ROWS = 50, IN = 270, OUT = 70 };
    rm_compute compute = naive_compute(level, 2, precision);
    naive_matrix weights = naive_matrix_create(&compute, OUT, IN);
    rm_real *x = naive_random(1, ROWS * IN);
    rm_real *together = naive_allocate(ROWS * OUT, sizeof *together), alone[OUT];
    rm_linear(&compute, &weights.matrix, ROWS, x, together, false);
    for (int i = 0; i < ROWS; i++) {
        rm_linear(&compute, &weights.matrix, 1, x + i * IN, alone, false);
        assert_memory_equal(alone, together + i * OUT, sizeof alone);
    }
    free(x);
    free(together);
    naive_matrix_free(&weights);
    rm_compute_free(&compute);
}

static void test_row_does_not_depend_on_others(void **state)
{
    (void)state;
    naive_each_mode(check_row_alone);
}

/* With `add`, C becomes C + P with the bits of P formed elsewhere; the depths lie on both sides
 * of the one where the sum is cut. */
static void check_one_addition(const char *level, ringmoe_precision precision)
{
    enum { ROWS = 9, OUT = 40 };
    rm_compute compute = naive_compute(level, 1, precision);
    for (int64_t in = 250; in <= 1100; in += 170) {
        naive_matrix weights = naive_matrix_create(&compute, OUT, in);
        rm_real *x = naive_random(2, ROWS * in), *c = naive_random(3, ROWS * OUT);
        rm_real *expected = naive_copy(c, ROWS * OUT), product[ROWS * OUT];
        rm_linear(&compute, &weights.matrix, ROWS, x, product, false);
        for (int i = 0; i < ROWS * OUT; i++) expected[i] += product[i];
        rm_linear(&compute, &weights.matrix, ROWS, x, c, true);
        assert_memory_equal(c, expected, sizeof product);
        free(x);
        free(c);
        free(expected);
        naive_matrix_free(&weights);
    }
    rm_compute_free(&compute);
}

static void test_adds_once(void **state)
{
    (void)state;
    naive_each_mode(check_one_addition);
}

static void check_backward_input(const char *level, ringmoe_precision precision)
{
    enum { ROWS = 13, IN = 35, OUT = 37 };
    rm_compute compute = naive_compute(level, 2, precision);
    naive_matrix weights = naive_matrix_create(&compute, OUT, IN);
    rm_real *d_y = naive_random(4, ROWS * OUT), d_x[ROWS * IN];
    rm_linear_backward_input(&compute, &weights.matrix, ROWS, d_y, d_x, false);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < IN; j++) {
            naive_sum sum = {0};
            for (int p = 0; p < OUT; p++)
                naive_add(&sum, naive_operand(d_y[i * OUT + p], precision) *
                                    naive_operand(weights.weights[p * IN + j], precision));
            naive_check(d_x[i * IN + j], sum);
        }
    free(d_y);
    naive_matrix_free(&weights);
    rm_compute_free(&compute);
}

static void test_backward_input(void **state)
{
    (void)state;
    naive_each_mode(check_backward_input);
}

/* C (+)= A B with A and B transposed or not, by their steps. */
static void check_small_product(const rm_kernels *kernels, int64_t m, int64_t n, int64_t k,
                                bool is_transposed, bool add)
{
    rm_real *a = naive_random(7, m * k), *b = naive_random(8, k * n),
            *c = naive_random(9, m * n);
    rm_real *before = naive_copy(c, m * n);
    rm_real *panels = naive_allocate(rm_block_panels(kernels, k, n), sizeof *panels);
    int64_t a_row = is_transposed ? 1 : k, a_col = is_transposed ? m : 1;
    int64_t b_row = is_transposed ? 1 : n, b_col = is_transposed ? k : 1;
    rm_pack_block(kernels, k, n, b, b_row, b_col, panels);
    int64_t panel = rm_block_panels(kernels, k, kernels->fp32.nr);
    for (int64_t j = 0; j < n; j += kernels->fp32.nr)
        for (int64_t i = 0; i < m; i += kernels->fp32.mr)
            kernels->tile_in_place(
                k, a + i * a_row, a_row, a_col, panels + j / kernels->fp32.nr * panel,
                c + i * n + j, n, (int)(m - i < kernels->fp32.mr ? m - i : kernels->fp32.mr),
                (int)(n - j < kernels->fp32.nr ? n - j : kernels->fp32.nr), add);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            naive_sum sum = {0};
            if (add) naive_add(&sum, before[i * n + j]);
            for (int64_t p = 0; p < k; p++)
                naive_add(&sum, (double)a[i * a_row + p * a_col] * b[p * b_row + j * b_col]);
            naive_check(c[i * n + j], sum);
        }
    free(a);
    free(b);
    free(c);
    free(before);
    free(panels);
}

static void test_small_products(void **state)
{
    (void)state;
    for (const char *const *level = rm_kernels_levels(); *level; level++)
        for (int mode = 0; mode < 4; mode++) {
            const rm_kernels *kernels = rm_kernels_of_level(*level);
            check_small_product(kernels, 1, 1, 1, mode & 1, mode & 2);
            check_small_product(kernels, 23, 50, 19, mode & 1, mode & 2);
            check_small_product(kernels, 64, 64, 64, mode & 1, mode & 2);
        }
}

/* A depth so large that no block of rows has room when packed. */
static void test_depth_beyond_the_scratch(void **state)
{
    (void)state;
    enum { ROWS = 200, IN = 60000, OUT = 3 };
    rm_compute compute = naive_compute(NULL, 1, RINGMOE_PRECISION_FP32);
    naive_matrix weights = naive_matrix_create(&compute, OUT, IN);
    rm_real *x = naive_random(14, (int64_t)ROWS * IN), *c = naive_random(15, ROWS * OUT);
    rm_real *before = naive_copy(c, ROWS * OUT), alone[OUT];
    rm_linear(&compute, &weights.matrix, ROWS, x, c, true);
    for (int i = 0; i < ROWS; i++) {
        rm_linear(&compute, &weights.matrix, 1, x + (int64_t)i * IN, alone, false);
        for (int j = 0; j < OUT; j++)
            assert_true(c[i * OUT + j] == before[i * OUT + j] + alone[j]);
    }
    free(x);
    free(c);
    free(before);
    naive_matrix_free(&weights);
    rm_compute_free(&compute);
}

/* Strips packed one by one, in any order, give what packing all at once gives. */
static void check_pack_rows(const char *level, ringmoe_precision precision)
{
    enum { OUT = 150, IN = 90 };
    rm_compute compute = naive_compute(level, 2, precision);
    naive_matrix all = naive_matrix_create(&compute, OUT, IN);
    naive_matrix strips = naive_matrix_create(&compute, OUT, IN);
    int64_t strip = rm_matrix_strip(&compute, &strips.matrix);
    memset(strips.arena.base, 0, strips.arena.used);
    for (int64_t first = (OUT - 1) / strip * strip; first >= 0; first -= strip)
        rm_matrix_pack_rows(&compute, &strips.matrix, first,
                            first + strip < OUT ? strip : OUT - first);
    assert_memory_equal(all.arena.base, strips.arena.base, all.arena.used);
    naive_matrix_free(&all);
    naive_matrix_free(&strips);
    rm_compute_free(&compute);
}

static void test_pack_rows(void **state)
{
    (void)state;
    naive_each_mode(check_pack_rows);
}

static void test_no_depth_gives_zeros(void **state)
{
    (void)state;
    rm_compute compute = naive_compute(NULL, 2, RINGMOE_PRECISION_FP32);
    naive_matrix weights = naive_matrix_create(&compute, 5, 0);
    rm_real c[3 * 5], x[1] = {0};
    for (int i = 0; i < 15; i++) c[i] = 1;
    rm_linear(&compute, &weights.matrix, 3, x, c, true);
    for (int i = 0; i < 15; i++) assert_true(c[i] == 1);
    rm_linear(&compute, &weights.matrix, 3, x, c, false);
    for (int i = 0; i < 15; i++) assert_true(c[i] == 0);
    naive_matrix_free(&weights);
    rm_compute_free(&compute);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_threads_do_not_change_bits),
        cmocka_unit_test(test_row_does_not_depend_on_others),
        cmocka_unit_test(test_adds_once),
        cmocka_unit_test(test_backward_input),
        cmocka_unit_test(test_small_products),
        cmocka_unit_test(test_depth_beyond_the_scratch),
        cmocka_unit_test(test_pack_rows),
        cmocka_unit_test(test_no_depth_gives_zeros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

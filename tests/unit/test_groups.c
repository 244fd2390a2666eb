/* SPDX-License-Identifier: MIT
 *
 * Gated pairs, which must have the bits of two products and silu_mul, and many groups of very
 * different sizes in one call.
 */
#include "naive.h"

/* --- gated pairs --- */

enum { GATED_IN = 300, GATED_OUT = 70 };

/* One group's gated product, and beside it the same by two products and silu_mul. */
typedef struct gated {
    int64_t n_rows;
    naive_matrix gate, up;
    rm_real *x, *weights, *c, *c_up, *hidden;
} gated;

static gated gated_create(const rm_compute *compute, int64_t n_rows)
{
    gated made = {.n_rows = n_rows,
                  .gate = naive_matrix_create(compute, GATED_OUT, GATED_IN),
                  .up = naive_matrix_create(compute, GATED_OUT, GATED_IN),
                  .x = naive_random(10, n_rows * GATED_IN),
                  .weights = naive_random(11, n_rows),
                  .c = naive_allocate(n_rows * GATED_OUT, sizeof(rm_real)),
                  .c_up = naive_allocate(n_rows * GATED_OUT, sizeof(rm_real)),
                  .hidden = naive_allocate(n_rows * GATED_OUT, sizeof(rm_real))};
    for (int64_t i = 0; i < GATED_OUT * GATED_IN; i++) made.up.weights[i] *= (rm_real)-0.7;
    rm_matrix *all[] = {&made.up.matrix};
    rm_matrices_pack(compute, all, 1);
    return made;
}

static void gated_free(gated *made)
{
    naive_matrix_free(&made->gate);
    naive_matrix_free(&made->up);
    rm_real *arrays[] = {made->x, made->weights, made->c, made->c_up, made->hidden};
    for (int i = 0; i < 5; i++) free(arrays[i]);
}

static rm_product gated_product(const gated *made)
{
    return (rm_product){.n_rows = made->n_rows,
                        .a = made->x,
                        .a_stride = GATED_IN,
                        .b = &made->gate.matrix.forward,
                        .c = made->c,
                        .c_stride = GATED_OUT,
                        .up = &made->up.matrix.forward,
                        .c_up = made->c_up,
                        .hidden = made->hidden,
                        .weights = made->weights};
}

static void check_gated(const char *level, ringmoe_precision precision)
{
    static const int64_t rows[] = {1, 2, 5, 33, 230};
    rm_compute compute = naive_compute(level, 2, precision);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        gated made = gated_create(&compute, rows[r]);
        rm_product product = gated_product(&made);
        int64_t size = rows[r] * GATED_OUT;
        rm_product_grouped(&compute, &product, 1);
        rm_real *gate = naive_copy(made.c, size), *up = naive_copy(made.c, size);
        rm_linear(&compute, &made.gate.matrix, rows[r], made.x, gate, false);
        rm_linear(&compute, &made.up.matrix, rows[r], made.x, up, false);
        assert_memory_equal(made.c, gate, (size_t)size * sizeof *gate);
        assert_memory_equal(made.c_up, up, (size_t)size * sizeof *up);
        for (int64_t i = 0; i < rows[r]; i++)
            compute.kernels->silu_mul(GATED_OUT, made.weights[i], gate + i * GATED_OUT,
                                      up + i * GATED_OUT, gate + i * GATED_OUT);
        assert_memory_equal(made.hidden, gate, (size_t)size * sizeof *gate);
        product.c = product.c_up = product.hidden = up;
        rm_product_grouped(&compute, &product, 1);
        assert_memory_equal(up, gate, (size_t)size * sizeof *gate);
        free(gate);
        free(up);
        gated_free(&made);
    }
    rm_compute_free(&compute);
}

static void test_gated_is_two_products(void **state)
{
    (void)state;
    naive_each_mode(check_gated);
}

/* --- many groups and skewed ones --- */

/* 600 groups of 0 to 3 rows and one of 500, on any threads and in any order: every row has the
 * bits it has alone. */
static void check_skew(const char *level, ringmoe_precision precision)
{
    enum { MANY = 600, IN = 20, OUT = 24, LARGE = 500, MOST = 3 * MANY + LARGE };
    rm_compute compute = naive_compute(level, 2, precision);
    naive_matrix weights = naive_matrix_create(&compute, OUT, IN);
    rm_real *x = naive_random(12, MOST * IN), *c = naive_random(13, MOST * OUT);
    rm_real *expected = naive_copy(c, MOST * OUT);
    rm_product *groups = naive_allocate(MANY, sizeof *groups);
    int64_t row = 0;
    for (int g = 0; g < MANY; g++) {
        int64_t n = g == 77 ? LARGE : g % 4;
        groups[(g * 7) % MANY] = (rm_product){.n_rows = n,
                                              .a = x + row * IN,
                                              .a_stride = IN,
                                              .b = &weights.matrix.forward,
                                              .c = c + row * OUT,
                                              .c_stride = OUT};
        row += n;
    }
    for (int g = 0; g < MANY; g++)
        if (!groups[g].b) groups[g].b = &weights.matrix.forward;
    rm_product_grouped(&compute, groups, MANY);
    rm_linear(&compute, &weights.matrix, row, x, expected, false);
    assert_memory_equal(c, expected, (size_t)(row * OUT) * sizeof *c);
    free(groups);
    free(x);
    free(c);
    free(expected);
    naive_matrix_free(&weights);
    rm_compute_free(&compute);
}

static void test_many_and_skewed_groups(void **state)
{
    (void)state;
    naive_each_mode(check_skew);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gated_is_two_products),
        cmocka_unit_test(test_many_and_skewed_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Products of matrices in Q8_0 and Q4_0 as they are grouped, gated and cut: against products of
 * the same blocks in double, with the same bits at every level, for any threads and any number
 * of rows; packed from numbers and from a file's blocks.
 */
#include "naive.h"
#include "simd/scalar_math.h"
#include "tensor/tiles.h"

enum { BLOCK = 32, MOST_BYTES = 34 };

/* A matrix of known weights, packed. */
typedef struct quantised {
    rm_matrix matrix;
    rm_arena arena;
    rm_real *numbers; /* [out][in], what the blocks stand for is near to them */
    char *blocks;
    int64_t row_bytes;
} quantised;

static int64_t block_bytes(ringmoe_precision precision)
{
    return precision == RINGMOE_PRECISION_Q8_0 ? 34 : 18;
}

static void lay_out(quantised *made, const rm_compute *compute, const rm_matrix_shape *shape)
{
    rm_error error = {0};
    rm_matrix_layout_shape(&made->matrix, compute, shape, &made->arena);
    assert_int_equal(rm_arena_reserve(&made->arena, made->arena.used, &error), 0);
    made->arena.used = 0;
    rm_matrix_layout_shape(&made->matrix, compute, shape, &made->arena);
}

static quantised create(const rm_compute *compute, rm_matrix_shape shape, bool from_blocks)
{
    quantised made = {.numbers = naive_random(9, shape.out * shape.in)};
    bool is_q8 = shape.precision == RINGMOE_PRECISION_Q8_0;
    made.row_bytes = (shape.in + BLOCK - 1) / BLOCK * block_bytes(shape.precision);
    made.blocks = naive_allocate(shape.out * made.row_bytes, 1);
    lay_out(&made, compute, &shape);
    for (int64_t row = 0; row < shape.out; row++)
        (is_q8 ? compute->kernels->quantise_q8 : compute->kernels->quantise_q4)(
            shape.in, made.numbers + row * shape.in, made.blocks + row * made.row_bytes);
    if (from_blocks) assert_true(rm_matrix_takes_blocks(compute, &made.matrix));
    int64_t strip = rm_matrix_strip(compute, &made.matrix);
    for (int64_t row = 0; row < shape.out; row += strip) {
        int64_t n = rm_least(shape.out - row, strip);
        if (from_blocks)
            rm_matrix_pack_blocks(compute, &made.matrix, row, n,
                                  made.blocks + row * made.row_bytes, made.row_bytes);
        else
            rm_matrix_pack_from(compute, &made.matrix, row, n, made.numbers + row * shape.in);
    }
    return made;
}

static void destroy(quantised *made)
{
    rm_arena_free(&made->arena);
    free(made->numbers);
    free(made->blocks);
}

/* What term p of a row of blocks stands for. */
static double block_number(const char *row, int64_t p, ringmoe_precision precision)
{
    const char *block = row + p / BLOCK * block_bytes(precision);
    uint16_t half;
    memcpy(&half, block, sizeof half);
    int t = (int)(p % BLOCK), whole;
    if (precision == RINGMOE_PRECISION_Q8_0)
        whole = (signed char)block[2 + t];
    else
        whole = ((unsigned char)block[2 + t % 16] >> (t < 16 ? 0 : 4) & 15) - 8;
    return whole * (double)rm_half_widen(half);
}

/* A sum of a row by the blocks, and how far rounding the row to 1 / 127 of the greatest number
 * of each block may move it: half a step times the weights' magnitudes. */
static void check_element(const quantised *made, const rm_real *a, const char *blocks,
                          rm_real got, ringmoe_precision precision)
{
    double sum = 0, reach = 0, size = 0;
    for (int64_t first = 0; first < made->matrix.in; first += BLOCK) {
        double most = 0, weights = 0;
        for (int64_t p = first; p < rm_least(first + BLOCK, made->matrix.in); p++) {
            double w = block_number(blocks, p, precision);
            most = fmax(most, fabs((double)a[p]));
            weights += fabs(w);
            sum += (double)a[p] * w;
            size += fabs((double)a[p] * w);
        }
        reach += most / 254 * weights;
    }
    assert_true(fabs((double)got - sum) <= reach + 1e-5 * size);
}

static void check_near(const quantised *made, int64_t n_rows, const rm_real *a,
                       const rm_real *c, ringmoe_precision precision)
{
    for (int64_t i = 0; i < n_rows; i++)
        for (int64_t j = 0; j < made->matrix.out; j++)
            check_element(made, a + i * made->matrix.in, made->blocks + j * made->row_bytes,
                          c[i * made->matrix.out + j], precision);
}

static rm_compute compute_of(const char *level, int threads)
{
    rm_error error = {0};
    rm_compute compute;
    assert_int_equal(rm_compute_init(&compute, level, threads, RINGMOE_PRECISION_FP32, &error),
                     0);
    return compute;
}

/* C of n_rows rows, at a level, by some threads, from numbers or blocks. */
static rm_real *product(const char *level, int threads, rm_matrix_shape shape, bool from_blocks,
                        int64_t n_rows, const rm_real *a, bool is_checked)
{
    rm_compute compute = compute_of(level, threads);
    quantised made = create(&compute, shape, from_blocks);
    rm_real *c = naive_random(3, n_rows * shape.out);
    rm_linear(&compute, &made.matrix, n_rows, a, c, false);
    if (is_checked && shape.in_cut.n == 0) check_near(&made, n_rows, a, c, shape.precision);
    destroy(&made);
    rm_compute_free(&compute);
    return c;
}

/* Every level, threads and rows alone give what the scalar level gives to all rows at once. */
static void check_bits(rm_matrix_shape shape, int64_t n_rows)
{
    bool from_blocks = shape.in % BLOCK == 0 && shape.in_cut.n == 0;
    rm_real *a = naive_random(7, n_rows * shape.in);
    rm_real *want = product("scalar", 1, shape, false, n_rows, a, true);
    size_t row_bytes = (size_t)shape.out * sizeof *want;
    for (const char *const *level = rm_kernels_levels(); *level; level++)
        for (int threads = 1; threads <= 3; threads += 2) {
            rm_real *got = product(*level, threads, shape, from_blocks, n_rows, a, false);
            assert_memory_equal(got, want, (size_t)n_rows * row_bytes);
            free(got);
            int64_t row = n_rows / 2, n = rm_least(n_rows - row, threads);
            got = product(*level, threads, shape, false, n, a + row * shape.in, false);
            assert_memory_equal(got, want + row * shape.out, (size_t)n * row_bytes);
            free(got);
        }
    free(a);
    free(want);
}

static const ringmoe_precision formats[] = {RINGMOE_PRECISION_Q8_0, RINGMOE_PRECISION_Q4_0};

static void bits_are_the_same_everywhere(void **state)
{
    for (int f = 0; f < 2; f++) {
        check_bits((rm_matrix_shape){.out = 70, .in = 96, .precision = formats[f]}, 37);
        check_bits((rm_matrix_shape){.out = 33, .in = 50, .precision = formats[f]}, 5);
        check_bits((rm_matrix_shape){.out = 1, .in = 1, .precision = formats[f]}, 3);
        check_bits((rm_matrix_shape){.out = 130, .in = 2080, .precision = formats[f]}, 150);
    }
}

static void inner_dimensions_may_be_cut(void **state)
{
    for (int f = 0; f < 2; f++) {
        rm_matrix_shape shape = {.out = 40, .in = 352, .precision = formats[f]};
        shape.in_cut = rm_inner_cut_of(11, 32, 1, 0);
        check_bits(shape, 9);
        shape.in = 88, shape.in_cut = rm_inner_cut_of(11, 8, 1, 0);
        check_bits(shape, 9);
    }
}

/* Blocks of a matrix whose inner dimension is cut between them, from a longer row. */
static void blocks_of_a_part_are_taken(void **state)
{
    rm_compute compute = compute_of(NULL, 2);
    rm_matrix_shape whole_shape = {.out = 20, .in = 256, .precision = RINGMOE_PRECISION_Q8_0};
    quantised whole = create(&compute, whole_shape, true), part = {0};
    rm_matrix_shape shape = whole_shape;
    shape.in = 128;
    lay_out(&part, &compute, &shape);
    rm_matrix_pack_blocks(&compute, &part.matrix, 0, 20, whole.blocks + 4 * 34,
                          whole.row_bytes);
    rm_real *a = naive_random(2, 2 * 256), *zeros = naive_allocate(256, sizeof *zeros);
    rm_real *c = naive_random(3, 20), *want = naive_random(4, 20);
    memcpy(zeros + 128, a, 128 * sizeof *a);
    rm_linear(&compute, &part.matrix, 1, a, c, false);
    rm_linear(&compute, &whole.matrix, 1, zeros, want, false);
    assert_memory_equal(c, want, 20 * sizeof *c);
    shape.in_cut = (rm_inner_cut){.n = 4, .bounds = {0, 32, 48, 96, 128}};
    lay_out(&part, &compute, &shape);
    assert_false(rm_matrix_takes_blocks(&compute, &part.matrix));
    free(a), free(zeros), free(c), free(want);
    destroy(&whole);
    rm_arena_free(&part.arena);
    rm_compute_free(&compute);
}

/* A gated pair on gathered rows, and its parts apart. */
static void gated_pairs_are_products(void **state)
{
    rm_compute compute = compute_of(NULL, 2);
    rm_matrix_shape shape = {.out = 48, .in = 64, .precision = RINGMOE_PRECISION_Q4_0};
    quantised made = create(&compute, shape, true);
    int32_t rows[3] = {4, 0, 2};
    rm_real *a = naive_random(2, 5 * 64), *c = naive_random(3, 3 * 48);
    rm_real *up = naive_random(4, 3 * 48), *hidden = naive_random(5, 3 * 48);
    rm_real *alone = naive_random(6, 3 * 48);
    rm_product pair = {.n_rows = 3,
                       .a = a,
                       .a_stride = 64,
                       .a_rows = rows,
                       .b = &made.matrix.forward,
                       .c = c,
                       .c_stride = 48,
                       .up = &made.matrix.forward,
                       .c_up = up,
                       .hidden = hidden};
    rm_product_grouped(&compute, &pair, 1);
    for (int i = 0; i < 3; i++)
        rm_linear(&compute, &made.matrix, 1, a + rows[i] * 64, alone + i * 48, false);
    assert_memory_equal(c, alone, 3 * 48 * sizeof *c);
    assert_memory_equal(up, alone, 3 * 48 * sizeof *c);
    for (int i = 0; i < 3 * 48; i++) {
        double x = (double)c[i], want = x / (1 + exp(-x)) * x;
        assert_true(fabs((double)hidden[i] - want) <= 1e-5 * (1 + fabs(want)));
    }
    free(a), free(c), free(up), free(hidden), free(alone);
    destroy(&made);
    rm_compute_free(&compute);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_are_the_same_everywhere),
        cmocka_unit_test(inner_dimensions_may_be_cut),
        cmocka_unit_test(blocks_of_a_part_are_taken),
        cmocka_unit_test(gated_pairs_are_products),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

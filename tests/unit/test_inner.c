/* SPDX-License-Identifier: MIT
 *
 * Products whose inner dimension is cut into fixed blocks: at every level and precision they
 * have the bits of the blocks' own products, added in the tree by a plain loop, whether one,
 * two or four ranks have the blocks.
 */
#include "naive.h"

#include <omp.h>

enum { WIDTH = 75, MOST_ROWS = 40, LONG_INNER = 1203, SHORT_INNER = 403, TERMS = 2 };

/* --- where the cuts are --- */

static void cuts_of_ranks_are_those_of_one(void **state)
{
    (void)state;
    for (int64_t n = 0; n < 40; n++) {
        rm_inner_cut whole = rm_inner_cut_of(n, 3, 1, 0);
        assert_int_equal(whole.n, RM_INNER_BLOCKS);
        assert_int_equal(whole.bounds[0], 0);
        assert_int_equal(whole.bounds[RM_INNER_BLOCKS], 3 * n);
        for (int ranks = 2; ranks <= RM_INNER_BLOCKS; ranks *= 2)
            for (int rank = 0; rank < ranks; rank++) {
                rm_inner_cut cut = rm_inner_cut_of(n, 3, ranks, rank);
                assert_int_equal(cut.n, RM_INNER_BLOCKS / ranks);
                for (int b = 0; b <= cut.n; b++)
                    assert_int_equal(cut.bounds[b] + whole.bounds[rank * cut.n],
                                     whole.bounds[rank * cut.n + b]);
            }
    }
    assert_int_equal(rm_inner_cut_of(12, 1, 3, 0).n, 0);
}

/* --- products of parts of the inner dimension --- */

/* Rows of A and weights whose inner dimension is the depth of the forward product ([WIDTH]
 * [inner]) or of the backward one ([inner][WIDTH]); one of each for each term of a sum. */
typedef struct problem {
    rm_compute compute;
    bool is_backward;
    int64_t inner;
    int n_terms;
    rm_real *a[TERMS], *weights[TERMS];
} problem;

static problem create(const char *level, ringmoe_precision precision, bool is_backward,
                      int64_t inner, int n_terms)
{
    problem p = {naive_compute(level, 2, precision), is_backward, inner, n_terms, {0}, {0}};
    for (int i = 0; i < n_terms; i++) {
        p.a[i] = naive_random((uint64_t)(11 + i), MOST_ROWS * inner);
        p.weights[i] = naive_random((uint64_t)(21 + i), WIDTH * inner);
    }
    return p;
}

static void destroy(problem *p)
{
    for (int i = 0; i < p->n_terms; i++) {
        free(p->a[i]);
        free(p->weights[i]);
    }
    rm_compute_free(&p->compute);
}

/* The weights of inner columns [first, first + n), packed strip by strip. */
typedef struct part {
    rm_matrix matrix;
    rm_real *weights;
    rm_arena arena;
} part;

static part create_part(const problem *p, int term, int64_t first, int64_t n, rm_inner_cut cut)
{
    part made = {.weights = naive_allocate(WIDTH * n, sizeof(rm_real))};
    rm_matrix_shape shape = {.out = p->is_backward ? n : WIDTH,
                             .in = p->is_backward ? WIDTH : n,
                             .precision = p->compute.precision,
                             .with_backward = true};
    *(p->is_backward ? &shape.out_cut : &shape.in_cut) = cut;
    const rm_real *weights = p->weights[term];
    if (p->is_backward)
        memcpy(made.weights, weights + first * WIDTH, (size_t)(n * WIDTH) * sizeof *weights);
    for (int64_t row = 0; row < WIDTH && !p->is_backward; row++)
        memcpy(made.weights + row * n, weights + row * p->inner + first,
               (size_t)n * sizeof *weights);
    rm_matrix_layout_shape(&made.matrix, &p->compute, &shape, &made.arena);
    assert_int_equal(rm_arena_reserve(&made.arena, made.arena.used, NULL), RINGMOE_OK);
    rm_matrix_layout_shape(&made.matrix, &p->compute, &shape, &made.arena);
    made.matrix.weights = made.weights;
    int64_t strip = rm_matrix_strip(&p->compute, &made.matrix);
    for (int64_t row = 0; row < shape.out; row += strip)
        rm_matrix_pack_rows(&p->compute, &made.matrix, row,
                            shape.out - row < strip ? shape.out - row : strip);
    return made;
}

static void free_part(part *made)
{
    free(made->weights);
    rm_arena_free(&made->arena);
}

/* C = the sum over inner columns [first, first + n), of terms [term, term + n_terms). */
static rm_real *multiply(const problem *p, int term, int n_terms, int64_t first, int64_t n,
                         rm_inner_cut cut, int64_t n_rows)
{
    rm_real *c = naive_random(3, n_rows * WIDTH);
    part parts[TERMS];
    rm_product_term terms[TERMS];
    for (int i = 0; i < n_terms; i++) {
        parts[i] = create_part(p, term + i, first, n, cut);
        rm_matrix *matrix = &parts[i].matrix;
        terms[i] = (rm_product_term){p->a[term + i] + first, p->inner, NULL,
                                     p->is_backward ? &matrix->backward : &matrix->forward};
    }
    rm_product product = {.n_rows = n_rows,
                          .a = terms[0].a,
                          .a_stride = p->inner,
                          .b = terms[0].b,
                          .c = c,
                          .c_stride = WIDTH,
                          .more = terms + 1,
                          .n_more = n_terms - 1};
    rm_product_grouped(&p->compute, &product, 1);
    for (int i = 0; i < n_terms; i++) free_part(&parts[i]);
    return c;
}

/* a += b, and b is freed. */
static void add_and_free(rm_real *a, rm_real *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) a[i] += b[i];
    free(b);
}

/* Neighbours in pairs, until the first has it all. */
static rm_real *join(rm_real *sums[RM_INNER_BLOCKS], int n_sums, int64_t n)
{
    for (int step = 1; step < n_sums; step *= 2)
        for (int i = 0; i < n_sums; i += 2 * step) add_and_free(sums[i], sums[i + step], n);
    return sums[0];
}

/* Each block of each term by itself. */
static rm_real *multiply_plainly(const problem *p, int64_t n_rows)
{
    rm_real *sums[RM_INNER_BLOCKS];
    for (int b = 0; b < RM_INNER_BLOCKS; b++) {
        int64_t first = b * p->inner / RM_INNER_BLOCKS;
        int64_t n = (b + 1) * p->inner / RM_INNER_BLOCKS - first;
        sums[b] = multiply(p, 0, 1, first, n, (rm_inner_cut){0}, n_rows);
        for (int i = 1; i < p->n_terms; i++)
            add_and_free(sums[b], multiply(p, i, 1, first, n, (rm_inner_cut){0}, n_rows),
                         n_rows * WIDTH);
    }
    return join(sums, RM_INNER_BLOCKS, n_rows * WIDTH);
}

/* Each rank's blocks at once. */
static rm_real *multiply_on_ranks(const problem *p, int ranks, int64_t n_rows)
{
    rm_real *sums[RM_INNER_BLOCKS];
    for (int rank = 0; rank < ranks; rank++) {
        int64_t first = rank * p->inner / ranks, n = (rank + 1) * p->inner / ranks - first;
        sums[rank] = multiply(p, 0, p->n_terms, first, n,
                              rm_inner_cut_of(p->inner, 1, ranks, rank), n_rows);
    }
    return join(sums, ranks, n_rows * WIDTH);
}

static void check_problem(problem p)
{
    static const int64_t rows[] = {1, 3, MOST_ROWS};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rm_real *expected = multiply_plainly(&p, rows[i]);
        for (int ranks = 1; ranks <= RM_INNER_BLOCKS; ranks *= 2) {
            rm_real *got = multiply_on_ranks(&p, ranks, rows[i]);
            assert_memory_equal(got, expected, (size_t)(rows[i] * WIDTH) * sizeof *got);
            free(got);
        }
        free(expected);
    }
    destroy(&p);
}

static void check_mode(const char *level, ringmoe_precision precision)
{
    for (int is_backward = 0; is_backward < 2; is_backward++) {
        check_problem(create(level, precision, is_backward, LONG_INNER, 1));
        check_problem(create(level, precision, is_backward, SHORT_INNER, TERMS));
        check_problem(create(level, precision, is_backward, 2, TERMS));
    }
}

static void blocks_are_added_in_their_tree(void **state)
{
    (void)state;
    naive_each_mode(check_mode);
}

/* A level that packs two terms at a time: blocks begin and end within what would be a pair of
 * the whole depth, so that rows of the weights cannot be packed strip by strip. */
static void blocks_begin_within_packed_steps(void **state)
{
    (void)state;
    for (int is_backward = 0; is_backward < 2; is_backward++) {
        problem p = create("scalar", RINGMOE_PRECISION_FP32, is_backward, LONG_INNER, 1);
        rm_kernels in_pairs = *p.compute.kernels;
        in_pairs.fp32.depth_step = 2;
        p.compute.kernels = &in_pairs;
        part odd = create_part(&p, 0, 0, LONG_INNER, rm_inner_cut_of(LONG_INNER, 1, 1, 0));
        part even = create_part(&p, 0, 0, 1200, rm_inner_cut_of(300, 4, 1, 0));
        bool is_whole = rm_matrix_strip(&p.compute, &odd.matrix) == odd.matrix.out;
        assert_int_equal(is_whole, is_backward);
        assert_true(rm_matrix_strip(&p.compute, &even.matrix) < even.matrix.out);
        free_part(&odd);
        free_part(&even);
        check_problem(p);
    }
}

/* Uncut sums come out otherwise, so that the comparison means something. */
static void the_cut_shows(void **state)
{
    (void)state;
    problem p = create(NULL, RINGMOE_PRECISION_FP32, false, LONG_INNER, 1);
    rm_real *cut = multiply_on_ranks(&p, 1, MOST_ROWS);
    rm_real *uncut = multiply(&p, 0, 1, 0, LONG_INNER, (rm_inner_cut){0}, MOST_ROWS);
    int differences = 0;
    for (int i = 0; i < MOST_ROWS * WIDTH; i++) differences += cut[i] != uncut[i];
    assert_true(differences > MOST_ROWS);
    free(cut);
    free(uncut);
    destroy(&p);
}

/* --- between tasks --- */

/* Counts its calls; another thread than the caller's spoils the count. */
static void count_polls(void *user)
{
    *(int *)user += omp_get_thread_num() == 0 ? 1 : -1000000;
}

static void products_look_after_transfers(void **state)
{
    (void)state;
    int n_polls = 0;
    problem p = create(NULL, RINGMOE_PRECISION_FP32, false, LONG_INNER, 1);
    p.compute.poll = count_polls;
    p.compute.poll_user = &n_polls;
    free(multiply_on_ranks(&p, 4, MOST_ROWS));
    assert_true(n_polls >= 4);
    destroy(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_of_ranks_are_those_of_one),
        cmocka_unit_test(blocks_are_added_in_their_tree),
        cmocka_unit_test(blocks_begin_within_packed_steps),
        cmocka_unit_test(the_cut_shows),
        cmocka_unit_test(products_look_after_transfers),
    };
    return cmocka_run_group_tests_name("inner blocks", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * An expert whose d_ff is shared by 1, 2 and 4 ranks: what the ranks' parts of y, d_x and the
 * weights' gradients add up to in the tree has the same bits, and each rank's weight gradients
 * are its part of the whole ones.
 */
#include "moe/swiglu.h"
#include "naive.h"

enum { D_MODEL = 37, ROWS = 29, MOST_RANKS = 4 };

typedef struct problem {
    rm_compute compute;
    int64_t d_ff;
    rm_real *gate, *up;   /* [d_ff][D_MODEL] */
    rm_real *down;        /* [D_MODEL][d_ff] */
    rm_real *x, *d_y;     /* [ROWS][D_MODEL] */
    rm_real *row_weights; /* [ROWS] */
} problem;

static problem create(ringmoe_precision precision, int64_t d_ff)
{
    return (problem){.compute = naive_compute(NULL, 2, precision),
                     .d_ff = d_ff,
                     .gate = naive_random(1, d_ff * D_MODEL),
                     .up = naive_random(2, d_ff * D_MODEL),
                     .down = naive_random(3, d_ff * D_MODEL),
                     .x = naive_random(4, ROWS * D_MODEL),
                     .d_y = naive_random(5, ROWS * D_MODEL),
                     .row_weights = naive_random(6, ROWS)};
}

static void destroy(problem *p)
{
    rm_real *arrays[] = {p->gate, p->up, p->down, p->x, p->d_y, p->row_weights};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) free(arrays[i]);
    rm_compute_free(&p->compute);
}

/* What one rank makes. */
typedef struct results {
    rm_real y[ROWS * D_MODEL], d_x[ROWS * D_MODEL], d_weights[ROWS];
    int64_t first, n; /* of d_ff */
    rm_real *d_gate, *d_up, *d_down;
} results;

/* Columns [first, first + n) of `down`. */
static rm_real *columns_of_down(const problem *p, int64_t first, int64_t n)
{
    rm_real *columns = naive_allocate(D_MODEL * n, sizeof *columns);
    for (int64_t row = 0; row < D_MODEL; row++)
        memcpy(columns + row * n, p->down + row * p->d_ff + first, (size_t)n * sizeof *columns);
    return columns;
}

/* The expert's matrices and activations, in an arena that may be measuring. */
static void layout(const problem *p, const rm_swiglu_shape *shape, rm_swiglu *expert,
                   rm_swiglu_saved *saved, rm_arena *arena)
{
    rm_swiglu_sizes sizes = {1, 1, ROWS, rm_swiglu_inner(shape), false};
    rm_swiglu_layout(expert, &p->compute, shape, arena);
    rm_swiglu_saved_layout(saved, sizes, true, arena);
}

static void run_passes(const problem *p, const rm_swiglu *expert, const rm_swiglu_saved *saved,
                       results *r)
{
    int64_t offsets[2] = {0, ROWS}, run = ROWS;
    rm_swiglu_rows rows = {1, offsets, p->x, NULL, p->row_weights};
    rm_swiglu_sinks sinks = {{.data = r->d_gate}, {.data = r->d_up}, {.data = r->d_down}};
    rm_swiglu_gradients gradients = {.d_y = p->d_y,
                                     .d_x = r->d_x,
                                     .d_weights = r->d_weights,
                                     .n_sources = 1,
                                     .run_rows = &run,
                                     .sinks = &sinks};
    rm_swiglu_forward(&p->compute, expert, &rows, saved, r->y, NULL);
    rm_swiglu_backward(&p->compute, expert, &rows, saved, &gradients);
}

static results *run_rank(const problem *p, int ranks, int rank)
{
    rm_swiglu_shape shape = {D_MODEL, p->d_ff, ranks, rank, true, true, p->compute.precision};
    rm_swiglu expert = {0};
    rm_swiglu_saved saved;
    rm_arena arena = {0};
    layout(p, &shape, &expert, &saved, &arena);
    assert_int_equal(rm_arena_reserve(&arena, arena.used, NULL), RINGMOE_OK);
    layout(p, &shape, &expert, &saved, &arena);
    results *r = naive_allocate(1, sizeof *r);
    r->n = rm_split(p->d_ff, ranks, rank, &r->first);
    r->d_gate = naive_random(7, r->n * D_MODEL);
    r->d_up = naive_random(8, r->n * D_MODEL);
    r->d_down = naive_random(9, r->n * D_MODEL);
    rm_real *down = columns_of_down(p, r->first, r->n);
    expert.gate.weights = p->gate + r->first * D_MODEL;
    expert.up.weights = p->up + r->first * D_MODEL;
    expert.down.weights = down;
    rm_matrices_pack(&p->compute, (rm_matrix *[]){&expert.gate, &expert.up, &expert.down}, 3);
    run_passes(p, &expert, &saved, r);
    free(down);
    rm_arena_free(&arena);
    return r;
}

static void free_results(results *r)
{
    free(r->d_gate);
    free(r->d_up);
    free(r->d_down);
    free(r);
}

static void add(results *to, const results *from)
{
    for (int i = 0; i < ROWS * D_MODEL; i++) to->y[i] += from->y[i];
    for (int i = 0; i < ROWS * D_MODEL; i++) to->d_x[i] += from->d_x[i];
    for (int i = 0; i < ROWS; i++) to->d_weights[i] += from->d_weights[i];
}

static void assert_part(const problem *p, const results *part, const results *whole)
{
    size_t rows = (size_t)(part->n * D_MODEL) * sizeof(rm_real);
    assert_memory_equal(part->d_gate, whole->d_gate + part->first * D_MODEL, rows);
    assert_memory_equal(part->d_up, whole->d_up + part->first * D_MODEL, rows);
    for (int64_t row = 0; row < D_MODEL; row++)
        assert_memory_equal(part->d_down + row * part->n,
                            whole->d_down + row * p->d_ff + part->first,
                            (size_t)part->n * sizeof(rm_real));
}

static void check_ranks(const problem *p, int ranks, const results *whole)
{
    results *parts[MOST_RANKS];
    for (int rank = 0; rank < ranks; rank++) {
        parts[rank] = run_rank(p, ranks, rank);
        assert_part(p, parts[rank], whole);
    }
    for (int step = 1; step < ranks; step *= 2)
        for (int rank = 0; rank < ranks; rank += 2 * step) add(parts[rank], parts[rank + step]);
    assert_memory_equal(parts[0]->y, whole->y, sizeof whole->y);
    assert_memory_equal(parts[0]->d_x, whole->d_x, sizeof whole->d_x);
    assert_memory_equal(parts[0]->d_weights, whole->d_weights, sizeof whole->d_weights);
    for (int rank = 0; rank < ranks; rank++) free_results(parts[rank]);
}

static void bits_do_not_depend_on_the_ranks(void **state)
{
    (void)state;
    static const int64_t sizes[] = {1024, 1203, 10, 3};
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) {
        problem p =
            create(i % 2 ? RINGMOE_PRECISION_BF16 : RINGMOE_PRECISION_FP32, sizes[i / 2]);
        results *whole = run_rank(&p, 1, 0);
        for (int ranks = 2; ranks <= MOST_RANKS; ranks *= 2) check_ranks(&p, ranks, whole);
        free_results(whole);
        destroy(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bits_do_not_depend_on_the_ranks)};
    return cmocka_run_group_tests_name("swiglu on ranks", tests, NULL, NULL);
}

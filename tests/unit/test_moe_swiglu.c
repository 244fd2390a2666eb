/* SPDX-License-Identifier: MIT
 *
 * SwiGLU experts over ragged rows: outputs and gradients of one small expert against plain
 * loops, and many experts at once against the same experts one by one on one thread, bit for
 * bit.
 */
#include "moe/swiglu.h"
#include "naive.h"

enum { EXPERTS = 70, SOURCES = 3, D_MODEL = 19, D_FF = 23, MOST_ROWS = 4 };

/* Rows of the experts and all that a forward and a backward pass read and make of them. */
typedef struct problem {
    rm_compute compute;
    rm_swiglu experts[EXPERTS];
    naive_matrix matrices[EXPERTS][3];
    int64_t offsets[EXPERTS + 1], run_rows[EXPERTS * SOURCES];
    int32_t *places; /* a permutation of the rows */
    rm_real *x, *weights, *d_y;
} problem;

static void create_expert(problem *p, int e)
{
    for (int i = 0; i < 3; i++) {
        int64_t out = i == 2 ? D_MODEL : D_FF, in = i == 2 ? D_FF : D_MODEL;
        naive_matrix *made = &p->matrices[e][i];
        *made = naive_matrix_create(&p->compute, out, in);
        rm_random_fill_normal((rm_random_key){(uint64_t)(3 * e + i), 2}, 0, out * in, 1,
                              made->weights);
        rm_matrices_pack(&p->compute, (rm_matrix *[]){&made->matrix}, 1);
    }
    p->experts[e] = (rm_swiglu){p->matrices[e][0].matrix, p->matrices[e][1].matrix,
                                p->matrices[e][2].matrix};
}

/* Every third expert has rows of some sources alone, every fifth none. */
static problem *create(void)
{
    problem *p = naive_allocate(1, sizeof *p);
    p->compute = naive_compute(NULL, 2, RINGMOE_PRECISION_FP32);
    p->compute.n_threads = 1;
    for (int e = 0; e < EXPERTS; e++) {
        create_expert(p, e);
        p->offsets[e + 1] = p->offsets[e];
        for (int s = 0; s < SOURCES; s++) {
            int64_t n = e % 5 == 4 || (e + s) % 3 == 2 ? 0 : (e + 2 * s) % MOST_ROWS;
            p->run_rows[e * SOURCES + s] = n;
            p->offsets[e + 1] += n;
        }
    }
    int64_t n = p->offsets[EXPERTS];
    p->places = naive_allocate(n, sizeof *p->places);
    for (int64_t i = 0; i < n; i++) p->places[i] = (int32_t)(n - 1 - i);
    p->x = naive_random(1, n * D_MODEL);
    p->d_y = naive_random(2, n * D_MODEL);
    p->weights = naive_random(3, n);
    p->compute.n_threads = 2;
    return p;
}

static void destroy(problem *p)
{
    for (int e = 0; e < EXPERTS; e++)
        for (int i = 0; i < 3; i++) naive_matrix_free(&p->matrices[e][i]);
    free(p->places);
    free(p->x);
    free(p->d_y);
    free(p->weights);
    rm_compute_free(&p->compute);
    free(p);
}

/* --- passes --- */

enum { WEIGHT_ELEMENTS = D_MODEL * D_FF };

typedef struct results {
    int64_t n_rows;
    rm_real *y, *d_x, *d_weights;
    rm_real *gradients; /* [sources][experts][3][WEIGHT_ELEMENTS] */
} results;

static results create_results(int64_t n_rows)
{
    results r = {.n_rows = n_rows};
    r.y = naive_random(4, n_rows * D_MODEL);
    r.d_x = naive_random(5, n_rows * D_MODEL);
    r.d_weights = naive_random(6, n_rows);
    r.gradients = naive_random(7, (int64_t)SOURCES * EXPERTS * 3 * WEIGHT_ELEMENTS);
    return r;
}

static void free_results(results *r)
{
    free(r->y);
    free(r->d_x);
    free(r->d_weights);
    free(r->gradients);
}

static void make_sinks(const results *r, rm_swiglu_sinks sinks[SOURCES * EXPERTS])
{
    for (int i = 0; i < SOURCES * EXPERTS; i++) {
        rm_real *place = r->gradients + (int64_t)i * 3 * WEIGHT_ELEMENTS;
        sinks[i] = (rm_swiglu_sinks){{.data = place},
                                     {.data = place + WEIGHT_ELEMENTS, .add = true},
                                     {.data = place + 2 * WEIGHT_ELEMENTS, .add = i % 2 == 0}};
    }
}

static rm_swiglu_saved save_room(int n_experts, int64_t n_rows, bool borrows, rm_arena *arena)
{
    rm_swiglu_sizes sizes = {n_experts, SOURCES, n_rows, D_FF, borrows};
    rm_swiglu_saved saved;
    rm_swiglu_saved_layout(&saved, sizes, true, arena);
    assert_int_equal(rm_arena_reserve(arena, arena->used, NULL), RINGMOE_OK);
    rm_swiglu_saved_layout(&saved, sizes, true, arena);
    return saved;
}

/* How a backward pass is made: at once; in its two parts; with a hidden that another layer's
 * pass has written to between forward and backward. */
typedef enum way { AT_ONCE, IN_PARTS, BORROWED, N_WAYS } way;

static void run_backward(const problem *p, const rm_swiglu *experts, const rm_swiglu_rows *rows,
                         const rm_swiglu_saved *saved, const rm_swiglu_gradients *gradients,
                         way manner)
{
    size_t elements = (size_t)rows->offsets[rows->n_experts] * D_FF;
    if (manner == BORROWED) memset(saved->hidden, 0xff, elements * sizeof(rm_real));
    if (manner != IN_PARTS) {
        rm_swiglu_backward(&p->compute, experts, rows, saved, gradients);
        return;
    }
    rm_swiglu_gradients inputs = *gradients, weights = *gradients;
    rm_swiglu_rows without_weights = *rows;
    inputs.sinks = NULL;
    weights.d_x = weights.d_weights = NULL;
    without_weights.weights = NULL;
    rm_swiglu_backward_inputs(&p->compute, experts, rows, saved, &inputs);
    rm_swiglu_backward_weights(&p->compute, experts, &without_weights, saved, &weights);
}

/* Experts [first, first + n) forward and backward. Rows are gathered from their places and
 * scattered to them. */
static void run_experts(const problem *p, int first, int n, way manner, results *r)
{
    int64_t start = p->offsets[first], offsets[EXPERTS + 1];
    rm_swiglu_sinks sinks[SOURCES * EXPERTS], chosen[SOURCES * EXPERTS];
    for (int e = 0; e <= n; e++) offsets[e] = p->offsets[first + e] - start;
    make_sinks(r, sinks);
    for (int s = 0; s < SOURCES; s++)
        for (int e = 0; e < n; e++) chosen[s * n + e] = sinks[s * EXPERTS + first + e];
    rm_arena arena = {0};
    rm_swiglu_saved saved = save_room(n, offsets[n], manner == BORROWED, &arena);
    rm_real *lent = naive_random(9, (offsets[n] + 1) * D_FF);
    if (manner == BORROWED) saved.hidden = lent;
    rm_swiglu_rows rows = {n, offsets, p->x, p->places + start, p->weights + start};
    rm_swiglu_forward(&p->compute, &p->experts[first], &rows, &saved, r->y, rows.x_rows);
    rm_swiglu_gradients gradients = {.d_y = p->d_y,
                                     .d_y_rows = rows.x_rows,
                                     .d_x = r->d_x,
                                     .d_x_rows = rows.x_rows,
                                     .add = true,
                                     .d_weights = r->d_weights + start,
                                     .n_sources = SOURCES,
                                     .run_rows = p->run_rows + first * SOURCES,
                                     .sinks = chosen};
    run_backward(p, &p->experts[first], &rows, &saved, &gradients, manner);
    free(lent);
    rm_arena_free(&arena);
}

static void assert_same(const results *a, const results *b)
{
    size_t row = D_MODEL * sizeof(rm_real), n = (size_t)a->n_rows;
    assert_memory_equal(a->y, b->y, n * row);
    assert_memory_equal(a->d_x, b->d_x, n * row);
    assert_memory_equal(a->d_weights, b->d_weights, n * sizeof(rm_real));
    assert_memory_equal(a->gradients, b->gradients,
                        (size_t)SOURCES * EXPERTS * 3 * WEIGHT_ELEMENTS * sizeof(rm_real));
}

static void ways_of_going_back_are_the_same(void **state)
{
    (void)state;
    problem *p = create();
    results first = create_results(p->offsets[EXPERTS]);
    run_experts(p, 0, EXPERTS, AT_ONCE, &first);
    for (way manner = IN_PARTS; manner < N_WAYS; manner++) {
        results other = create_results(p->offsets[EXPERTS]);
        run_experts(p, 0, EXPERTS, manner, &other);
        assert_same(&first, &other);
        free_results(&other);
    }
    free_results(&first);
    destroy(p);
}

static void many_experts_are_as_one_by_one(void **state)
{
    (void)state;
    problem *p = create();
    int64_t n = p->offsets[EXPERTS];
    results together = create_results(n), apart = create_results(n);
    run_experts(p, 0, EXPERTS, AT_ONCE, &together);
    p->compute.n_threads = 1;
    for (int e = 0; e < EXPERTS; e++) run_experts(p, e, 1, AT_ONCE, &apart);
    assert_same(&together, &apart);
    free_results(&together);
    free_results(&apart);
    destroy(p);
}

/* --- values --- */

/* One row in double: hidden without its weight, y and the weight's gradient. */
typedef struct plain_row {
    double gate[D_FF], up[D_FF], hidden[D_FF], y[D_MODEL], d_weight;
} plain_row;

static double plain_dot(int n, const rm_real *a, const rm_real *b)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

static plain_row compute_row(const problem *p, int e, int64_t row)
{
    plain_row made = {.d_weight = 0};
    const rm_real *x = p->x + p->places[row] * D_MODEL,
                  *d_y = p->d_y + p->places[row] * D_MODEL;
    for (int i = 0; i < D_FF; i++) {
        made.gate[i] = plain_dot(D_MODEL, p->matrices[e][0].weights + i * D_MODEL, x);
        made.up[i] = plain_dot(D_MODEL, p->matrices[e][1].weights + i * D_MODEL, x);
        made.hidden[i] = made.gate[i] / (1 + exp(-made.gate[i])) * made.up[i];
    }
    for (int j = 0; j < D_MODEL; j++)
        for (int i = 0; i < D_FF; i++) {
            double term = made.hidden[i] * (double)p->matrices[e][2].weights[j * D_FF + i];
            made.y[j] += (double)p->weights[row] * term;
            made.d_weight += (double)d_y[j] * term;
        }
    return made;
}

static void assert_close(rm_real got, double expected)
{
    if (fabs((double)got - expected) > 1e-4 * fmax(1, fabs(expected)))
        fail_msg("%.9g instead of %.9g", (double)got, expected);
}

static void values_match_plain_loops(void **state)
{
    (void)state;
    problem *p = create();
    results made = create_results(p->offsets[EXPERTS]);
    run_experts(p, 0, EXPERTS, AT_ONCE, &made);
    for (int e = 0; e < EXPERTS; e++)
        for (int64_t row = p->offsets[e]; row < p->offsets[e + 1]; row++) {
            plain_row expected = compute_row(p, e, row);
            assert_close(made.d_weights[row], expected.d_weight);
            for (int j = 0; j < D_MODEL; j++)
                assert_close(made.y[p->places[row] * D_MODEL + j], expected.y[j]);
        }
    free_results(&made);
    destroy(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ways_of_going_back_are_the_same),
        cmocka_unit_test(many_experts_are_as_one_by_one),
        cmocka_unit_test(values_match_plain_loops),
    };
    return cmocka_run_group_tests_name("swiglu", tests, NULL, NULL);
}

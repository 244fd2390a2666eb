/* SPDX-License-Identifier: MIT
 *
 * Attention at every level: the forward pass against the definition in double, and the same
 * bits for any number of threads and for queries that come alone after their keys. (Gradients
 * against differences: tests/grad/test_attention_grad.c.)
 */
#include "naive.h"
#include "nn/attention.h"

typedef struct attention_case {
    rm_attention_shape shape;
    int64_t n_q, n_kv; /* elements */
    rm_real *q, *k, *v, *d_out;
    rm_real *out, *logsumexp, *d_q, *d_k, *d_v, *workspace;
} attention_case;

static attention_case make_case(rm_attention_shape shape)
{
    int64_t rows = shape.n_sequences * shape.n_queries;
    attention_case c = {.shape = shape};
    c.n_q = rows * shape.n_heads * shape.head_dim;
    c.n_kv = rows * shape.n_kv_heads * shape.head_dim;
    c.q = naive_random(1, c.n_q), c.k = naive_random(2, c.n_kv), c.v = naive_random(3, c.n_kv);
    c.d_out = naive_random(4, c.n_q), c.out = naive_random(5, c.n_q);
    c.logsumexp = naive_random(5, rows * shape.n_heads);
    c.d_q = naive_random(5, c.n_q), c.d_k = naive_random(5, c.n_kv);
    c.d_v = naive_random(5, c.n_kv);
    c.workspace = naive_random(5, rm_attention_workspace(rows, shape.n_heads));
    return c;
}

static void free_case(attention_case *c)
{
    free(c->q), free(c->k), free(c->v), free(c->d_out), free(c->out), free(c->logsumexp);
    free(c->d_q), free(c->d_k), free(c->d_v), free(c->workspace);
}

static void run_case(const rm_compute *compute, attention_case *c)
{
    rm_attention_gradient gradient = {c->q,     c->k,   c->v,   c->out, c->logsumexp,
                                      c->d_out, c->d_q, c->d_k, c->d_v, c->workspace};
    rm_attention_forward(compute, c->shape, c->q, c->k, c->v, c->out, c->logsumexp);
    rm_attention_backward(compute, c->shape, &gradient);
}

static double dot(int64_t n, const rm_real *x, const rm_real *y)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)y[i];
    return sum;
}

/* One query of one head by the definition. Scores of some units are off by some ulp of them. */
static void check_query(const attention_case *c, int64_t sequence, int64_t head, int64_t query)
{
    const rm_attention_shape *s = &c->shape;
    int64_t dim = s->head_dim, kv_head = head / (s->n_heads / s->n_kv_heads);
    int64_t first = sequence * s->n_queries;
    int64_t at = ((first + query) * s->n_heads + head) * dim;
    double *weights = naive_allocate(query + 1, sizeof *weights), total = 0;
    for (int64_t j = 0; j <= query; j++) {
        const rm_real *k = c->k + ((first + j) * s->n_kv_heads + kv_head) * dim;
        weights[j] = exp(dot(dim, c->q + at, k) / sqrt((double)dim));
        total += weights[j];
    }
    for (int64_t i = 0; i < dim; i++) {
        double sum = 0;
        for (int64_t j = 0; j <= query; j++)
            sum += weights[j] / total *
                   (double)c->v[((first + j) * s->n_kv_heads + kv_head) * dim + i];
        assert_true(fabs(sum - (double)c->out[at + i]) < 2e-5);
    }
    double row_sum = (double)c->logsumexp[head * s->n_sequences * s->n_queries + first + query];
    assert_true(fabs(row_sum - log(total)) < 1e-4);
    free(weights);
}

static const rm_attention_shape shapes[] = {
    {.n_sequences = 2, .n_queries = 7, .n_heads = 2, .n_kv_heads = 2, .head_dim = 6},
    {.n_sequences = 1, .n_queries = 1, .n_heads = 1, .n_kv_heads = 1, .head_dim = 2},
    {.n_sequences = 2, .n_queries = 197, .n_heads = 6, .n_kv_heads = 2, .head_dim = 18},
    {.n_sequences = 1, .n_queries = 96, .n_heads = 4, .n_kv_heads = 4, .head_dim = 64},
    {.n_sequences = 1, .n_queries = 500, .n_heads = 1, .n_kv_heads = 1, .head_dim = 64},
    {.n_sequences = 1, .n_queries = 130, .n_heads = 5, .n_kv_heads = 1, .head_dim = 128},
    {.n_sequences = 1, .n_queries = 3, .n_heads = 130, .n_kv_heads = 1, .head_dim = 4},
    {.n_sequences = 1, .n_queries = 100, .n_heads = 1, .n_kv_heads = 1, .head_dim = 1024},
};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

static void check_definition(const char *level)
{
    rm_compute compute = naive_compute(level, 2, RINGMOE_PRECISION_FP32);
    for (int s = 0; s < N_SHAPES; s++) {
        attention_case c = make_case(shapes[s]);
        run_case(&compute, &c);
        for (int64_t i = 0; i < c.shape.n_sequences * c.shape.n_heads * c.shape.n_queries; i++)
            check_query(&c, i % c.shape.n_sequences, i / c.shape.n_sequences % c.shape.n_heads,
                        i / c.shape.n_sequences / c.shape.n_heads);
        free_case(&c);
    }
    rm_compute_free(&compute);
}

static void assert_same(const attention_case *a, const attention_case *b)
{
    size_t q_bytes = (size_t)a->n_q * sizeof(rm_real);
    size_t kv_bytes = (size_t)a->n_kv * sizeof(rm_real);
    assert_memory_equal(a->out, b->out, q_bytes);
    assert_memory_equal(a->d_q, b->d_q, q_bytes);
    assert_memory_equal(a->d_k, b->d_k, kv_bytes);
    assert_memory_equal(a->d_v, b->d_v, kv_bytes);
}

static void check_threads(const char *level)
{
    static const int n_threads[] = {2, 3, 8};
    rm_compute one = naive_compute(level, 1, RINGMOE_PRECISION_FP32);
    for (int s = 0; s < N_SHAPES; s++) {
        attention_case expected = make_case(shapes[s]);
        run_case(&one, &expected);
        for (int i = 0; i < 3; i++) {
            rm_compute several = naive_compute(level, n_threads[i], RINGMOE_PRECISION_FP32);
            attention_case c = make_case(shapes[s]);
            run_case(&several, &c);
            assert_same(&expected, &c);
            free_case(&c);
            rm_compute_free(&several);
        }
        free_case(&expected);
    }
    rm_compute_free(&one);
}

/* The queries of a sequence in pieces of `piece`, after the keys before them. */
static void check_piece(const rm_compute *compute, const attention_case *whole, int64_t piece)
{
    rm_attention_shape shape = whole->shape;
    int64_t width = shape.n_heads * shape.head_dim, n = whole->shape.n_queries;
    rm_real *out = naive_random(6, piece * width);
    for (int64_t first = 0; first < n; first += piece) {
        shape.n_past = first;
        shape.n_queries = first + piece > n ? n - first : piece;
        rm_attention_forward(compute, shape, whole->q + first * width, whole->k, whole->v, out,
                             NULL);
        assert_memory_equal(out, whole->out + first * width,
                            (size_t)(shape.n_queries * width) * sizeof *out);
    }
    free(out);
}

static void check_pieces(const char *level)
{
    rm_compute compute = naive_compute(level, 2, RINGMOE_PRECISION_FP32);
    for (int s = 0; s < N_SHAPES; s++) {
        if (shapes[s].n_sequences > 1) continue;
        attention_case c = make_case(shapes[s]);
        rm_attention_forward(&compute, c.shape, c.q, c.k, c.v, c.out, c.logsumexp);
        check_piece(&compute, &c, 1);
        check_piece(&compute, &c, 37);
        free_case(&c);
    }
    rm_compute_free(&compute);
}

static void each_level(void (*check)(const char *level))
{
    for (const char *const *level = rm_kernels_levels(); *level; level++) check(*level);
}

static void test_definition(void **state)
{
    each_level(check_definition);
}

static void test_threads(void **state)
{
    each_level(check_threads);
}

static void test_pieces(void **state)
{
    each_level(check_pieces);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

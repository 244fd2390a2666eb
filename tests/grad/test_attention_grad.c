/* SPDX-License-Identifier: MIT
 *
 * Attention: the forward pass against the definition, gradients against differences, over odd
 * lengths, several blocks of keys and grouped heads; the same bits for any threads, and for a
 * query that comes alone after its keys.
 */
#include <string.h>

#include "difference.h"
#include "nn/attention.h"

static rm_compute compute;

static int open_compute(void **state)
{
    rm_error error;
    return rm_compute_init(&compute, NULL, 2, RINGMOE_PRECISION_FP32, &error);
}

static int close_compute(void **state)
{
    rm_compute_free(&compute);
    return 0;
}

typedef struct attention_case {
    rm_attention_shape shape;
    int64_t n_q, n_kv; /* elements */
    rm_real *q, *k, *v, *weights, *out, *logsumexp;
    rm_real *d_q, *d_k, *d_v, *workspace;
} attention_case;

static attention_case make_case(rm_attention_shape shape)
{
    int64_t rows = shape.n_sequences * shape.n_queries;
    attention_case c = {.shape = shape};
    c.n_q = rows * shape.n_heads * shape.head_dim;
    c.n_kv = rows * shape.n_kv_heads * shape.head_dim;
    c.q = random_values(c.n_q, 1, 2), c.k = random_values(c.n_kv, 2, 1);
    c.v = random_values(c.n_kv, 3, 1), c.weights = random_values(c.n_q, 4, 1);
    c.out = random_values(c.n_q, 5, 1), c.logsumexp = random_values(rows * shape.n_heads, 5, 1);
    c.d_q = random_values(c.n_q, 5, 1), c.d_k = random_values(c.n_kv, 5, 1);
    c.d_v = random_values(c.n_kv, 5, 1);
    c.workspace = random_values(rm_attention_workspace(rows, shape.n_heads), 5, 1);
    return c;
}

static void free_case(attention_case *c)
{
    free(c->q), free(c->k), free(c->v), free(c->weights), free(c->out), free(c->logsumexp);
    free(c->d_q), free(c->d_k), free(c->d_v), free(c->workspace);
}

static void forward(attention_case *c)
{
    rm_attention_forward(&compute, c->shape, c->q, c->k, c->v, c->out, c->logsumexp);
}

static void backward(attention_case *c)
{
    rm_attention_gradient gradient = {c->q,       c->k,   c->v,   c->out, c->logsumexp,
                                      c->weights, c->d_q, c->d_k, c->d_v, c->workspace};
    rm_attention_backward(&compute, c->shape, &gradient);
}

static double attention_loss(void *user)
{
    attention_case *c = user;
    forward(c);
    return weighted_sum(c->n_q, c->out, c->weights);
}

/* out[i] of one head by the definition. */
static void check_row(const attention_case *c, int64_t sequence, int64_t head, int64_t i)
{
    const rm_attention_shape *s = &c->shape;
    int64_t dim = s->head_dim, kv_head = head / (s->n_heads / s->n_kv_heads);
    int64_t row = sequence * s->n_queries;
    const rm_real *q = c->q + ((row + i) * s->n_heads + head) * dim;
    double *scores = calloc((size_t)i + 1, sizeof *scores), total = 0;
    for (int64_t j = 0; j <= i; j++) {
        const rm_real *k = c->k + ((row + j) * s->n_kv_heads + kv_head) * dim;
        scores[j] = exp(weighted_sum(dim, q, k) / sqrt((double)dim));
        total += scores[j];
    }
    for (int64_t at = 0; at < dim; at++) {
        double sum = 0;
        for (int64_t j = 0; j <= i; j++)
            sum += scores[j] / total * c->v[((row + j) * s->n_kv_heads + kv_head) * dim + at];
        assert_true(fabs(sum - c->out[((row + i) * s->n_heads + head) * dim + at]) < 1e-11);
    }
    free(scores);
}

static const rm_attention_shape shapes[] = {
    {.n_sequences = 2, .n_queries = 7, .n_heads = 2, .n_kv_heads = 2, .head_dim = 6},
    {.n_sequences = 1, .n_queries = 1, .n_heads = 1, .n_kv_heads = 1, .head_dim = 2},
    {.n_sequences = 2, .n_queries = 131, .n_heads = 6, .n_kv_heads = 2, .head_dim = 10},
    {.n_sequences = 1, .n_queries = 64, .n_heads = 3, .n_kv_heads = 1, .head_dim = 32},
    {.n_sequences = 1, .n_queries = 129, .n_heads = 1, .n_kv_heads = 1, .head_dim = 18},
    {.n_sequences = 1, .n_queries = 293, .n_heads = 4, .n_kv_heads = 2, .head_dim = 8},
    {.n_sequences = 1, .n_queries = 3, .n_heads = 130, .n_kv_heads = 1, .head_dim = 4},
    {.n_sequences = 1, .n_queries = 66, .n_heads = 1, .n_kv_heads = 1, .head_dim = 1024},
};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

static void test_definition(void **state)
{
    for (int s = 0; s < N_SHAPES; s++) {
        attention_case c = make_case(shapes[s]);
        forward(&c);
        for (int64_t sequence = 0; sequence < c.shape.n_sequences; sequence++)
            for (int64_t head = 0; head < c.shape.n_heads; head++)
                for (int64_t i = 0; i < c.shape.n_queries; i++)
                    check_row(&c, sequence, head, i);
        free_case(&c);
    }
}

static void test_gradients(void **state)
{
    for (int s = 0; s < N_SHAPES; s++) {
        attention_case c = make_case(shapes[s]);
        forward(&c);
        backward(&c);
        check_gradient("q", attention_loss, &c, c.q, c.n_q, c.d_q, 12);
        check_gradient("k", attention_loss, &c, c.k, c.n_kv, c.d_k, 12);
        check_gradient("v", attention_loss, &c, c.v, c.n_kv, c.d_v, 12);
        free_case(&c);
    }
}

static void test_threads(void **state)
{
    for (int s = 0; s < N_SHAPES; s++) {
        attention_case one = make_case(shapes[s]), two = make_case(shapes[s]);
        compute.n_threads = 1;
        forward(&one), backward(&one);
        compute.n_threads = 2;
        forward(&two), backward(&two);
        assert_memory_equal(one.out, two.out, (size_t)one.n_q * sizeof(rm_real));
        assert_memory_equal(one.d_q, two.d_q, (size_t)one.n_q * sizeof(rm_real));
        assert_memory_equal(one.d_k, two.d_k, (size_t)one.n_kv * sizeof(rm_real));
        assert_memory_equal(one.d_v, two.d_v, (size_t)one.n_kv * sizeof(rm_real));
        free_case(&one), free_case(&two);
    }
}

/* The last queries of a sequence in pieces of `piece`, after the keys before them. */
static void check_pieces(const attention_case *whole, int64_t piece)
{
    rm_attention_shape shape = whole->shape;
    int64_t width = shape.n_heads * shape.head_dim;
    rm_real *out = random_values(piece * width, 6, 1);
    for (int64_t first = 0; first < whole->shape.n_queries; first += piece) {
        shape.n_past = first;
        shape.n_queries = piece;
        if (first + piece > whole->shape.n_queries)
            shape.n_queries = whole->shape.n_queries - first;
        rm_attention_forward(&compute, shape, whole->q + first * width, whole->k, whole->v, out,
                             NULL);
        assert_memory_equal(out, whole->out + first * width,
                            (size_t)(shape.n_queries * width) * sizeof *out);
    }
    free(out);
}

static void test_pieces(void **state)
{
    for (int s = 0; s < N_SHAPES; s++) {
        if (shapes[s].n_sequences > 1) continue;
        attention_case c = make_case(shapes[s]);
        forward(&c);
        check_pieces(&c, 1);
        check_pieces(&c, 37);
        free_case(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests(tests, open_compute, close_compute);
}

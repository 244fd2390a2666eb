/* SPDX-License-Identifier: MIT
 *
 * Attention of one new token a sequence at every level: against the definition in double, and
 * the same bits for any number of threads and for a sequence alone.
 */
#include "naive.h"
#include "nn/attention_decode.h"

/* Around one span, several spans, one key. */
static const int64_t key_counts[] = {1, 255, 256, 257, 700, 3};
enum { N_SEQUENCES = sizeof key_counts / sizeof *key_counts };

typedef struct decode_case {
    rm_decode_shape shape;
    rm_decode_cache caches[N_SEQUENCES];
    rm_real *keys, *values, *q, *out, *workspace;
    int64_t n_out, n_workspace;
} decode_case;

static decode_case make_case(int64_t n_heads, int64_t n_kv_heads, int64_t head_dim)
{
    decode_case c = {.shape = {N_SEQUENCES, n_heads, n_kv_heads, head_dim}};
    int64_t rows = 0, width = n_kv_heads * head_dim;
    for (int s = 0; s < N_SEQUENCES; s++) rows += key_counts[s];
    c.keys = naive_random(1, rows * width);
    c.values = naive_random(2, rows * width);
    c.n_out = N_SEQUENCES * n_heads * head_dim;
    c.q = naive_random(3, c.n_out), c.out = naive_random(4, c.n_out);
    c.n_workspace = rm_attention_decode_workspace(N_SEQUENCES, rows, n_heads, head_dim);
    c.workspace = naive_random(5, c.n_workspace + 1);
    c.workspace[c.n_workspace] = 77;
    int64_t first = 0;
    for (int s = 0; s < N_SEQUENCES; first += key_counts[s++])
        c.caches[s] =
            (rm_decode_cache){c.keys + first * width, c.values + first * width, key_counts[s]};
    return c;
}

static void free_case(decode_case *c)
{
    free(c->keys), free(c->values), free(c->q), free(c->out), free(c->workspace);
}

static void check_head(const decode_case *c, int64_t sequence, int64_t head)
{
    const rm_decode_cache *cache = &c->caches[sequence];
    int64_t dim = c->shape.head_dim, width = c->shape.n_kv_heads * dim;
    int64_t kv = head / (c->shape.n_heads / c->shape.n_kv_heads) * dim;
    const rm_real *q = c->q + (sequence * c->shape.n_heads + head) * dim;
    const rm_real *out = c->out + (sequence * c->shape.n_heads + head) * dim;
    double *weights = naive_allocate(cache->n_keys, sizeof *weights), total = 0;
    for (int64_t j = 0; j < cache->n_keys; j++) {
        double score = 0;
        for (int64_t p = 0; p < dim; p++)
            score += (double)q[p] * (double)cache->k[j * width + kv + p];
        total += weights[j] = exp(score / sqrt((double)dim));
    }
    for (int64_t p = 0; p < dim; p++) {
        double sum = 0;
        for (int64_t j = 0; j < cache->n_keys; j++)
            sum += weights[j] * (double)cache->v[j * width + kv + p];
        assert_true(fabs((double)out[p] - sum / total) < 2e-5);
    }
    free(weights);
}

/* The same bits by other threads, and of each sequence alone. */
static void check_bits(const rm_compute *compute, decode_case *c)
{
    rm_real *alone = naive_random(6, c->n_out);
    int64_t width = c->shape.n_heads * c->shape.head_dim;
    for (int s = 0; s < N_SEQUENCES; s++) {
        rm_decode_shape one = c->shape;
        one.n_sequences = 1;
        rm_attention_decode(compute, one, &c->caches[s], c->q + s * width, alone + s * width,
                            c->workspace);
    }
    assert_memory_equal(alone, c->out, (size_t)c->n_out * sizeof *alone);
    free(alone);
}

static void check_level(const char *level, int64_t n_heads, int64_t n_kv_heads,
                        int64_t head_dim)
{
    rm_error error = {0};
    decode_case c = make_case(n_heads, n_kv_heads, head_dim);
    for (int threads = 1; threads <= 5; threads += 2) {
        rm_compute compute;
        assert_int_equal(
            rm_compute_init(&compute, level, threads, RINGMOE_PRECISION_FP32, &error), 0);
        if (threads == 1) {
            rm_attention_decode(&compute, c.shape, c.caches, c.q, c.out, c.workspace);
            for (int64_t s = 0; s < N_SEQUENCES; s++)
                for (int64_t head = 0; head < n_heads; head++) check_head(&c, s, head);
        }
        check_bits(&compute, &c);
        rm_compute_free(&compute);
    }
    assert_true(c.workspace[c.n_workspace] == 77);
    free_case(&c);
}

static void matches_the_definition(void **state)
{
    for (const char *const *level = rm_kernels_levels(); *level; level++) {
        check_level(*level, 4, 4, 16);
        check_level(*level, 6, 2, 20);
        check_level(*level, 16, 2, 64);
        check_level(*level, 5, 1, 13);
        check_level(*level, 130, 1, 8); /* more heads of a group than are taken at once */
    }
}

static void no_sequences_are_no_work(void **state)
{
    rm_error error = {0};
    rm_compute compute;
    assert_int_equal(rm_compute_init(&compute, NULL, 2, RINGMOE_PRECISION_FP32, &error), 0);
    rm_attention_decode(&compute, (rm_decode_shape){0, 4, 2, 8}, NULL, NULL, NULL, NULL);
    rm_compute_free(&compute);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_the_definition),
        cmocka_unit_test(no_sequences_are_no_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

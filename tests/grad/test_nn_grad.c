/* SPDX-License-Identifier: MIT
 *
 * Embedding, norm, rope and loss: gradients against differences, sinks that add, odd sizes.
 */
#include <string.h>

#include "difference.h"
#include "nn/embedding.h"
#include "nn/loss.h"
#include "nn/norm.h"
#include "nn/rope.h"

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

/* --- embedding ------------------------------------------------------------------------------
 */

enum { EMBEDDING_TOKENS = 9, EMBEDDING_VOCAB = 5, EMBEDDING_WIDTH = 7 };
static const int32_t embedding_tokens[EMBEDDING_TOKENS] = {3, 0, 3, 3, 1, 0, 4, 1, 3};

typedef struct embedding_case {
    rm_real *table, *weights, *y;
} embedding_case;

static double embedding_loss(void *user)
{
    embedding_case *c = user;
    rm_embedding_forward(&compute, EMBEDDING_TOKENS, EMBEDDING_WIDTH, embedding_tokens,
                         (rm_vocab_rows){0, EMBEDDING_VOCAB}, c->table, c->y);
    return weighted_sum(EMBEDDING_TOKENS * EMBEDDING_WIDTH, c->y, c->weights);
}

static void embedding_gradient(const rm_real *d_y, rm_sink sink)
{
    int32_t workspace[64];
    assert_true(rm_embedding_workspace(EMBEDDING_TOKENS, EMBEDDING_VOCAB) <= 64);
    rm_embedding_backward(&compute, EMBEDDING_TOKENS, EMBEDDING_WIDTH, embedding_tokens,
                          (rm_vocab_rows){0, EMBEDDING_VOCAB}, d_y, workspace, sink);
}

static void test_embedding(void **state)
{
    enum {
        n_table = EMBEDDING_VOCAB * EMBEDDING_WIDTH,
        n_y = EMBEDDING_TOKENS * EMBEDDING_WIDTH
    };
    embedding_case c = {random_values(n_table, 1, 1), random_values(n_y, 2, 1),
                        random_values(n_y, 3, 1)};
    rm_real *gradient = random_values(n_table, 4, 1), *added = random_values(n_table, 5, 1);
    rm_real *before = random_values(n_table, 5, 1);
    embedding_gradient(c.weights, (rm_sink){.data = gradient});
    check_gradient("table", embedding_loss, &c, c.table, n_table, gradient, n_table);
    for (int i = 0; i < EMBEDDING_WIDTH; i++)
        assert_true(gradient[2 * EMBEDDING_WIDTH + i] == 0); /* token 2 does not occur */
    embedding_gradient(c.weights, (rm_sink){.data = added, .add = true});
    for (int i = 0; i < n_table; i++)
        assert_true(fabs(added[i] - (before[i] + gradient[i])) < 1e-14);
    free(c.table), free(c.weights), free(c.y);
    free(gradient), free(added), free(before);
}

/* --- norm
 * ------------------------------------------------------------------------------------- */

typedef struct norm_case {
    rm_norm_shape shape;
    rm_real *x, *residual, *weight, *weights; /* the last are of the loss */
    rm_real *sum, *y, *rstd;
} norm_case;

static double norm_loss(void *user)
{
    norm_case *c = user;
    int64_t n = c->shape.n_rows * c->shape.width;
    memcpy(c->sum, c->x, (size_t)n * sizeof *c->x);
    bool finite =
        rm_norm_add_forward(&compute, c->shape, c->residual, c->sum, c->weight, c->y, c->rstd);
    assert_true(finite);
    return weighted_sum(n, c->y, c->weights);
}

static void check_norm(int64_t n_rows, int64_t width)
{
    int64_t n = n_rows * width;
    norm_case c = {.shape = {n_rows, width, 1e-5}};
    c.x = random_values(n, 1, 1), c.residual = random_values(n, 2, 1);
    c.weight = random_values(width, 3, 1), c.weights = random_values(n, 4, 1);
    c.sum = random_values(n, 0, 0), c.y = random_values(n, 0, 0);
    c.rstd = random_values(n_rows, 0, 0);
    rm_real *workspace = random_values(rm_norm_workspace(n_rows, width), 0, 0);
    rm_real *d_y = random_values(n, 4, 1), *d_x = random_values(n, 5, 1);
    rm_real *before = random_values(n, 5, 1), *d_weight = random_values(width, 6, 1);
    norm_loss(&c);
    rm_norm_backward(&compute, c.shape, c.sum, c.rstd, c.weight, d_y, true, d_x, workspace,
                     (rm_sink){.data = d_weight});
    for (int64_t i = 0; i < n; i++) d_x[i] -= before[i];
    check_gradient("norm x", norm_loss, &c, c.x, n, d_x, 60);
    check_gradient("norm weight", norm_loss, &c, c.weight, width, d_weight, 60);
    memcpy(d_y, c.weights, (size_t)n * sizeof *d_y);
    rm_real *doubled = random_values(width, 0, 0);
    memcpy(doubled, d_weight, (size_t)width * sizeof *doubled);
    rm_norm_backward(&compute, c.shape, c.sum, c.rstd, c.weight, d_y, false, d_y, workspace,
                     (rm_sink){.data = doubled, .add = true});
    for (int64_t i = 0; i < n; i++) assert_true(fabs(d_y[i] - d_x[i]) < 1e-12);
    for (int64_t i = 0; i < width; i++) assert_true(doubled[i] == d_weight[i] + d_weight[i]);
    free(c.x), free(c.residual), free(c.weight), free(c.weights), free(c.sum), free(c.y);
    free(c.rstd), free(workspace), free(d_y), free(d_x), free(before), free(d_weight);
    free(doubled);
}

static void test_norm(void **state)
{
    check_norm(3, 5);
    check_norm(65, 33); /* two blocks of rows */
    check_norm(200, 300);
}

static void test_norm_finds_infinities(void **state)
{
    rm_norm_shape shape = {2, 3, 1e-5};
    rm_real weight[] = {1, 1, 1}, y[6], rstd[2];
    rm_real good[] = {1, 2, 3, 0, 0, 0}, bad[] = {1, 2, 3, 1, (rm_real)INFINITY, 1};
    rm_real worse[] = {1, (rm_real)NAN, 3, 1, 1, 1};
    assert_true(rm_norm_forward(&compute, shape, good, weight, y, rstd));
    assert_false(rm_norm_forward(&compute, shape, bad, weight, y, rstd));
    assert_false(rm_norm_forward(&compute, shape, worse, weight, y, rstd));
}

static void test_norm_of_no_rows(void **state)
{
    rm_real d_weight[] = {1, 2, 3}, kept[] = {1, 2, 3};
    rm_norm_shape shape = {0, 3, 1e-5};
    rm_norm_backward(&compute, shape, NULL, NULL, NULL, NULL, true, NULL, NULL,
                     (rm_sink){.data = d_weight, .add = true});
    assert_memory_equal(d_weight, kept, sizeof kept);
    rm_norm_backward(&compute, shape, NULL, NULL, NULL, NULL, true, NULL, NULL,
                     (rm_sink){.data = d_weight});
    for (int i = 0; i < 3; i++) assert_true(d_weight[i] == 0);
}

/* --- rope
 * --------------------------------------------------------------------------------------- */

enum { ROPE_DIM = 6, ROPE_HEADS = 2, ROPE_SEQUENCE = 5, ROPE_ROWS = 2 * ROPE_SEQUENCE };

static rm_rope make_rope(rm_arena *arena)
{
    rm_rope rope = {.theta = 100, .head_dim = ROPE_DIM, .max_positions = 16};
    rm_error error;
    rm_rope_layout(&rope, arena);
    assert_int_equal(rm_arena_reserve(arena, arena->used, &error), RINGMOE_OK);
    rm_rope_layout(&rope, arena);
    rm_rope_prepare(&rope, &compute, 3);
    rm_rope_prepare(&rope, &compute, 16);
    return rope;
}

/* The rotation by its definition, on complex numbers made of the two halves. */
static void test_rope(void **state)
{
    enum { n = ROPE_ROWS * ROPE_HEADS * ROPE_DIM, half = ROPE_DIM / 2 };
    rm_arena arena = {0};
    rm_rope rope = make_rope(&arena);
    rm_real *x = random_values(n, 1, 1), *turned = random_values(n, 1, 1);
    int64_t positions[ROPE_ROWS];
    rm_rope_rows rows = {ROPE_ROWS, ROPE_SEQUENCE, ROPE_HEADS, positions};
    for (int row = 0; row < ROPE_ROWS; row++) positions[row] = 2 + row % ROPE_SEQUENCE;
    rm_rope_apply(&rope, &compute, rows, 1, turned);
    for (int i = 0; i < n; i++) {
        int row = i / (ROPE_HEADS * ROPE_DIM), at = i % ROPE_DIM, pair = at % half;
        double angle = (2 + row % ROPE_SEQUENCE) * pow(100, -2.0 * pair / ROPE_DIM);
        double sign = at < half ? -1 : 1, other = x[at < half ? i + half : i - half];
        assert_true(fabs(turned[i] - (x[i] * cos(angle) + sign * other * sin(angle))) < 1e-14);
    }
    rm_rope_apply(&rope, &compute, rows, -1, turned);
    for (int i = 0; i < n; i++) assert_true(fabs(turned[i] - x[i]) < 1e-14);
    free(x), free(turned);
    rm_arena_free(&arena);
}

/* --- loss
 * ------------------------------------------------------------------------------------- */

enum { LOSS_TOKENS = 6, LOSS_VOCAB = 37 };
static const int32_t loss_targets[LOSS_TOKENS] = {0, 36, 5, 5, 12, 30};

/* The loss over a vocabulary that one rank has. */
static void cross_entropy(int64_t n_tokens, int64_t vocab, const int32_t *targets,
                          rm_real scale, rm_real *logits, double *losses)
{
    rm_axis alone = {.size = 1};
    rm_loss_shape shape = {.n_tokens = n_tokens, .vocab = vocab, .tensor = &alone};
    assert_int_equal(rm_cross_entropy_workspace(n_tokens, vocab, 1, true), 0);
    assert_int_equal(
        rm_cross_entropy(&compute, &shape, targets, scale, logits, losses, NULL, NULL, NULL),
        RINGMOE_OK);
}

static double cross_entropy_loss(void *user)
{
    rm_real logits[LOSS_TOKENS * LOSS_VOCAB];
    double losses[LOSS_TOKENS], sum = 0;
    memcpy(logits, user, sizeof logits);
    cross_entropy(LOSS_TOKENS, LOSS_VOCAB, loss_targets, 1, logits, losses);
    for (int t = 0; t < LOSS_TOKENS; t++) sum += 0.25 * losses[t];
    return sum;
}

static void test_loss(void **state)
{
    enum { n = LOSS_TOKENS * LOSS_VOCAB };
    rm_real *logits = random_values(n, 1, 3), *gradient = random_values(n, 1, 3);
    double losses[LOSS_TOKENS];
    cross_entropy(LOSS_TOKENS, LOSS_VOCAB, loss_targets, 0.25, gradient, losses);
    check_gradient("logits", cross_entropy_loss, logits, logits, n, gradient, n);
    for (int i = 0; i < LOSS_VOCAB; i++) logits[i] = 1000; /* uniform, far from 0 */
    cross_entropy(1, LOSS_VOCAB, loss_targets, 1, logits, losses);
    assert_true(fabs(losses[0] - log(LOSS_VOCAB)) < 1e-12);
    free(logits), free(gradient);
}

/* A vocabulary that is summed in several parts. */
enum { WIDE_VOCAB = 9001, WIDE_TOKENS = 2 };
static const int32_t wide_targets[WIDE_TOKENS] = {8999, 4};

static double wide_loss(void *user)
{
    rm_real *logits = malloc(WIDE_TOKENS * WIDE_VOCAB * sizeof *logits);
    double losses[WIDE_TOKENS];
    memcpy(logits, user, WIDE_TOKENS * WIDE_VOCAB * sizeof *logits);
    cross_entropy(WIDE_TOKENS, WIDE_VOCAB, wide_targets, 1, logits, losses);
    free(logits);
    return losses[0] + losses[1];
}

static void test_wide_loss(void **state)
{
    enum { n = WIDE_TOKENS * WIDE_VOCAB };
    rm_real *logits = random_values(n, 1, 3), *gradient = random_values(n, 1, 3);
    double losses[WIDE_TOKENS];
    for (int i = 5000; i < 6000; i++) logits[i] += 20; /* parts of different size */
    memcpy(gradient, logits, n * sizeof *logits);
    cross_entropy(WIDE_TOKENS, WIDE_VOCAB, wide_targets, 1, gradient, losses);
    check_gradient("logits", wide_loss, logits, logits, n, gradient, 40);
    for (int i = 0; i < 4096; i++) logits[i] = -INFINITY; /* impossible tokens */
    cross_entropy(1, WIDE_VOCAB, wide_targets, 1, logits, losses);
    assert_true(isfinite(losses[0]) && logits[0] == 0 && logits[5000] > 0);
    free(logits), free(gradient);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embedding),
        cmocka_unit_test(test_norm),
        cmocka_unit_test(test_norm_finds_infinities),
        cmocka_unit_test(test_norm_of_no_rows),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_wide_loss),
    };
    return cmocka_run_group_tests(tests, open_compute, close_compute);
}

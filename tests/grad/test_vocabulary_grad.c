/* SPDX-License-Identifier: MIT
 *
 * A vocabulary that tensor ranks share: the sliced loss against the whole one and against
 * differences, the same bits for any number of ranks where that is asked for, and the embedding
 * whose rows lie on several ranks. Run on 1, 2, 3 and 4 ranks.
 */
#include <mpi.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "difference.h"

#include "comm/mesh.h"
#include "comm/sum.h"
#include "nn/embedding.h"
#include "nn/loss.h"

enum { TOKENS = 5, WIDTH = 3 };

static ringmoe_context *context;
static rm_axis alone = {.size = 1};
static const rm_compute *compute;

static int open_context(void **state)
{
    ringmoe_context_settings settings;
    ringmoe_context_settings_default(&settings);
    settings.n_threads = 2;
    assert_int_equal(ringmoe_context_create(MPI_COMM_WORLD, &settings, &context), RINGMOE_OK);
    compute = &context->compute;
    return 0;
}

static int close_context(void **state)
{
    ringmoe_context_destroy(&context);
    return 0;
}

/* Losses and gradients of this rank's columns of [TOKENS][vocab] logits, which stay. */
static void run(const rm_axis *axis, int64_t vocab, bool reproducible, const int32_t *targets,
                const rm_real *logits, rm_real *gradients, double *losses)
{
    rm_loss_shape shape = {TOKENS, vocab, axis, reproducible};
    rm_comm_times times = {0};
    int64_t first, n = rm_split(vocab, axis->size, axis->rank, &first);
    double *workspace =
        calloc((size_t)rm_cross_entropy_workspace(TOKENS, vocab, axis->size, reproducible) + 1,
               sizeof *workspace);
    for (int64_t t = 0; t < TOKENS; t++)
        memcpy(gradients + t * n, logits + t * vocab + first, (size_t)n * sizeof *logits);
    assert_int_equal(rm_cross_entropy(compute, &shape, targets, 0.5, gradients, losses,
                                      workspace, &times, &context->error),
                     RINGMOE_OK);
    free(workspace);
}

/* The first column of every rank, the last ones, and others. */
static void choose_targets(int64_t vocab, int32_t targets[TOKENS])
{
    for (int t = 0; t < TOKENS; t++) targets[t] = (int32_t)(t * (vocab - 1) / (TOKENS - 1));
}

static void check_vocabulary(int64_t vocab, bool reproducible)
{
    const rm_axis *world = &context->world;
    rm_real *logits = random_values(TOKENS * vocab, 1, 3);
    rm_real *whole = random_values(TOKENS * vocab, 0, 0),
            *own = random_values(TOKENS * vocab, 0, 0);
    double losses[TOKENS], whole_losses[TOKENS];
    int32_t targets[TOKENS];
    bool same_bits = reproducible && RM_INNER_BLOCKS % world->size == 0;
    int64_t first, n = rm_split(vocab, world->size, world->rank, &first);
    choose_targets(vocab, targets);
    run(&alone, vocab, reproducible, targets, logits, whole, whole_losses);
    run(world, vocab, reproducible, targets, logits, own, losses);
    for (int64_t t = 0; t < TOKENS; t++) {
        assert_true(fabs(losses[t] - whole_losses[t]) <= (same_bits ? 0 : 1e-12));
        for (int64_t i = 0; i < n; i++)
            assert_true(fabs(own[t * n + i] - whole[t * vocab + first + i]) <=
                        (same_bits ? 0 : 1e-13));
    }
    free(logits), free(whole), free(own);
}

static void test_slices_are_as_the_whole(void **state)
{
    static const int64_t sizes[] = {4, 7, 256, 9001, 40000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        check_vocabulary(sizes[i], false);
        check_vocabulary(sizes[i], true);
    }
}

/* A rank all of whose tokens are impossible. */
static void test_impossible_slices(void **state)
{
    enum { VOCAB = 64 };
    int32_t targets[TOKENS];
    double losses[TOKENS];
    rm_real *logits = random_values(TOKENS * VOCAB, 1, 3), own[TOKENS * VOCAB];
    choose_targets(VOCAB, targets);
    for (int64_t t = 0; t < TOKENS; t++) {
        targets[t] = VOCAB - 1;
        for (int64_t i = 0; i < VOCAB / 2; i++) logits[t * VOCAB + i] = -(rm_real)INFINITY;
    }
    run(&context->world, VOCAB, true, targets, logits, own, losses);
    for (int64_t t = 0; t < TOKENS; t++) assert_true(isfinite(losses[t]));
    free(logits);
}

typedef struct sliced_case {
    int64_t vocab;
    int32_t targets[TOKENS];
    rm_real *logits, *gradients;
} sliced_case;

static double sliced_loss(void *user)
{
    sliced_case *c = user;
    double losses[TOKENS], sum = 0;
    run(&context->world, c->vocab, false, c->targets, c->logits, c->gradients, losses);
    for (int t = 0; t < TOKENS; t++) sum += 0.5 * losses[t];
    return sum;
}

/* All ranks move the same logits, of which each has some. */
static void test_differences(void **state)
{
    sliced_case c = {.vocab = 11};
    int64_t n_all = TOKENS * c.vocab, first;
    int64_t n = rm_split(c.vocab, context->world.size, context->world.rank, &first);
    rm_real *gradients = random_values(n_all, 0, 0);
    choose_targets(c.vocab, c.targets);
    c.logits = random_values(n_all, 1, 2), c.gradients = random_values(n_all, 0, 0);
    sliced_loss(&c);
    for (int64_t t = 0; t < TOKENS; t++)
        memcpy(gradients + t * c.vocab + first, c.gradients + t * n,
               (size_t)n * sizeof(rm_real));
    assert_int_equal(rm_sum(&context->world, gradients, n_all, compute, NULL, &context->error),
                     RINGMOE_OK);
    check_gradient("sliced logits", sliced_loss, &c, c.logits, n_all, gradients, n_all);
    free(c.logits), free(c.gradients), free(gradients);
}

/* A table of `vocab` rows; the rows of tokens and their gradients do not depend on the ranks.
 */
static void test_embedding_rows(void **state)
{
    enum { VOCAB = 6, N_TOKENS = 9 };
    static const int32_t tokens[N_TOKENS] = {3, 0, 3, 3, 1, 5, 4, 1, 3};
    int32_t workspace[64];
    rm_real *table = random_values(VOCAB * WIDTH, 1, 1),
            *d_y = random_values(N_TOKENS * WIDTH, 2, 1);
    rm_real y[N_TOKENS * WIDTH], whole[VOCAB * WIDTH], own[VOCAB * WIDTH];
    rm_vocab_rows all = {0, VOCAB}, rows;
    rows.n = rm_split(VOCAB, context->world.size, context->world.rank, &rows.first);
    table[3 * WIDTH] = -(rm_real)0; /* its sign survives the sum */
    assert_true(rm_embedding_workspace(N_TOKENS, VOCAB) <= 64);
    rm_embedding_forward(compute, N_TOKENS, WIDTH, tokens, rows, table + rows.first * WIDTH, y);
    assert_int_equal(
        rm_sum(&context->world, y, N_TOKENS * WIDTH, compute, NULL, &context->error),
        RINGMOE_OK);
    for (int t = 0; t < N_TOKENS; t++)
        assert_memory_equal(y + t * WIDTH, table + tokens[t] * WIDTH, WIDTH * sizeof *y);
    rm_embedding_backward(compute, N_TOKENS, WIDTH, tokens, all, d_y, workspace,
                          (rm_sink){.data = whole});
    rm_embedding_backward(compute, N_TOKENS, WIDTH, tokens, rows, d_y, workspace,
                          (rm_sink){.data = own});
    assert_memory_equal(own, whole + rows.first * WIDTH,
                        (size_t)(rows.n * WIDTH) * sizeof *own);
    free(table), free(d_y);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices_are_as_the_whole),
        cmocka_unit_test(test_impossible_slices),
        cmocka_unit_test(test_differences),
        cmocka_unit_test(test_embedding_rows),
    };
    MPI_Init(&argc, &argv);
    int failed = cmocka_run_group_tests(tests, open_context, close_context);
    MPI_Finalize();
    return failed;
}

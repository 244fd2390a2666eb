/* SPDX-License-Identifier: MIT
 *
 * The ways through a model: the same bits for any threads; evaluation, training and token by
 * token with a cache agree to the bit; what is refused; the layer that is not finite is named.
 */
#include <math.h>

#include "model_fixture.h"
#include "nn/loss.h"

enum { SEQUENCES = 3, LENGTH = 90, TOKENS = SEQUENCES * LENGTH };

static int32_t tokens[TOKENS], targets[TOKENS];

static rm_batch make_batch(void)
{
    fill_tokens(tokens, TOKENS, 1);
    fill_tokens(targets, TOKENS, 2);
    return (rm_batch){.tokens = tokens,
                      .targets = targets,
                      .n_sequences = SEQUENCES,
                      .seq_len = LENGTH,
                      .scale = (rm_real)0.5};
}

/* --- training -------------------------------------------------------------------------------
 */

typedef struct gradients {
    rm_real *spaces[RM_N_KINDS];
    int64_t elements[RM_N_KINDS];
    rm_pass_result result;
} gradients;

static gradients train(ringmoe_model *model, int n_passes)
{
    gradients made;
    rm_batch batch = make_batch();
    for (int space = 0; space < RM_N_KINDS; space++) {
        made.elements[space] = rm_model_parameters(model)->space_elements[space];
        made.spaces[space] = calloc((size_t)made.elements[space], sizeof(rm_real));
    }
    for (int pass = 0; pass < n_passes; pass++) {
        rm_sink dense = {.data = made.spaces[RM_KIND_DENSE]};
        rm_sink experts = {.data = made.spaces[RM_KIND_EXPERT]};
        assert_int_equal(
            rm_model_train_pass(model, &batch, dense, &experts, NULL, NULL, &made.result),
            RINGMOE_OK);
    }
    return made;
}

static void free_gradients(gradients *made)
{
    for (int space = 0; space < RM_N_KINDS; space++) free(made->spaces[space]);
}

static void check_same(const gradients *a, const gradients *b)
{
    assert_true(a->result.loss == b->result.loss);
    assert_true(a->result.balance_loss == b->result.balance_loss);
    for (int space = 0; space < RM_N_KINDS; space++)
        assert_memory_equal(a->spaces[space], b->spaces[space],
                            (size_t)a->elements[space] * sizeof(rm_real));
}

static void check_threads(ringmoe_precision precision, int tied)
{
    ringmoe_model_config config = fixture_config();
    config.tie_word_embeddings = tied;
    model_fixture one = open_model(1, precision, RM_MODEL_TRAINING, &config);
    model_fixture two = open_model(2, precision, RM_MODEL_TRAINING, &config);
    gradients a = train(one.model, 1), b = train(two.model, 1), again = train(two.model, 2);
    assert_true(a.result.loss > 3 && a.result.loss < 5);
    check_same(&a, &b);
    check_same(&a, &again);
    free_gradients(&a), free_gradients(&b), free_gradients(&again);
    close_fixture(&one), close_fixture(&two);
}

static void test_threads(void **state)
{
    check_threads(RINGMOE_PRECISION_FP32, 0);
    check_threads(RINGMOE_PRECISION_BF16, 1);
}

/* --- evaluation and generation --------------------------------------------------------------
 */

static void test_evaluation(void **state)
{
    ringmoe_model_config config = fixture_config();
    model_fixture training = open_model(2, RINGMOE_PRECISION_FP32, RM_MODEL_TRAINING, &config);
    model_fixture inference =
        open_model(2, RINGMOE_PRECISION_FP32, RM_MODEL_INFERENCE, &config);
    gradients trained = train(training.model, 1);
    rm_batch batch = make_batch();
    rm_pass_result a, b;
    assert_int_equal(rm_model_eval_pass(training.model, &batch, &a), RINGMOE_OK);
    assert_int_equal(rm_model_eval_pass(inference.model, &batch, &b), RINGMOE_OK);
    assert_true(a.loss == trained.result.loss && b.loss == a.loss);
    batch.n_sequences = 0;
    assert_int_equal(rm_model_eval_pass(inference.model, &batch, &b), RINGMOE_OK);
    assert_true(b.loss == 0 && b.first_bad_layer == -1);
    free_gradients(&trained);
    close_fixture(&training), close_fixture(&inference);
}

/* A cache in memory of its own. */
typedef struct own_cache {
    rm_arena arena;
    rm_kv_cache cache;
} own_cache;

static own_cache make_cache(const ringmoe_model *model, int n_places, int64_t capacity)
{
    own_cache own = {{0}, {0}};
    rm_error error;
    rm_kv_cache_layout(&own.cache, model, n_places, capacity, &own.arena);
    assert_int_equal(rm_arena_reserve(&own.arena, own.arena.used, &error), RINGMOE_OK);
    rm_kv_cache_layout(&own.cache, model, n_places, capacity, &own.arena);
    return own;
}

/* A pass of one text. */
static ringmoe_status decode(ringmoe_model *model, rm_kv_cache *cache, int64_t n_past,
                             int64_t n_new, rm_real *logits)
{
    rm_decode_run run = {0, n_past, n_new, true};
    rm_decode_batch batch = {cache, &run, 1, tokens + n_past, false};
    return rm_model_decode(model, &batch, logits);
}

/* The same for one token that was made. */
static ringmoe_status decode_made(ringmoe_model *model, rm_kv_cache *cache, int64_t n_past,
                                  rm_real *logits)
{
    rm_decode_run run = {0, n_past, 1, true};
    rm_decode_batch batch = {cache, &run, 1, tokens + n_past, true};
    return rm_model_decode(model, &batch, logits);
}

/* The loss of a sequence whose logits come one token at a time, after `n_prompt` at once. */
static double decoded_loss(ringmoe_model *model, rm_kv_cache *cache, const rm_compute *compute)
{
    double sum = 0, loss;
    rm_real logits[FIXTURE_VOCAB];
    rm_axis alone = {.size = 1};
    rm_loss_shape shape = {.n_tokens = 1, .vocab = FIXTURE_VOCAB, .tensor = &alone};
    for (int64_t t = 0; t < LENGTH; t++) {
        assert_int_equal(decode(model, cache, t, 1, logits), RINGMOE_OK);
        assert_int_equal(
            rm_cross_entropy(compute, &shape, targets + t, 1, logits, &loss, NULL, NULL, NULL),
            RINGMOE_OK);
        sum += loss;
    }
    return sum / LENGTH;
}

static void check_decoding(ringmoe_precision precision, rm_model_use use)
{
    ringmoe_model_config config = fixture_config();
    model_fixture f = open_model(2, precision, use, &config);
    own_cache own = make_cache(f.model, 1, LENGTH);
    rm_batch batch = make_batch();
    rm_pass_result whole;
    rm_real alone[FIXTURE_VOCAB], together[FIXTURE_VOCAB];
    batch.n_sequences = 1;
    assert_int_equal(rm_model_eval_pass(f.model, &batch, &whole), RINGMOE_OK);
    assert_true(whole.loss == decoded_loss(f.model, &own.cache, &f.context->compute));
    assert_int_equal(decode(f.model, &own.cache, LENGTH - 1, 1, alone), RINGMOE_OK);
    assert_int_equal(decode(f.model, &own.cache, 0, 50, together), RINGMOE_OK);
    assert_int_equal(decode(f.model, &own.cache, 50, LENGTH - 50, together), RINGMOE_OK);
    assert_memory_equal(alone, together, sizeof alone);
    assert_int_equal(decode_made(f.model, &own.cache, LENGTH - 1, alone), RINGMOE_OK);
    for (int i = 0; i < FIXTURE_VOCAB; i++) /* the same sums in another order */
        assert_true(fabs((double)(alone[i] - together[i])) < 1e-2);
    rm_arena_free(&own.arena);
    close_fixture(&f);
}

/* Three texts at positions of their own in one pass: each has the logits that it has alone. */
static void check_decoding_together(ringmoe_precision precision, bool generated)
{
    enum { N_TEXTS = 3, VOCAB = FIXTURE_VOCAB };
    const int64_t lengths[] = {40, 3, 61}, more[] = {1, generated ? 1 : 20, 1};
    ringmoe_model_config config = fixture_config();
    config.capacity_factor = 0.5; /* drops nothing in generation */
    model_fixture f = open_model(2, precision, RM_MODEL_INFERENCE, &config);
    own_cache own = make_cache(f.model, N_TEXTS, LENGTH),
              single = make_cache(f.model, 1, LENGTH);
    rm_real alone[N_TEXTS * VOCAB], first[VOCAB], together[N_TEXTS * VOCAB];
    int32_t rows[LENGTH];
    rm_decode_run runs[N_TEXTS];
    int64_t n_rows = 0;
    for (int i = 0; i < N_TEXTS; i++) {
        rm_decode_run beginning = {N_TEXTS - 1 - i, 0, lengths[i], false};
        rm_decode_batch batch = {&own.cache, &beginning, 1, tokens, false};
        assert_int_equal(rm_model_decode(f.model, &batch, NULL), RINGMOE_OK);
        assert_int_equal(decode(f.model, &single.cache, 0, lengths[i], first), RINGMOE_OK);
        assert_int_equal(
            generated ? decode_made(f.model, &single.cache, lengths[i], alone + i * VOCAB)
                      : decode(f.model, &single.cache, lengths[i], more[i], alone + i * VOCAB),
            RINGMOE_OK);
        runs[i] = (rm_decode_run){N_TEXTS - 1 - i, lengths[i], more[i], true};
        memcpy(rows + n_rows, tokens + lengths[i], (size_t)more[i] * sizeof *rows);
        n_rows += more[i];
    }
    rm_decode_batch batch = {&own.cache, runs, N_TEXTS, rows, generated};
    assert_int_equal(rm_model_decode(f.model, &batch, together), RINGMOE_OK);
    assert_memory_equal(alone, together, sizeof alone);
    rm_arena_free(&own.arena);
    rm_arena_free(&single.arena);
    close_fixture(&f);
}

static void test_decoding_together(void **state)
{
    check_decoding_together(RINGMOE_PRECISION_FP32, false);
    check_decoding_together(RINGMOE_PRECISION_FP32, true);
    check_decoding_together(RINGMOE_PRECISION_BF16, true);
}

static void test_decoding(void **state)
{
    check_decoding(RINGMOE_PRECISION_FP32, RM_MODEL_INFERENCE);
    check_decoding(RINGMOE_PRECISION_FP32, RM_MODEL_TRAINING);
    check_decoding(RINGMOE_PRECISION_BF16, RM_MODEL_INFERENCE);
}

/* --- what is refused, what is found
 * ----------------------------------------------------------- */

static void test_refusals(void **state)
{
    ringmoe_model_config config = fixture_config();
    model_fixture f = open_model(1, RINGMOE_PRECISION_FP32, RM_MODEL_INFERENCE, &config);
    own_cache own = make_cache(f.model, 1, 10);
    rm_batch batch = make_batch();
    rm_pass_result result;
    rm_real logits[FIXTURE_VOCAB];
    rm_sink none = {0};
    assert_int_equal(rm_model_train_pass(f.model, &batch, none, &none, NULL, NULL, &result),
                     RINGMOE_ERROR_STATE);
    batch.n_sequences = 4;
    assert_int_equal(rm_model_eval_pass(f.model, &batch, &result), RINGMOE_ERROR_ARGUMENT);
    assert_non_null(strstr(fixture_error(&f), "at most 300 tokens"));
    batch.n_sequences = 1;
    batch.seq_len = 201;
    assert_int_equal(rm_model_eval_pass(f.model, &batch, &result), RINGMOE_ERROR_ARGUMENT);
    assert_non_null(strstr(fixture_error(&f), "max_position_embeddings"));
    assert_int_equal(decode(f.model, &own.cache, 8, 3, logits), RINGMOE_ERROR_ARGUMENT);
    assert_int_equal(decode(f.model, &own.cache, 8, 0, logits), RINGMOE_ERROR_ARGUMENT);
    ringmoe_model *model;
    config.num_key_value_heads = 3;
    assert_int_equal(
        rm_model_create(f.mesh, &config, &(rm_model_settings){.max_tokens = 10}, &model),
        RINGMOE_ERROR_ARGUMENT);
    assert_null(model);
    config = fixture_config();
    assert_int_equal(rm_model_create(f.mesh, &config, &(rm_model_settings){0}, &model),
                     RINGMOE_ERROR_ARGUMENT);
    rm_arena_free(&own.arena);
    close_fixture(&f);
}

/* The first bad layer when one weight of the named parameter is set to `value`. */
static int first_bad_layer(const char *name, rm_real value)
{
    ringmoe_model_config config = fixture_config();
    model_fixture f = open_model(1, RINGMOE_PRECISION_FP32, RM_MODEL_TRAINING, &config);
    const rm_parameter_table *table = rm_model_parameters(f.model);
    for (int i = 0; i < table->n_parameters; i++)
        if (!strcmp(table->parameters[i].name, name))
            rm_model_space(f.model, table->parameters[i].space)[table->parameters[i].offset] =
                value;
    rm_model_pack(f.model);
    gradients made = train(f.model, 1);
    free_gradients(&made);
    close_fixture(&f);
    return made.result.first_bad_layer;
}

static void test_bad_layers(void **state)
{
    rm_real infinity = (rm_real)INFINITY, nan = (rm_real)NAN;
    assert_int_equal(first_bad_layer("", 0), -1);
    assert_int_equal(first_bad_layer("model.layers.0.mlp.down_proj.weight", infinity), 0);
    assert_int_equal(first_bad_layer("model.layers.1.self_attn.q_proj.weight", nan), 1);
    assert_int_equal(
        first_bad_layer("model.layers.2.block_sparse_moe.experts.1.w2.weight", nan), 2);
    assert_int_equal(first_bad_layer("lm_head.weight", nan), 3);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),  cmocka_unit_test(test_evaluation),
        cmocka_unit_test(test_decoding), cmocka_unit_test(test_decoding_together),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_bad_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    return run_with_mpi(argc, argv, run);
}

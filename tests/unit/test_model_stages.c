/* SPDX-License-Identifier: MIT
 *
 * A model cut into stages gives the bits of the model in one piece: losses, counts and every
 * gradient, for uneven and empty stages, for a whole and a split backward pass, for every way
 * of recomputation, one microbatch after the other and all forward before the first goes back.
 * Activations are NaN to begin with, so nothing is read that was not written.
 */
#include "model_fixture.h"

enum { SEQUENCES = 2, LENGTH = 35, TOKENS = SEQUENCES * LENGTH, MICROBATCHES = 3 };
enum { MAX_STAGES = 6, N_COUNTS = FIXTURE_LAYERS * FIXTURE_EXPERTS };

/* How a model is cut and run. */
typedef struct variant {
    const char *name;
    int n_stages, bounds[MAX_STAGES + 1];
    bool split, all_forward_first;
    ringmoe_recompute recompute;
} variant;

typedef struct run {
    model_fixture fixture;
    const variant *variant;
    rm_real *gradients[RM_MAX_SPACES];
    rm_real *passed[MAX_STAGES][MICROBATCHES], *d_passed[MAX_STAGES];
    int32_t tokens[MICROBATCHES][TOKENS], targets[MICROBATCHES][TOKENS];
    int64_t counts[N_COUNTS];
    rm_layer_losses layer_losses[MICROBATCHES][FIXTURE_LAYERS];
    double losses[MICROBATCHES];
} run;

static ringmoe_model_config noisy_config(int tied)
{
    ringmoe_model_config config = fixture_config();
    config.tie_word_embeddings = tied;
    config.router_jitter_noise = 0.2;
    return config;
}

static void fill_microbatches(run *r)
{
    for (int m = 0; m < MICROBATCHES; m++) {
        fill_tokens(r->tokens[m], TOKENS, (uint64_t)(10 + m));
        fill_tokens(r->targets[m], TOKENS, (uint64_t)(20 + m));
    }
}

static run open_run(const variant *v, const ringmoe_model_config *config,
                    ringmoe_precision precision)
{
    run r = {.fixture = open_mesh(2, precision), .variant = v};
    rm_model_settings settings = {.use = RM_MODEL_TRAINING,
                                  .max_tokens = TOKENS,
                                  .seed = 4,
                                  .partition = {.n_stages = v->n_stages, .n_pipeline = 1},
                                  .split_backward = v->split,
                                  .recompute = v->recompute};
    memcpy(settings.partition.bounds, v->bounds, sizeof v->bounds);
    for (int chunk = 0; chunk < v->n_stages; chunk++)
        settings.n_slots[chunk] = v->all_forward_first ? MICROBATCHES : 1;
    assert_int_equal(rm_model_create(r.fixture.mesh, config, &settings, &r.fixture.model),
                     RINGMOE_OK);
    rm_model_initialize(r.fixture.model, 3);
    assert_int_equal(rm_model_tie_head(r.fixture.model), RINGMOE_OK);
    rm_model_pack(r.fixture.model);
    for (int space = 0; space < rm_model_spaces(r.fixture.model); space++) {
        int64_t n = rm_model_space_elements(r.fixture.model, space);
        r.gradients[space] = malloc((size_t)(n + 1) * sizeof(rm_real));
        memset(r.gradients[space], 0xff, (size_t)(n + 1) * sizeof(rm_real));
    }
    size_t bytes = (size_t)(TOKENS * config->hidden_size) * sizeof(rm_real);
    for (int stage = 0; stage < v->n_stages; stage++) {
        for (int m = 0; m < MICROBATCHES; m++) r.passed[stage][m] = malloc(bytes);
        r.d_passed[stage] = malloc(bytes);
    }
    fill_microbatches(&r);
    return r;
}

static void close_run(run *r)
{
    for (int space = 0; space < RM_MAX_SPACES; space++) free(r->gradients[space]);
    for (int stage = 0; stage < r->variant->n_stages; stage++) {
        for (int m = 0; m < MICROBATCHES; m++) free(r->passed[stage][m]);
        free(r->d_passed[stage]);
    }
    close_fixture(&r->fixture);
}

static rm_batch batch_of(run *r, int m)
{
    return (rm_batch){.tokens = r->tokens[m],
                      .targets = r->targets[m],
                      .n_sequences = SEQUENCES,
                      .seq_len = LENGTH,
                      .microbatch = m,
                      .global_microbatch = m,
                      .scale = (rm_real)0.25,
                      .layer_losses = r->layer_losses[m]};
}

static ringmoe_stage_call call_of(run *r, ringmoe_stage_operation operation, int stage, int m)
{
    bool backward = operation != RINGMOE_STAGE_FORWARD;
    bool streams = operation != RINGMOE_STAGE_BACKWARD_WEIGHT;
    int last = r->variant->n_stages - 1;
    ringmoe_stage_call call = {.operation = operation,
                               .microbatch = m,
                               .chunk = stage,
                               .stage = stage,
                               .slot = r->variant->all_forward_first ? m : 0};
    if (stage > 0) call.input = r->passed[stage - 1][m];
    if (stage < last && !backward) call.output = r->passed[stage][m];
    if (stage < last && backward && streams) call.d_output = r->d_passed[stage];
    if (stage > 0 && backward && streams) call.d_input = r->d_passed[stage - 1];
    return call;
}

static void forward(run *r, int m)
{
    for (int stage = 0; stage < r->variant->n_stages; stage++) {
        rm_batch batch = batch_of(r, m);
        ringmoe_stage_call call = call_of(r, RINGMOE_STAGE_FORWARD, stage, m);
        rm_pass_result result;
        assert_int_equal(
            rm_model_forward_stage(r->fixture.model, &batch, &call, NULL, r->counts, &result),
            RINGMOE_OK);
        assert_int_equal(result.first_bad_layer, -1);
        r->losses[m] = result.loss;
    }
}

static void backward_stage(run *r, ringmoe_stage_operation operation, int stage, int m)
{
    rm_batch batch = batch_of(r, m);
    ringmoe_stage_call call = call_of(r, operation, stage, m);
    rm_sink sinks[RM_N_KINDS] = {{NULL, false}, {NULL, false}};
    for (int kind = 0; kind < RM_N_KINDS && operation != RINGMOE_STAGE_BACKWARD_INPUT; kind++)
        sinks[kind] = (rm_sink){r->gradients[stage * RM_N_KINDS + kind], .add = m > 0};
    assert_int_equal(rm_model_backward_stage(r->fixture.model, &batch, &call,
                                             sinks[RM_KIND_DENSE], &sinks[RM_KIND_EXPERT],
                                             NULL),
                     RINGMOE_OK);
}

/* Split, the weights' half of a stage comes after the inputs' half of all stages. */
static void backward(run *r, int m)
{
    bool split = r->variant->split;
    for (int stage = r->variant->n_stages - 1; stage >= 0; stage--)
        backward_stage(r, split ? RINGMOE_STAGE_BACKWARD_INPUT : RINGMOE_STAGE_BACKWARD, stage,
                       m);
    for (int stage = 0; split && stage < r->variant->n_stages; stage++)
        backward_stage(r, RINGMOE_STAGE_BACKWARD_WEIGHT, stage, m);
}

static void train(run *r)
{
    rm_model_poison(r->fixture.model);
    for (int m = 0; m < MICROBATCHES; m++) {
        forward(r, m);
        if (!r->variant->all_forward_first) backward(r, m);
    }
    for (int m = 0; r->variant->all_forward_first && m < MICROBATCHES; m++) backward(r, m);
}

static void check_same(const run *whole, const run *cut)
{
    const rm_parameter_table *a = rm_model_parameters(whole->fixture.model);
    const rm_parameter_table *b = rm_model_parameters(cut->fixture.model);
    assert_memory_equal(whole->losses, cut->losses, sizeof whole->losses);
    assert_memory_equal(whole->counts, cut->counts, sizeof whole->counts);
    assert_memory_equal(whole->layer_losses, cut->layer_losses, sizeof whole->layer_losses);
    assert_int_equal(a->n_parameters, b->n_parameters);
    for (int i = 0; i < a->n_parameters; i++) {
        const rm_parameter *p = &a->parameters[i], *q = &b->parameters[i];
        size_t bytes = (size_t)p->n_elements * sizeof(rm_real);
        if (memcmp(whole->gradients[p->space] + p->offset, cut->gradients[q->space] + q->offset,
                   bytes) != 0)
            fail_msg("%s: the gradient of %s differs", cut->variant->name, p->name);
    }
}

static const variant whole = {.name = "whole", .n_stages = 1, .bounds = {0, FIXTURE_LAYERS}};

static const variant variants[] = {
    {"again", 1, {0, 3}, false, false, RINGMOE_RECOMPUTE_NONE},
    {"split", 1, {0, 3}, true, false, RINGMOE_RECOMPUTE_NONE},
    {"selective", 1, {0, 3}, false, false, RINGMOE_RECOMPUTE_SELECTIVE},
    {"full", 1, {0, 3}, false, false, RINGMOE_RECOMPUTE_FULL},
    {"all forward first", 1, {0, 3}, false, true, RINGMOE_RECOMPUTE_NONE},
    {"uneven", 2, {0, 1, 3}, false, false, RINGMOE_RECOMPUTE_NONE},
    {"empty ends", 5, {0, 0, 2, 2, 3, 3}, false, true, RINGMOE_RECOMPUTE_NONE},
    {"empty ends, split", 5, {0, 0, 2, 2, 3, 3}, true, true, RINGMOE_RECOMPUTE_NONE},
    {"a layer a stage, full", 3, {0, 1, 2, 3}, false, true, RINGMOE_RECOMPUTE_FULL},
    {"a layer a stage, selective", 3, {0, 1, 2, 3}, false, true, RINGMOE_RECOMPUTE_SELECTIVE},
    {"split and selective", 3, {0, 1, 2, 3}, true, true, RINGMOE_RECOMPUTE_SELECTIVE},
    {"split and full", 2, {0, 2, 3}, true, true, RINGMOE_RECOMPUTE_FULL},
};

static void check_variants(ringmoe_precision precision, const ringmoe_model_config *config)
{
    run reference = open_run(&whole, config, precision);
    train(&reference);
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        run cut = open_run(&variants[i], config, precision);
        train(&cut);
        check_same(&reference, &cut);
        close_run(&cut);
    }
    close_run(&reference);
}

static void test_dense(void **state)
{
    ringmoe_model_config config = fixture_config();
    config.num_local_experts = 0;
    check_variants(RINGMOE_PRECISION_FP32, &config);
}

static void test_experts(void **state)
{
    ringmoe_model_config config = noisy_config(0);
    check_variants(RINGMOE_PRECISION_FP32, &config);
}

static void test_bf16_tied(void **state)
{
    ringmoe_model_config config = noisy_config(1);
    check_variants(RINGMOE_PRECISION_BF16, &config);
}

/* Evaluation goes through all stages of a rank. */
static void test_evaluation(void **state)
{
    ringmoe_model_config config = noisy_config(0);
    run a = open_run(&whole, &config, RINGMOE_PRECISION_FP32);
    run b = open_run(&variants[6], &config, RINGMOE_PRECISION_FP32);
    rm_batch batch = batch_of(&a, 0);
    rm_pass_result one, many;
    rm_model_poison(b.fixture.model);
    assert_int_equal(rm_model_eval_pass(a.fixture.model, &batch, &one), RINGMOE_OK);
    assert_int_equal(rm_model_eval_pass(b.fixture.model, &batch, &many), RINGMOE_OK);
    assert_true(one.loss == many.loss && one.balance_loss == many.balance_loss);
    assert_true(one.z_loss == many.z_loss && one.balance_loss > 0.5);
    close_run(&a), close_run(&b);
}

static void test_refusals(void **state)
{
    ringmoe_model_config config = noisy_config(0);
    model_fixture f = open_mesh(1, RINGMOE_PRECISION_FP32);
    rm_model_settings settings = {.use = RM_MODEL_TRAINING, .max_tokens = 8};
    settings.partition = (rm_partition){.n_stages = 2, .n_pipeline = 1, .bounds = {0, 4, 3}};
    assert_int_equal(rm_model_create(f.mesh, &config, &settings, &f.model),
                     RINGMOE_ERROR_ARGUMENT);
    assert_non_null(strstr(fixture_error(&f), "bounds"));
    settings.partition = (rm_partition){.n_stages = 2, .n_pipeline = 2, .bounds = {0, 1, 3}};
    assert_int_equal(rm_model_create(f.mesh, &config, &settings, &f.model),
                     RINGMOE_ERROR_LAYOUT);
    settings.partition = (rm_partition){.n_stages = 2, .n_pipeline = 1, .bounds = {0, 1, 3}};
    assert_int_equal(rm_model_create(f.mesh, &config, &settings, &f.model), RINGMOE_OK);
    rm_pass_result result;
    int32_t tokens[8] = {0};
    rm_batch batch = {.tokens = tokens, .targets = tokens, .n_sequences = 1, .seq_len = 8};
    assert_int_equal(
        rm_model_train_pass(f.model, &batch, (rm_sink){0}, &(rm_sink){0}, NULL, NULL, &result),
        RINGMOE_ERROR_STATE);
    assert_non_null(strstr(fixture_error(&f), "2 stages"));
    close_fixture(&f);
}

static int run_all_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense),     cmocka_unit_test(test_experts),
        cmocka_unit_test(test_bf16_tied), cmocka_unit_test(test_evaluation),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    return run_with_mpi(argc, argv, run_all_tests);
}

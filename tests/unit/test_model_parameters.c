/* SPDX-License-Identifier: MIT
 *
 * The parameter table: names, shapes and places; counts of known models; the memory plan.
 */
#include <stdio.h>

#include "format/config.h"
#include "model_fixture.h"

static ringmoe_model_config mixtral_8x7b(void)
{
    return (ringmoe_model_config){.vocab_size = 32000,
                                  .hidden_size = 4096,
                                  .intermediate_size = 14336,
                                  .dense_intermediate_size = 28672,
                                  .num_hidden_layers = 32,
                                  .num_attention_heads = 32,
                                  .num_key_value_heads = 8,
                                  .head_dim = 128,
                                  .num_local_experts = 8,
                                  .num_experts_per_tok = 2,
                                  .max_position_embeddings = 32768,
                                  .rope_theta = 1e6,
                                  .rms_norm_eps = 1e-5,
                                  .initializer_range = 0.02};
}

static void test_counts(void **state)
{
    ringmoe_model_config mixtral = mixtral_8x7b(), config;
    assert_int_equal(ringmoe_model_config_parameters(&mixtral), 46702792704);
    assert_int_equal(ringmoe_model_config_active_parameters(&mixtral), 12879925248);
    const double expected[] = {1e6, 30e6, 150e6};
    for (int i = 0; i < 3; i++) {
        rm_error error;
        const char *name = ringmoe_model_preset_names()[i];
        assert_int_equal(rm_config_preset(name, &config, &error), RINGMOE_OK);
        double ratio = (double)ringmoe_model_config_parameters(&config) / expected[i];
        assert_true(ratio > 0.8 && ratio < 1.25);
        assert_true(ringmoe_model_config_active_parameters(&config) <
                    ringmoe_model_config_parameters(&config));
    }
}

/* Each space of each rank is covered without gap or overlap, in the table's order. */
static void check_places(const ringmoe_model_config *config, int expert_ranks)
{
    rm_parameter_table table;
    rm_error error;
    assert_int_equal(rm_parameter_table_create(
                         config, &(rm_placement){.expert_ranks = expert_ranks}, &table, &error),
                     RINGMOE_OK);
    int64_t elements = 0;
    for (int rank = 0; rank < expert_ranks; rank++) {
        int64_t next[RM_N_KINDS] = {0};
        for (int i = 0; i < table.n_parameters; i++) {
            const rm_parameter *p = &table.parameters[i];
            assert_int_equal(p->expert_rank >= 0, p->kind == RM_KIND_EXPERT);
            if (rank == 0 && !p->tied) elements += p->n_elements;
            if (p->expert_rank >= 0 && p->expert_rank != rank) continue;
            assert_int_equal(p->offset, next[p->space]);
            next[p->space] += p->n_elements;
        }
        assert_memory_equal(next, table.space_elements, sizeof next);
    }
    assert_int_equal(elements, ringmoe_model_config_parameters(config));
    rm_parameter_table_free(&table);
}

static void test_places(void **state)
{
    ringmoe_model_config small = fixture_config(), mixtral = mixtral_8x7b();
    for (int expert_ranks = 1; expert_ranks <= 4; expert_ranks *= 2) {
        check_places(&small, expert_ranks);
        check_places(&mixtral, expert_ranks);
    }
    small.tie_word_embeddings = 1;
    check_places(&small, 2);
    small.num_local_experts = 0;
    check_places(&small, 1);
}

static void test_names(void **state)
{
    static const struct {
        int index;
        const char *name;
        int64_t shape[2];
    } expected[] = {
        {0, "model.embed_tokens.weight", {50, 48}},
        {1, "model.layers.0.input_layernorm.weight", {48, 1}},
        {2, "model.layers.0.self_attn.q_proj.weight", {48, 48}},
        {3, "model.layers.0.self_attn.k_proj.weight", {24, 48}},
        {4, "model.layers.0.self_attn.v_proj.weight", {24, 48}},
        {5, "model.layers.0.self_attn.o_proj.weight", {48, 48}},
        {6, "model.layers.0.post_attention_layernorm.weight", {48, 1}},
        {7, "model.layers.0.mlp.gate_proj.weight", {72, 48}},
        {8, "model.layers.0.mlp.up_proj.weight", {72, 48}},
        {9, "model.layers.0.mlp.down_proj.weight", {48, 72}},
        {16, "model.layers.1.block_sparse_moe.gate.weight", {4, 48}},
        {17, "model.layers.1.block_sparse_moe.experts.0.w1.weight", {40, 48}},
        {18, "model.layers.1.block_sparse_moe.experts.0.w2.weight", {48, 40}},
        {19, "model.layers.1.block_sparse_moe.experts.0.w3.weight", {40, 48}},
        {28, "model.layers.1.block_sparse_moe.experts.3.w3.weight", {40, 48}},
        {48, "model.norm.weight", {48, 1}},
        {49, "lm_head.weight", {50, 48}},
    };
    ringmoe_model_config config = fixture_config();
    rm_parameter_table table;
    rm_error error;
    assert_int_equal(
        rm_parameter_table_create(&config, &(rm_placement){.expert_ranks = 2}, &table, &error),
        RINGMOE_OK);
    assert_int_equal(table.n_parameters, 50);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const rm_parameter *p = &table.parameters[expected[i].index];
        assert_string_equal(p->name, expected[i].name);
        assert_memory_equal(p->shape, expected[i].shape, sizeof p->shape);
        assert_int_equal(p->decay, p->n_dims == 2);
        assert_int_equal(p->initial, p->n_dims == 1 ? RM_INITIAL_1 : RM_INITIAL_NORMAL);
    }
    assert_int_equal(table.parameters[19].expert_rank, 0);
    assert_int_equal(table.parameters[28].expert_rank, 1);
    rm_parameter_table_free(&table);
}

static void test_experts_that_do_not_divide(void **state)
{
    ringmoe_model_config config = fixture_config();
    rm_parameter_table table;
    rm_error error;
    assert_int_equal(
        rm_parameter_table_create(&config, &(rm_placement){.expert_ranks = 3}, &table, &error),
        RINGMOE_ERROR_LAYOUT);
    assert_non_null(strstr(error.text, "4 experts"));
    assert_null(table.parameters);
}

static void test_initial_values(void **state)
{
    ringmoe_model_config config = fixture_config();
    model_fixture f = open_model(2, RINGMOE_PRECISION_FP32, RM_MODEL_INFERENCE, &config);
    const rm_parameter_table *table = rm_model_parameters(f.model);
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *p = &table->parameters[i];
        const rm_real *values = rm_model_space(f.model, p->space) + p->offset;
        double squares = 0;
        rm_random_key key = {.seed = 3, .stream = rm_random_stream(p->name)};
        for (int64_t e = 0; e < p->n_elements; e++) {
            double normal = config.initializer_range * rm_random_normal(key, (uint64_t)e);
            assert_true(values[e] == (p->initial == RM_INITIAL_1 ? 1 : (rm_real)normal));
            squares += values[e] * values[e];
        }
        double deviation = squares / (double)p->n_elements / 0.01;
        assert_true(p->initial == RM_INITIAL_1 || (deviation > 0.7 && deviation < 1.4));
    }
    close_fixture(&f);
}

static void test_memory_plan(void **state)
{
    ringmoe_model_config config = fixture_config();
    model_fixture f = open_mesh(1, RINGMOE_PRECISION_FP32);
    ringmoe_batch_shape batch = {.seq_len = 32, .microbatch = 4, .n_microbatches = 4};
    ringmoe_memory_plan one, two, bf16;
    ringmoe_mesh_dims dims = {.data = 1, .expert = 2};
    assert_int_equal(ringmoe_model_memory_plan(f.context, &config, NULL, RINGMOE_PRECISION_FP32,
                                               &batch, &one),
                     RINGMOE_OK);
    assert_int_equal(ringmoe_model_memory_plan(f.context, &config, &dims,
                                               RINGMOE_PRECISION_FP32, &batch, &two),
                     RINGMOE_OK);
    assert_int_equal(ringmoe_model_memory_plan(f.context, &config, NULL, RINGMOE_PRECISION_BF16,
                                               &batch, &bf16),
                     RINGMOE_OK);
    int64_t bytes = ringmoe_model_config_parameters(&config) * (int64_t)sizeof(rm_real);
    assert_in_range(one.parameters, bytes, bytes + 1024);
    assert_in_range(one.optimizer, 2 * bytes - 8, 2 * bytes);
    assert_true(one.gradients >= bytes && one.gradients % 4 == 0);
    assert_true(two.parameters < one.parameters && two.exchange > one.exchange);
    assert_true(bf16.packed < one.packed && bf16.parameters == one.parameters);
    assert_int_equal(two.total, two.parameters + two.packed + two.gradients + two.optimizer +
                                    two.activations + two.exchange);
    batch.n_microbatches = 3;
    assert_int_equal(ringmoe_model_memory_plan(f.context, &config, &dims,
                                               RINGMOE_PRECISION_FP32, &batch, &two),
                     RINGMOE_ERROR_LAYOUT);
    batch.n_microbatches = 100000000;
    assert_int_equal(ringmoe_model_memory_plan(f.context, &config, NULL, RINGMOE_PRECISION_FP32,
                                               &batch, &two),
                     RINGMOE_ERROR_ARGUMENT);
    assert_non_null(strstr(ringmoe_context_error(f.context), "100000000 microbatches"));
    batch.n_microbatches = 4;
    dims = (ringmoe_mesh_dims){.data = 65536, .expert = 65536};
    assert_int_equal(ringmoe_model_memory_plan(f.context, &config, &dims,
                                               RINGMOE_PRECISION_FP32, &batch, &two),
                     RINGMOE_ERROR_LAYOUT);
    batch.microbatch = 0;
    assert_int_equal(ringmoe_model_memory_plan(f.context, &config, NULL, RINGMOE_PRECISION_FP32,
                                               &batch, &two),
                     RINGMOE_ERROR_ARGUMENT);
    close_fixture(&f);
}

/* Between nodes rows are copied into messages, and those that arrive lie in buffers. */
static void test_plan_of_messages(void **state)
{
    ringmoe_model_config config = fixture_config();
    ringmoe_batch_shape batch = {.seq_len = 32, .microbatch = 4, .n_microbatches = 4};
    ringmoe_mesh_dims dims = {.data = 1, .expert = 2};
    model_fixture f = open_mesh(1, RINGMOE_PRECISION_FP32);
    ringmoe_memory_plan plans[2];
    for (int i = 0; i < 2; i++) {
        f.context->exchange = i ? RINGMOE_EXCHANGE_MESSAGES : RINGMOE_EXCHANGE_AUTO;
        assert_int_equal(ringmoe_model_memory_plan(f.context, &config, &dims,
                                                   RINGMOE_PRECISION_FP32, &batch, &plans[i]),
                         RINGMOE_OK);
    }
    int64_t half = 2 * 32 * config.hidden_size * (int64_t)sizeof(rm_real);
    assert_true(plans[1].exchange >= plans[0].exchange + half);
    assert_true(plans[1].activations >= plans[0].activations + 3 * half);
    batch.schedule[0] = 'x';
    assert_int_equal(ringmoe_model_memory_plan(f.context, &config, NULL, RINGMOE_PRECISION_FP32,
                                               &batch, &plans[0]),
                     RINGMOE_ERROR_ARGUMENT);
    batch.schedule[0] = '\0';
    batch.recompute = 7;
    assert_int_equal(ringmoe_model_memory_plan(f.context, &config, NULL, RINGMOE_PRECISION_FP32,
                                               &batch, &plans[0]),
                     RINGMOE_ERROR_ARGUMENT);
    close_fixture(&f);
}

static ringmoe_memory_plan plan_of(ringmoe_mesh_dims dims, const char *schedule,
                                   int64_t recompute)
{
    ringmoe_model_config config = fixture_config();
    model_fixture f = open_mesh(1, RINGMOE_PRECISION_FP32);
    ringmoe_memory_plan plan;
    ringmoe_batch_shape batch = {.seq_len = 32,
                                 .microbatch = 4,
                                 .n_microbatches = 8,
                                 .chunks = 1,
                                 .recompute = recompute};
    snprintf(batch.schedule, sizeof batch.schedule, "%s", schedule);
    config.vocab_size = 1000;
    config.tie_word_embeddings = 1;
    assert_int_equal(ringmoe_model_memory_plan(f.context, &config, &dims,
                                               RINGMOE_PRECISION_FP32, &batch, &plan),
                     RINGMOE_OK);
    close_fixture(&f);
    return plan;
}

/* What each axis and setting is there to make smaller is smaller. */
static void test_plans_of_layouts(void **state)
{
    ringmoe_mesh_dims one = {1, 1, 1, 1}, stages = {3, 1, 1, 1};
    ringmoe_memory_plan alone = plan_of(one, "", RINGMOE_RECOMPUTE_NONE);
    ringmoe_memory_plan cut = plan_of(stages, "", RINGMOE_RECOMPUTE_NONE);
    ringmoe_memory_plan all = plan_of(stages, "gpipe", RINGMOE_RECOMPUTE_NONE);
    ringmoe_memory_plan split = plan_of(stages, "zb-h1", RINGMOE_RECOMPUTE_NONE);
    ringmoe_memory_plan data = plan_of((ringmoe_mesh_dims){1, 4, 1, 1}, "", 0);
    ringmoe_memory_plan tensor = plan_of((ringmoe_mesh_dims){1, 1, 1, 2}, "", 0);
    assert_true(cut.parameters < alone.parameters && cut.packed < alone.packed);
    assert_true(all.activations > cut.activations && split.activations > cut.activations);
    assert_true(data.parameters == alone.parameters);
    assert_in_range(data.optimizer, alone.optimizer / 4 - 64, alone.optimizer / 4 + 64);
    assert_true(tensor.parameters < alone.parameters * 6 / 10);
    assert_true(tensor.activations < alone.activations);
    ringmoe_memory_plan selective = plan_of(one, "", RINGMOE_RECOMPUTE_SELECTIVE);
    ringmoe_memory_plan full = plan_of(one, "", RINGMOE_RECOMPUTE_FULL);
    assert_true(selective.activations < alone.activations);
    assert_true(full.activations < selective.activations);
    /* Halves of a backward pass keep what they share. */
    ringmoe_memory_plan halves = plan_of(stages, "zb-h1", RINGMOE_RECOMPUTE_SELECTIVE);
    ringmoe_memory_plan kept = plan_of(stages, "zb-h1", RINGMOE_RECOMPUTE_FULL);
    assert_true(kept.activations == halves.activations);
}

/* Lists of who sends what for whom come with the second level, those of a schedule with its
 * microbatches. */
static void test_plan_of_lists(void **state)
{
    ringmoe_model_config config = fixture_config();
    ringmoe_batch_shape batch = {.seq_len = 32, .microbatch = 4, .n_microbatches = 4};
    ringmoe_mesh_dims experts = {.data = 1, .expert = 4}, stages = {2, 1, 1, 1};
    model_fixture f = open_mesh(1, RINGMOE_PRECISION_FP32);
    ringmoe_memory_plan plans[4];
    for (int i = 0; i < 4; i++) {
        f.context->exchange = i == 1 ? RINGMOE_EXCHANGE_TWO_LEVEL : RINGMOE_EXCHANGE_AUTO;
        batch.n_microbatches = i == 3 ? 4000 : 4;
        assert_int_equal(ringmoe_model_memory_plan(f.context, &config,
                                                   i < 2 ? &experts : &stages,
                                                   RINGMOE_PRECISION_FP32, &batch, &plans[i]),
                         RINGMOE_OK);
    }
    assert_true(plans[1].total > plans[0].total);
    assert_true(plans[3].exchange > plans[2].exchange + 2 * 2 * 3996 * 12);
    close_fixture(&f);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_experts_that_do_not_divide),
        cmocka_unit_test(test_initial_values),
        cmocka_unit_test(test_memory_plan),
        cmocka_unit_test(test_plan_of_messages),
        cmocka_unit_test(test_plans_of_layouts),
        cmocka_unit_test(test_plan_of_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
    return run_with_mpi(argc, argv, run);
}

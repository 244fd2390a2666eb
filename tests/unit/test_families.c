/* SPDX-License-Identifier: MIT
 *
 * The table of families: config.json as transformers writes it for each, with their keys,
 * defaults and switches; what each refuses; and the names of a model's tensors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "format/config.h"
#include "format/config_fields.h"
#include "model/model.h"
#include "scratch.h"

/* The least of all files; the others add to it. */
#define COMMON                                                                                 \
    "\"vocab_size\": 100, \"hidden_size\": 32, \"num_hidden_layers\": 4,"                      \
    " \"num_attention_heads\": 4, \"num_key_value_heads\": 2"
#define OLMOE                                                                                  \
    "\"model_type\": \"olmoe\", \"intermediate_size\": 24, \"num_experts\": 8,"                \
    " \"num_experts_per_tok\": 2, " COMMON
#define QWEN                                                                                   \
    "\"intermediate_size\": 80, \"moe_intermediate_size\": 24, \"num_experts_per_tok\": "      \
    "2, " COMMON
#define QWEN2_MOE                                                                              \
    "\"model_type\": \"qwen2_moe\", \"num_experts\": 8,"                                       \
    " \"shared_expert_intermediate_size\": 40, " QWEN
#define QWEN3_MOE "\"model_type\": \"qwen3_moe\", \"num_experts\": 8, " QWEN
#define LLAMA "\"model_type\": \"llama\", \"intermediate_size\": 80, " COMMON
#define QWEN3 "\"model_type\": \"qwen3\", \"intermediate_size\": 80, " COMMON

static const char *const files[] = {OLMOE, QWEN2_MOE, QWEN3_MOE, LLAMA, QWEN3};
enum { N_FILES = sizeof files / sizeof *files };

static ringmoe_status read_text(const char *keys, ringmoe_model_config *config, rm_error *error)
{
    char text[4096];
    snprintf(text, sizeof text, "{%s}", keys);
    return rm_config_read(scratch_text("config.json", text), config, error);
}

static ringmoe_model_config read_well(const char *keys)
{
    ringmoe_model_config config;
    rm_error error = {""};
    if (read_text(keys, &config, &error) != RINGMOE_OK) fail_msg("%s", error.text);
    return config;
}

static void reads_olmoe(void **state)
{
    ringmoe_model_config config = read_well(OLMOE);
    assert_int_equal(config.family, RINGMOE_FAMILY_OLMOE);
    assert_int_equal(config.qk_norm, RINGMOE_QK_NORM_ROW);
    assert_int_equal(config.num_local_experts, 8);
    assert_int_equal(config.intermediate_size, 24);
    assert_int_equal(config.router_unnormalized, 1);
    assert_true(config.clip_qkv == 0 && config.rope_theta == 1e4 &&
                config.rms_norm_eps == 1e-5);
    assert_true(config.router_aux_loss_coef == 0.01);
    config = read_well("\"clip_qkv\": 8, \"norm_topk_prob\": true, " OLMOE);
    assert_true(config.clip_qkv == 8 && !config.router_unnormalized);
}

static void reads_qwen_moe(void **state)
{
    ringmoe_model_config config = read_well(QWEN2_MOE);
    assert_int_equal(config.qk_norm, RINGMOE_QK_NORM_NONE);
    assert_int_equal(config.qkv_bias, 1);
    assert_int_equal(config.shared_expert_intermediate_size, 40);
    assert_int_equal(config.intermediate_size, 24);
    assert_int_equal(config.dense_intermediate_size, 80);
    assert_true(config.rms_norm_eps == 1e-6);
    config = read_well("\"decoder_sparse_step\": 2, \"mlp_only_layers\": [3],"
                       " \"use_sliding_window\": false, \"sliding_window\": 16,"
                       " \"max_window_layers\": 2, \"layer_types\": [\"full_attention\","
                       " \"full_attention\", \"full_attention\", \"full_attention\"],"
                       " \"norm_topk_prob\": true, \"head_dim\": 6, " QWEN3_MOE);
    assert_int_equal(config.qk_norm, RINGMOE_QK_NORM_HEAD);
    assert_int_equal(config.head_dim, 6);
    assert_int_equal(config.router_unnormalized, 0);
    const int dense[] = {1, 0, 1, 1};
    assert_memory_equal(config.is_dense_layer, dense, sizeof dense);
    /* transformers 5 writes the other key. */
    config = read_well("\"model_type\": \"qwen3_moe\", \"num_local_experts\": 4, " QWEN);
    assert_int_equal(config.num_local_experts, 4);
}

static void reads_dense_families(void **state)
{
    ringmoe_model_config config =
        read_well("\"mlp_bias\": false, \"pretraining_tp\": 1, " LLAMA);
    assert_int_equal(config.num_local_experts, 0);
    assert_int_equal(config.dense_intermediate_size, 80);
    assert_int_equal(config.intermediate_size, 80);
    assert_int_equal(config.head_dim, 8);
    config = read_well(QWEN3);
    assert_int_equal(config.qk_norm, RINGMOE_QK_NORM_HEAD);
    assert_int_equal(config.head_dim, 128);
}

static void refuses(void **state)
{
    static const struct {
        const char *keys, *message;
    } cases[] = {
        {"\"model_type\": \"gpt2\", " COMMON,
         "model_type is \"gpt2\"; it must be \"mixtral\","},
        {"\"moe_intermediate_size\": 0, \"model_type\": \"qwen3_moe\", \"num_experts\": 8,"
         " \"intermediate_size\": 80, " COMMON,
         "moe_intermediate_size is 0; it must be 1.."},
        {"\"model_type\": \"qwen2_moe\", \"num_experts\": 8, " QWEN,
         "shared_expert_intermediate_size is missing"},
        {"\"num_local_experts\": 4, " OLMOE, "num_experts is 8, but num_local_experts is 4"},
        {"\"clip_qkv\": 0, " OLMOE, "clip_qkv is 0; it must be"},
        {"\"clip_qkv\": 8, " QWEN3_MOE,
         "the key clip_qkv (8) is not known here in a qwen3_moe"},
        {"\"head_dim\": 16, " OLMOE, "times num_attention_heads (4) it must be hidden_size"},
        {"\"num_experts\": 8, " LLAMA, "the key num_experts (8) is not known here in a llama"},
        {"\"mlp_only_layers\": [1], " LLAMA, "the key mlp_only_layers"},
        {"\"attention_bias\": true, " LLAMA, "attention_bias is true; it must be false"},
        {"\"mlp_bias\": true, " LLAMA, "mlp_bias is true; it must be false"},
        {"\"pretraining_tp\": 2, " LLAMA, "pretraining_tp is 2; it must be 1"},
        {"\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0}, " LLAMA,
         "low_freq_factor is missing; the rope_type \"llama3\" needs it"},
        {"\"decoder_sparse_step\": 0, " QWEN2_MOE, "decoder_sparse_step is 0; it must be"},
        {"\"decoder_sparse_step\": 2, " OLMOE, "the key decoder_sparse_step"},
        {"\"use_sliding_window\": true, \"sliding_window\": 16, " QWEN3,
         "sliding_window is 16; it must be null"},
        {"\"layer_types\": \"full_attention\", " QWEN3,
         "layer_types is \"full_attention\"; it"},
        {"\"layer_types\": [\"full_attention\"], " QWEN3,
         "a list with an entry for each layer"},
        {"\"layer_types\": [\"full_attention\", \"full_attention\", \"full_attention\","
         " \"sliding_attention\"], " QWEN3,
         "it must be \"full_attention\" in all layers"},
        {"\"norm_topk_prob\": 1, " QWEN3_MOE, "norm_topk_prob is 1; it must be true or false"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ringmoe_model_config config;
        rm_error error = {""};
        if (read_text(cases[i].keys, &config, &error) != RINGMOE_ERROR_FORMAT ||
            !strstr(error.text, cases[i].message))
            fail_msg("{%s} gave \"%s\", not \"%s\"", cases[i].keys, error.text,
                     cases[i].message);
    }
}

/* What a family has no key for cannot be in its configuration. */
static void refuses_foreign_switches(void **state)
{
    rm_error error = {""};
    ringmoe_model_config config = read_well(LLAMA);
    config.num_local_experts = 4;
    assert_int_equal(rm_config_check(&config, &error), RINGMOE_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "models of the family llama have no such setting"));
    config = read_well(QWEN3_MOE);
    config.qkv_bias = 1;
    assert_int_equal(rm_config_check(&config, &error), RINGMOE_ERROR_ARGUMENT);
    config = read_well(QWEN3_MOE);
    config.qk_norm = RINGMOE_QK_NORM_ROW;
    assert_int_equal(rm_config_check(&config, &error), RINGMOE_ERROR_ARGUMENT);
    config = read_well(QWEN3);
    config.is_dense_layer[1] = 1;
    assert_int_equal(rm_config_check(&config, &error), RINGMOE_ERROR_ARGUMENT);
    config = read_well(OLMOE);
    config.head_dim = 16;
    assert_int_equal(rm_config_check(&config, &error), RINGMOE_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "times num_attention_heads (4) it must be hidden_size"));
    config = read_well(QWEN2_MOE);
    config.shared_expert_intermediate_size = 0;
    assert_int_equal(rm_config_check(&config, &error), RINGMOE_ERROR_ARGUMENT);
    config.family = 77;
    assert_int_equal(rm_config_check(&config, &error), RINGMOE_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "family is 77"));
}

static void assert_same(const ringmoe_model_config *a, const ringmoe_model_config *b)
{
    for (int i = 0; i < rm_n_config_fields; i++)
        if (rm_config_field_get(&rm_config_fields[i], a) !=
            rm_config_field_get(&rm_config_fields[i], b))
            fail_msg("%s differs", rm_config_fields[i].key);
    assert_int_equal(a->family, b->family);
    assert_int_equal(a->qk_norm, b->qk_norm);
    assert_memory_equal(a->is_dense_layer, b->is_dense_layer, sizeof a->is_dense_layer);
}

static void writes_what_it_reads(void **state)
{
    ringmoe_model_config config, again;
    rm_error error = {""};
    const char *path = scratch_path("written.json");
    for (int i = 0; i < N_FILES; i++) {
        config = read_well(files[i]);
        if (config.family == RINGMOE_FAMILY_OLMOE) config.clip_qkv = 2.5;
        if (rm_family_of(config.family)->has_experts) {
            config.is_dense_layer[2] = 1;
            config.router_unnormalized = i % 2;
            config.capacity_factor = 1.5;
        }
        assert_int_equal(rm_config_write(&config, path, &error), RINGMOE_OK);
        if (rm_config_read(path, &again, &error) != RINGMOE_OK) fail_msg("%s", error.text);
        assert_same(&config, &again);
    }
    for (const char *const *name = ringmoe_model_preset_names(); *name; name++) {
        assert_int_equal(rm_config_preset(*name, &config, &error), RINGMOE_OK);
        if (rm_config_check(&config, &error) != RINGMOE_OK) fail_msg("%s", error.text);
    }
}

/* --- names --- */

static const rm_parameter *find(const rm_parameter_table *table, const char *name)
{
    for (int i = 0; i < table->n_parameters; i++)
        if (!strcmp(table->parameters[i].name, name)) return &table->parameters[i];
    fail_msg("no parameter %s", name);
    return NULL;
}

static void check_shape(const rm_parameter_table *table, const char *name, int n_dims,
                        int64_t rows, int64_t columns)
{
    const rm_parameter *parameter = find(table, name);
    assert_int_equal(parameter->n_dims, n_dims);
    assert_int_equal(parameter->shape[0], rows);
    assert_int_equal(parameter->shape[1], columns);
}

/* The sum of a table's sizes is what the counts say, and names are there once. */
static rm_parameter_table make_table(const ringmoe_model_config *config)
{
    rm_error error = {""};
    rm_parameter_table table;
    rm_placement placement = {0};
    int64_t n = 0;
    if (rm_parameter_table_create(config, &placement, &table, &error) != RINGMOE_OK)
        fail_msg("%s", error.text);
    for (int i = 0; i < table.n_parameters; i++) {
        n += table.parameters[i].n_elements;
        assert_ptr_equal(find(&table, table.parameters[i].name), &table.parameters[i]);
    }
    assert_int_equal(n, ringmoe_model_config_parameters(config));
    return table;
}

static void names_tensors(void **state)
{
    ringmoe_model_config config = read_well("\"mlp_only_layers\": [0], " QWEN2_MOE);
    rm_parameter_table table = make_table(&config);
    check_shape(&table, "model.layers.0.mlp.gate_proj.weight", 2, 80, 32);
    check_shape(&table, "model.layers.1.mlp.gate.weight", 2, 8, 32);
    check_shape(&table, "model.layers.1.mlp.experts.7.down_proj.weight", 2, 32, 24);
    check_shape(&table, "model.layers.1.mlp.shared_expert.up_proj.weight", 2, 40, 32);
    check_shape(&table, "model.layers.1.mlp.shared_expert_gate.weight", 2, 1, 32);
    check_shape(&table, "model.layers.1.self_attn.k_proj.bias", 1, 16, 1);
    const rm_parameter *bias = find(&table, "model.layers.3.self_attn.v_proj.bias");
    assert_true(bias->role == RM_ROLE_VALUE_BIAS && bias->layer == 3 && !bias->decay);
    assert_int_equal(bias->initial, RM_INITIAL_0);
    rm_parameter_table_free(&table);
    config = read_well(OLMOE);
    table = make_table(&config);
    check_shape(&table, "model.layers.0.self_attn.k_norm.weight", 1, 16, 1);
    check_shape(&table, "model.layers.0.mlp.experts.0.gate_proj.weight", 2, 24, 32);
    rm_parameter_table_free(&table);
    config = read_well("\"head_dim\": 6, " QWEN3);
    table = make_table(&config);
    check_shape(&table, "model.layers.3.self_attn.q_norm.weight", 1, 6, 1);
    check_shape(&table, "model.layers.3.mlp.down_proj.weight", 2, 32, 80);
    rm_parameter_table_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_olmoe),
        cmocka_unit_test(reads_qwen_moe),
        cmocka_unit_test(reads_dense_families),
        cmocka_unit_test(refuses),
        cmocka_unit_test(refuses_foreign_switches),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(names_tensors),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

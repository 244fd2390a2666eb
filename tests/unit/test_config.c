/* SPDX-License-Identifier: MIT
 *
 * config.json: what is read, what is refused and with which words, and that writing and reading
 * are inverse.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <math.h>

#include "base/random.h"
#include "comm/context.h"
#include "format/config.h"
#include "format/config_fields.h"
#include "scratch.h"

/* A complete file, as transformers 4 writes it for a small Mixtral. */
static const char *const base_json =
    "{\"architectures\": [\"MixtralForCausalLM\"], \"attention_dropout\": 0.0,"
    " \"bos_token_id\": 1, \"eos_token_id\": 2, \"hidden_act\": \"silu\", \"hidden_size\": 64,"
    " \"initializer_range\": 0.02, \"intermediate_size\": 96,"
    " \"max_position_embeddings\": 128, \"model_type\": \"mixtral\","
    " \"num_attention_heads\": 4, \"num_experts_per_tok\": 2, \"num_hidden_layers\": 3,"
    " \"num_key_value_heads\": 2, \"num_local_experts\": 8, \"output_router_logits\": false,"
    " \"rms_norm_eps\": 1e-05, \"rope_theta\": 10000.0, \"router_aux_loss_coef\": 0.01,"
    " \"router_jitter_noise\": 0.0, \"sliding_window\": null, \"tie_word_embeddings\": false,"
    " \"torch_dtype\": \"float32\", \"transformers_version\": \"4.44.0\", \"use_cache\": true,"
    " \"vocab_size\": 1000}";

/* base_json with one key changed to a JSON text, or removed if that is NULL. */
static ringmoe_status read_changed(const char *key, const char *value,
                                   ringmoe_model_config *config, rm_error *error)
{
    json_t *root = json_loads(base_json, 0, NULL);
    assert_non_null(root);
    if (value) {
        json_t *json = json_loads(value, JSON_DECODE_ANY, NULL);
        assert_non_null(json);
        json_object_set_new(root, key, json);
    } else {
        json_object_del(root, key);
    }
    char *text = json_dumps(root, 0);
    ringmoe_status status = rm_config_read(scratch_text("config.json", text), config, error);
    free(text);
    json_decref(root);
    return status;
}

static void reads_a_mixtral(void **state)
{
    ringmoe_model_config config;
    rm_error error = {""};
    scratch_text("config.json", base_json);
    assert_int_equal(rm_config_read(scratch_folder, &config, &error), RINGMOE_OK);
    assert_int_equal(config.vocab_size, 1000);
    assert_int_equal(config.hidden_size, 64);
    assert_int_equal(config.intermediate_size, 96);
    assert_int_equal(config.dense_intermediate_size, 192);
    assert_int_equal(config.num_key_value_heads, 2);
    assert_int_equal(config.head_dim, 16);
    assert_int_equal(config.num_local_experts, 8);
    assert_int_equal(config.num_experts_per_tok, 2);
    assert_int_equal(config.tie_word_embeddings, 0);
    assert_true(config.rope_theta == 10000 && config.rms_norm_eps == 1e-5);
    assert_true(config.capacity_factor == 0 && config.router_bias_rate == 0);
}

static void fills_defaults(void **state)
{
    ringmoe_model_config config;
    rm_error error = {""};
    const char *least =
        "{\"model_type\": \"mixtral\", \"vocab_size\": 10, \"hidden_size\": 8,"
        " \"intermediate_size\": 4, \"num_hidden_layers\": 2, \"head_dim\": null,"
        " \"num_attention_heads\": 2, \"num_local_experts\": 0}";
    assert_int_equal(rm_config_read(scratch_text("least.json", least), &config, &error),
                     RINGMOE_OK);
    assert_int_equal(config.num_key_value_heads, 2);
    assert_int_equal(config.head_dim, 4);
    assert_int_equal(config.dense_intermediate_size, 4);
    assert_int_equal(config.max_position_embeddings, 4096);
    assert_true(config.rope_theta == 1e6 && config.router_aux_loss_coef == 0.001);
    assert_true(config.initializer_range == 0.02);
}

typedef struct change {
    const char *key, *value, *message;
} change;

static void refuses_bad_values(void **state)
{
    static const change changes[] = {
        {"hidden_size", "1000000000000", "hidden_size is 1000000000000; it must be 1..65536"},
        {"hidden_size", "-64", "hidden_size is -64"},
        {"hidden_size", "0", "hidden_size is 0"},
        {"hidden_size", "64.5", "hidden_size is 64.5; it must be a whole number, 1..65536"},
        {"hidden_size", "\"64\"", "hidden_size is \"64\""},
        {"hidden_size", "true", "hidden_size is true"},
        {"hidden_size", "[64]", "hidden_size is [64]"},
        {"hidden_size", NULL, "hidden_size is missing; it must be 1..65536"},
        {"hidden_size", "null", "hidden_size is missing"},
        {"hidden_size", "66", "num_attention_heads is 4; it must divide hidden_size (66)"},
        {"vocab_size", "20000000", "vocab_size is 20000000; it must be 1..16777216"},
        {"num_hidden_layers", "513", "num_hidden_layers is 513; it must be 1..512"},
        {"num_attention_heads", "0", "num_attention_heads is 0"},
        {"num_key_value_heads", "3", "num_key_value_heads is 3; it must divide"},
        {"num_key_value_heads", "8", "num_key_value_heads is 8; it must divide"},
        {"head_dim", "7", "head_dim is 7; it must be even"},
        {"head_dim", "2048", "head_dim is 2048; it must be 2..1024"},
        {"num_local_experts", NULL, "num_local_experts is missing"},
        {"num_experts_per_tok", "9",
         "num_experts_per_tok is 9; it must be 1..num_local_experts"},
        {"num_experts_per_tok", NULL, "num_experts_per_tok is 0"},
        {"rope_theta", "-1", "rope_theta is -1"},
        {"rope_theta", "\"big\"", "rope_theta is \"big\"; it must be a number"},
        {"rms_norm_eps", "0", "rms_norm_eps is 0"},
        {"initializer_range", "-0.02", "initializer_range is -0.02"},
        {"capacity_factor", "-1", "capacity_factor is -1"},
        {"router_balance_scope", "\"run\"", "must be \"microbatch\" or \"global\""},
        {"router_balance_scope", "1", "router_balance_scope is 1; it must be"},
        {"tie_word_embeddings", "1", "tie_word_embeddings is 1; it must be true or false"},
        {"hidden_act", "\"gelu\"", "hidden_act is \"gelu\"; it must be \"silu\""},
        {"attention_dropout", "0.1", "attention_dropout is 0.1; it must be 0"},
        {"sliding_window", "64", "sliding_window is 64; it must be null or at least"},
        {"rope_scaling", "{\"type\": \"dynamic\", \"factor\": 2.0}", "type is \"dynamic\""},
        {"rope_scaling", "{\"type\": \"linear\"}",
         "rope_scaling: factor is missing; the rope_type"},
        {"rope_scaling", "{\"type\": \"linear\", \"factor\": 0.5}",
         "rope_scaling: factor is 0.5; it must be 1.."},
        {"rope_scaling", "{\"type\": \"linear\", \"factor\": 2, \"low_freq_factor\": 1}",
         "rope_scaling: low_freq_factor (1) is not supported with the rope_type"},
        {"rope_scaling", "{\"type\": \"linear\", \"rope_type\": \"llama3\", \"factor\": 2}",
         "type is \"linear\""},
        {"rope_parameters",
         "{\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1}",
         "high_freq_factor is missing"},
        {"rope_parameters",
         "{\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, "
         "\"high_freq_factor\": 4, \"original_max_position_embeddings\": 64}",
         "rope_parameters: high_freq_factor is 4; it must be larger than low_freq_factor (4)"},
        {"bos_token_id", "\"1\"", "bos_token_id is \"1\"; it must be null, an id, or a list"},
        {"eos_token_id", "[1, 1.5]", "eos_token_id is [1,1.5]"},
        {"eos_token_id", "[1, 2, 3, 4, 5, 6, 7, 8, 9]", "a list of at most 8 ids"},
        {"pad_token_id", "-2", "pad_token_id is -2"},
        {"rope_parameters", "{\"rope_type\": \"yarn\"}", "rope_type is \"yarn\""},
        {"rope_parameters", "{\"factor\": 2}", "rope_parameters: factor (2) is not supported"},
        {"rope_parameters", "{\"rope_theta\": 5000}", "rope_theta is 10000, but 5000"},
        {"rope_parameters", "7", "rope_parameters is 7; it must be an object"},
        {"model_type", "\"phi3\"", "model_type is \"phi3\"; it must be \"mixtral\", \"olmoe\""},
        {"clip_qkv", "8", "the key clip_qkv (8) is not known here in a mixtral model"},
        {"model_type", NULL, "model_type is missing"},
        {"mlp_only_layers", "[3]", "mlp_only_layers is [3]; it must be a list of layers, 0..2"},
        {"mlp_only_layers", "[-1]", "mlp_only_layers is [-1]"},
        {"mlp_only_layers", "[\"0\"]", "mlp_only_layers is [\"0\"]"},
        {"mlp_only_layers", "0", "mlp_only_layers is 0"},
        {"a\nb\x1b[2J", "1", "the key a?b?[2J (1) is not known"},
        {"rope_theta", "\"\xc3\xa9\"", "rope_theta is \"\\u00E9\""},
        {"hidden_size", "\"0123456789012345678901234567890123456789012345678901234567890123\"",
         "hidden_size is \"01234567890123456789012345678901234567890123456789012345678...; it"},
        {"use_qk_norm", "true", "the key use_qk_norm (true) is not known here"},
        {"shared_expert_intermediate_size", "8", "the key shared_expert_intermediate_size"},
        {"quantization_config", "{}",
         "quantization_config is {}; models quantised in this way are not read"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        ringmoe_model_config config;
        rm_error error = {""};
        ringmoe_status status = read_changed(changes[i].key, changes[i].value, &config, &error);
        if (status != RINGMOE_ERROR_FORMAT || !strstr(error.text, changes[i].message) ||
            strncmp(error.text, scratch_folder, strlen(scratch_folder)) != 0)
            fail_msg("%s: %s gave status %d, \"%s\"; expected \"%s\"", changes[i].key,
                     changes[i].value ? changes[i].value : "absent", status, error.text,
                     changes[i].message);
    }
}

static void accepts_harmless_values(void **state)
{
    static const change changes[] = {
        {"attention_dropout", "0", NULL},
        {"num_key_value_heads", "null", NULL},
        {"num_key_value_heads", "1", NULL},
        {"head_dim", "32", NULL},
        {"sliding_window", "128", NULL},
        {"rope_scaling", "null", NULL},
        {"rope_scaling", "{\"type\": \"default\"}", NULL},
        {"rope_parameters", "{\"rope_theta\": 10000.0, \"rope_type\": \"default\"}", NULL},
        {"dtype", "\"bfloat16\"", NULL},
        {"quantization_config", "null", NULL},
        {"clip_qkv", "null", NULL},
        {"qkv_bias", "false", NULL},
        {"shared_expert_intermediate_size", "0", NULL},
        {"use_qk_norm", "false", NULL},
        {"rope_scaling", "{\"type\": \"linear\", \"factor\": 2}", NULL},
        {"pad_token_id", "null", NULL},
        {"pad_token_id", "-1", NULL},
        {"eos_token_id", "[]", NULL},
        {"_name_or_path", "\"anything\"", NULL},
        {"_attn_implementation_autoset", "true", NULL},
        {"mlp_only_layers", "[]", NULL},
        {"rope_theta", "500000", NULL},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        ringmoe_model_config config;
        rm_error error = {""};
        if (read_changed(changes[i].key, changes[i].value, &config, &error) != RINGMOE_OK)
            fail_msg("%s: %s was refused: %s", changes[i].key, changes[i].value, error.text);
    }
}

static void reads_new_rope_parameters(void **state)
{
    ringmoe_model_config config;
    rm_error error = {""};
    char text[2048], *old;
    snprintf(text, sizeof text, "%s", base_json);
    old = strstr(text, "\"rope_theta\": 10000.0");
    assert_non_null(old);
    memcpy(old, "\"_ope_theta\"", 12);
    size_t length = strlen(text);
    snprintf(text + length - 1, sizeof text - length,
             ", \"rope_parameters\": {\"rope_theta\": 1234.5, \"rope_type\": \"default\"}}");
    assert_int_equal(rm_config_read(scratch_text("rope.json", text), &config, &error),
                     RINGMOE_OK);
    assert_true(config.rope_theta == 1234.5);
}

/* Both names of the object, ids and a list of them: what is read is written, and read again. */
static void keeps_scaling_and_ids(void **state)
{
    ringmoe_model_config config, again;
    rm_error error = {""};
    const char *path = scratch_path("kept.json");
    static const char text[] =
        "{\"model_type\": \"llama\", \"vocab_size\": 50, \"hidden_size\": 8, "
        "\"intermediate_size\": 4, \"num_hidden_layers\": 2, \"num_attention_heads\": 2, "
        "\"bos_token_id\": 1, \"eos_token_id\": [2, 40], "
        "\"rope_parameters\": {\"rope_type\": \"llama3\", \"factor\": 8.0, "
        "\"low_freq_factor\": 1, "
        "\"high_freq_factor\": 4.5, \"original_max_position_embeddings\": 64}, "
        "\"rope_scaling\": {\"type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, "
        "\"high_freq_factor\": %s, \"original_max_position_embeddings\": 64}}";
    char filled[1024];
    for (int i = 0; i < 2; i++) {
        snprintf(filled, sizeof filled, text, i == 0 ? "4.5" : "5");
        ringmoe_status status = rm_config_read(scratch_text("rope.json", filled),
                                               i == 0 ? &config : &again, &error);
        if (status != (i == 0 ? RINGMOE_OK : RINGMOE_ERROR_FORMAT)) fail_msg("%s", error.text);
    }
    assert_non_null(strstr(error.text, "rope_scaling and rope_parameters say different"));
    assert_int_equal(config.rope_type, RINGMOE_ROPE_LLAMA3);
    assert_true(config.rope_factor == 8 && config.rope_low_factor == 1 &&
                config.rope_high_factor == 4.5 && config.rope_original_positions == 64);
    assert_true(config.eos_token_id.n == 2 && config.eos_token_id.ids[1] == 40);
    assert_int_equal(rm_config_write(&config, path, &error), RINGMOE_OK);
    assert_int_equal(rm_config_read(path, &again, &error), RINGMOE_OK);
    assert_memory_equal(&config, &again, sizeof config);
}

static void refuses_broken_files(void **state)
{
    static const struct {
        const char *text, *message;
    } files[] = {
        {"", "not valid JSON"},
        {"{", "line 1: not valid JSON"},
        {"[1, 2]", "one JSON object"},
        {"{\"model_type\": \"mixtral\"} x", "not valid JSON"},
        {"{\"vocab_size\": 1, \"vocab_size\": 2}", "duplicate"},
        {"{\"model_type\": \"mixtral\", \"vocab_size\": 99999999999999999999}", "vocab_size"},
        {"{\"rope_theta\": 1e999}", "not valid JSON"},
    };
    ringmoe_model_config config;
    char text[2000];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        rm_error error = {""};
        const char *path = scratch_text("broken.json", files[i].text);
        assert_int_equal(rm_config_read(path, &config, &error), RINGMOE_ERROR_FORMAT);
        if (!strstr(error.text, files[i].message)) fail_msg("%s", error.text);
    }
    rm_error error = {""};
    assert_int_equal(rm_config_read(scratch_path("none.json"), &config, &error),
                     RINGMOE_ERROR_FILE);
    char *large = calloc(1, (1 << 20) + 1);
    memset(large, ' ', 1 << 20);
    assert_int_equal(rm_config_read(scratch_text("large.json", large), &config, &error),
                     RINGMOE_ERROR_FORMAT);
    free(large);
    /* What transformers writes for "no limit" is a number, of no key that counts here. */
    snprintf(text, sizeof text, "{\"_limit\": 1000000000000000019884624838656, %s",
             base_json + 1);
    assert_int_equal(rm_config_read(scratch_text("limit.json", text), &config, &error),
                     RINGMOE_OK);
    /* Sizes that are allowed one by one can still be absurd together. */
    assert_int_equal(read_changed("num_local_experts", "65536", &config, &error), RINGMOE_OK);
}

static void refuses_absurd_totals(void **state)
{
    ringmoe_model_config config;
    rm_error error = {""};
    assert_int_equal(rm_config_preset("base", &config, &error), RINGMOE_OK);
    config.num_local_experts = 65536;
    config.intermediate_size = 1 << 20;
    config.hidden_size = 65536;
    assert_int_equal(rm_config_check(&config, &error), RINGMOE_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "parameters"));
    config.rope_theta = NAN;
    assert_int_equal(rm_config_check(&config, &error), RINGMOE_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "rope_theta is"));
}

static void assert_same(const ringmoe_model_config *a, const ringmoe_model_config *b)
{
    for (int i = 0; i < rm_n_config_fields; i++)
        if (rm_config_field_get(&rm_config_fields[i], a) !=
            rm_config_field_get(&rm_config_fields[i], b))
            fail_msg("%s differs", rm_config_fields[i].key);
    assert_memory_equal(a->is_dense_layer, b->is_dense_layer, sizeof a->is_dense_layer);
}

/* transformers checks types: 0 is no float to it. */
static void writes_floats_as_floats(void **state)
{
    ringmoe_model_config config;
    rm_error error = {""};
    const char *path = scratch_path("floats.json");
    assert_int_equal(rm_config_preset("tiny", &config, &error), RINGMOE_OK);
    assert_int_equal(rm_config_write(&config, path, &error), RINGMOE_OK);
    json_t *root = json_load_file(path, 0, NULL);
    assert_true(json_is_real(json_object_get(root, "router_jitter_noise")));
    assert_true(json_is_real(json_object_get(root, "rope_theta")));
    assert_true(json_is_integer(json_object_get(root, "hidden_size")));
    assert_null(json_object_get(root, "capacity_factor"));
    assert_null(json_object_get(root, "router_balance_scope"));
    assert_null(json_object_get(root, "dense_intermediate_size"));
    json_decref(root);
}

static void writes_what_it_reads(void **state)
{
    ringmoe_model_config written, read;
    rm_error error = {""};
    for (const char *const *name = ringmoe_model_preset_names(); *name; name++) {
        assert_int_equal(rm_config_preset(*name, &written, &error), RINGMOE_OK);
        assert_int_equal(rm_config_check(&written, &error), RINGMOE_OK);
        const char *path = scratch_path("written.json");
        assert_int_equal(rm_config_write(&written, path, &error), RINGMOE_OK);
        assert_int_equal(rm_config_read(path, &read, &error), RINGMOE_OK);
        assert_same(&written, &read);
    }
    assert_int_equal(rm_config_preset("base", &written, &error), RINGMOE_OK);
    written.is_dense_layer[0] = written.is_dense_layer[7] = 1;
    written.dense_intermediate_size = 100;
    written.rms_norm_eps = 1.0 / 3;
    written.router_z_loss_coef = 0.1;
    written.router_bias_rate = 1e-3;
    written.capacity_factor = 1.25;
    written.router_balance_global = 1;
    written.head_dim = 80;
    assert_int_equal(rm_config_write(&written, scratch_path("own.json"), &error), RINGMOE_OK);
    assert_int_equal(rm_config_read(scratch_path("own.json"), &read, &error), RINGMOE_OK);
    assert_same(&written, &read);
    written.head_dim = 81;
    assert_int_equal(rm_config_write(&written, scratch_path("bad.json"), &error),
                     RINGMOE_ERROR_ARGUMENT);
    assert_int_not_equal(access(scratch_path("bad.json"), F_OK), 0);
}

static void presets_have_their_sizes(void **state)
{
    static const struct {
        const char *name;
        double low, high;
    } sizes[] = {{"tiny", 0.9e6, 1.1e6}, {"small", 28e6, 32e6}, {"base", 145e6, 155e6}};
    struct ringmoe_context context = {.log = NULL};
    ringmoe_model_config config;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ringmoe_model_config_preset(&context, sizes[i].name, &config),
                         RINGMOE_OK);
        double parameters = (double)ringmoe_model_config_parameters(&config);
        assert_true(parameters > sizes[i].low && parameters < sizes[i].high);
        assert_string_equal(ringmoe_model_preset_names()[i], sizes[i].name);
    }
    assert_int_equal(ringmoe_model_config_preset(&context, "huge", &config),
                     RINGMOE_ERROR_ARGUMENT);
    assert_non_null(strstr(context.error.text, "\"huge\"; there are tiny, small and base"));
}

/* Bytes of a good file changed at random: any status, but no crash. */
static void survives_mutations(void **state)
{
    size_t length = strlen(base_json);
    char *text = malloc(length + 1);
    for (uint64_t trial = 0; trial < 2000; trial++) {
        ringmoe_model_config config;
        rm_error error = {""};
        uint32_t words[4];
        memcpy(text, base_json, length + 1);
        rm_random_words((rm_random_key){1, 2}, trial, words);
        text[words[0] % length] = (char)words[1];
        if (words[3] % 2) text[words[2] % length] = "0123456789-.eE{}[]\","[words[1] >> 8 & 15];
        rm_config_read(scratch_file("mutated.json", text, length), &config, &error);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_mixtral),           cmocka_unit_test(fills_defaults),
        cmocka_unit_test(refuses_bad_values),        cmocka_unit_test(accepts_harmless_values),
        cmocka_unit_test(reads_new_rope_parameters), cmocka_unit_test(keeps_scaling_and_ids),
        cmocka_unit_test(refuses_broken_files),      cmocka_unit_test(refuses_absurd_totals),
        cmocka_unit_test(writes_what_it_reads),      cmocka_unit_test(writes_floats_as_floats),
        cmocka_unit_test(presets_have_their_sizes),  cmocka_unit_test(survives_mutations),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

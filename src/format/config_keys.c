/* SPDX-License-Identifier: MIT */
#include "format/config_keys.h"

#include <stdlib.h>
#include <string.h>

#include "format/config_values.h"

/* Keys that name things, or steer what only the writer of the file did with the model. */
static const char *const ignored_keys[] = {
    "architectures",
    "torch_dtype",
    "dtype",
    "transformers_version",
    "use_cache",
    "output_router_logits",
    "return_dict",
    "output_attentions",
    "output_hidden_states",
    "torchscript",
    "id2label",
    "label2id",
    "problem_type",
    "chunk_size_feed_forward",
    "finetuning_task",
    "task_specific_params",
    "auto_map",
    "attn_implementation",
    "experts_implementation",
    "tokenizer_class",
    "max_length", /* of generation; so is the next one */
    "max_sequence_length",
    "is_llama_config",
    "transformers.js_config",
    "unsloth_fixed",
    "unsloth_version",
    "max_window_layers", /* of the layers with a window, and none binds */
};

/* Keys that may be there with one value only (or null). */
typedef struct fixed_key {
    const char *key, *json;
} fixed_key;
static const fixed_key fixed_keys[] = {
    {"hidden_act", "\"silu\""},    {"attention_dropout", "0"}, {"attention_bias", "false"},
    {"mlp_bias", "false"},         {"pretraining_tp", "1"},    {"is_encoder_decoder", "false"},
    {"rope_interleaved", "false"},
};

/* Keys that config_read.c, config_rope.c and config_ids.c have functions for. */
static const char *const special_keys[] = {"model_type",      "sliding_window", "rope_scaling",
                                           "rope_parameters", "layer_types",    "bos_token_id",
                                           "eos_token_id",    "pad_token_id"};

/* How weights were quantised: without it they could not be read. */
static const char *const quantized_keys[] = {"quantization_config", "compression_config",
                                             "quantization"};

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static bool is_one_of(const char *key, const char *const *list, int count)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(key, list[i])) return true;
    return false;
}

static bool is_field(const rm_family *family, const char *key)
{
    for (int i = 0; i < rm_n_config_fields; i++) {
        rm_config_field field = rm_config_field_in(family, &rm_config_fields[i]);
        if ((field.key && !strcmp(key, field.key)) ||
            (field.alias && !strcmp(key, field.alias)))
            return true;
    }
    return false;
}

static bool is_known(const rm_family *family, const char *key)
{
    for (int i = 0; i < COUNT(fixed_keys); i++)
        if (!strcmp(key, fixed_keys[i].key)) return true;
    if (!strcmp(key, "mlp_only_layers")) return family->has_experts;
    if (!strcmp(key, "decoder_sparse_step")) return family->has_sparse_step;
    if (!strcmp(key, "use_sliding_window")) return family->window_has_switch;
    return key[0] == '_' || is_field(family, key) ||
           is_one_of(key, special_keys, COUNT(special_keys)) ||
           is_one_of(key, ignored_keys, COUNT(ignored_keys));
}

/* A setting of other families, with the value that it has here: a qwen3_moe model whose file
 * says that it has no shared expert. */
static bool says_nothing_new(const rm_family *family, const char *key, const json_t *value)
{
    if (json_is_null(value)) return true;
    if (!strcmp(key, "use_qk_norm"))
        return json_is_boolean(value) &&
               json_is_true(value) == (family->qk_norm != RINGMOE_QK_NORM_NONE);
    for (int i = 0; i < rm_n_config_fields; i++) {
        rm_config_field field = rm_config_field_in(family, &rm_config_fields[i]);
        rm_error unused;
        double number;
        if (field.key || strcmp(key, rm_config_fields[i].key) != 0) continue;
        field.key = key;
        return rm_value_number(&field, value, &number, &unused) == RINGMOE_OK &&
               number == field.fallback;
    }
    return false;
}

static ringmoe_status check_key(const rm_family *family, const char *key, const json_t *value,
                                rm_error *error)
{
    if (is_known(family, key) || says_nothing_new(family, key, value)) return RINGMOE_OK;
    if (is_one_of(key, quantized_keys, COUNT(quantized_keys)))
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "%s is %s; models quantised in this way are not read, take the one in "
                       "bf16, fp16 or fp32 that it was made of, or a GGUF file",
                       key, rm_value_describe(value).text);
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "the key %.100s (%s) is not known here in a %s model and might change the "
                   "arithmetic; remove it, or begin its name with _ if it does not",
                   key, rm_value_describe(value).text, family->model_type);
}

/* Whether a value is what one of fixed_keys says: a word, false, or a number. */
static bool says(const json_t *value, const char *json)
{
    size_t length = strlen(json);
    if (json[0] == '"')
        return json_is_string(value) && json_string_length(value) == length - 2 &&
               !memcmp(json_string_value(value), json + 1, length - 2);
    if (!strcmp(json, "false")) return json_is_false(value);
    return json_is_number(value) && json_number_value(value) == atoi(json);
}

ringmoe_status rm_config_keys_check(const rm_family *family, const json_t *root,
                                    rm_error *error)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)root, key, value)
    {
        RM_TRY(check_key(family, key, value, error));
    }
    for (int i = 0; i < COUNT(fixed_keys); i++) {
        const json_t *found = rm_value_of(root, fixed_keys[i].key);
        if (found && !says(found, fixed_keys[i].json))
            return rm_value_refuse(error, fixed_keys[i].key, found, fixed_keys[i].json);
    }
    return RINGMOE_OK;
}

/* SPDX-License-Identifier: MIT
 *
 * Reading config.json. A key that is neither known nor on the list of those that cannot change
 * the arithmetic is refused: a model that silently ignores a setting computes something else.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "format/config.h"
#include "format/config_fields.h"
#include "format/gguf_config.h"
#include "format/json.h"
#include "format/printable.h"

static const rm_json_limits config_limits = {.bytes = 1 << 20, .values = 1 << 17, .depth = 32};

/* Keys that name things, or steer what only the writer of the file did with the model. */
static const char *const ignored_keys[] = {
    "architectures",
    "torch_dtype",
    "dtype",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
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
    "max_window_layers", /* of the layers with a window, and none binds */
};

/* Keys that may be there with one value only (or null). */
typedef struct fixed_key {
    const char *key, *json;
} fixed_key;
static const fixed_key fixed_keys[] = {
    {"hidden_act", "\"silu\""}, {"attention_dropout", "0"}, {"attention_bias", "false"},
    {"mlp_bias", "false"},      {"pretraining_tp", "1"},    {"is_encoder_decoder", "false"},
};

/* Keys with a function of their own below. */
static const char *const special_keys[] = {"model_type", "sliding_window", "rope_scaling",
                                           "rope_parameters", "layer_types"};

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* A value as JSON text in a message, cut to what fits in a line. */
typedef struct value_text {
    char text[64];
} value_text;

static value_text describe(const json_t *value)
{
    value_text result = {"?"};
    const int room = sizeof result.text - sizeof "...";
    char *json = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII |
                                       JSON_REAL_PRECISION(10));
    if (!json) return result;
    snprintf(result.text, sizeof result.text, "%.*s%s", room, json,
             strlen(json) > (size_t)room ? "..." : "");
    free(json);
    return result;
}

static ringmoe_status refuse(rm_error *error, const char *key, const json_t *value,
                             const char *must)
{
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s is %s; it must be %s", key,
                   describe(value).text, must);
}

/* A key's value; NULL if it is absent or null. */
static const json_t *value_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

static ringmoe_status read_word(const rm_config_field *field, const json_t *json,
                                double *number, rm_error *error)
{
    const char *word = json_string_value(json);
    for (*number = 0; word && *number <= field->maximum; (*number)++)
        if (!strcmp(word, rm_config_field_word(field, *number))) return RINGMOE_OK;
    return refuse(error, field->key, json, "\"microbatch\" or \"global\"");
}

static ringmoe_status read_number(const rm_config_field *field, const json_t *json,
                                  double *number, rm_error *error)
{
    bool is_bool = field->kind == RM_FIELD_BOOL || field->kind == RM_FIELD_NOT;
    if (field->kind == RM_FIELD_SCOPE) return read_word(field, json, number, error);
    if (is_bool && json_is_boolean(json)) {
        *number = json_is_true(json) == (field->kind == RM_FIELD_BOOL);
        return RINGMOE_OK;
    }
    if (is_bool) return refuse(error, field->key, json, "true or false");
    if (field->kind == RM_FIELD_INT && !json_is_integer(json)) {
        char must[96];
        snprintf(must, sizeof must, "a whole number, %.0f..%.0f", field->minimum,
                 field->maximum);
        return refuse(error, field->key, json, must);
    }
    if (!json_is_number(json)) return refuse(error, field->key, json, "a number");
    *number = json_number_value(json);
    return rm_config_field_check(field, *number, error);
}

/* A field's value under one of its two keys; MISMATCHing ones are refused. */
static ringmoe_status find_value(const rm_config_field *field, const json_t *root,
                                 const json_t **json, rm_error *error)
{
    const json_t *other = field->alias ? value_of(root, field->alias) : NULL;
    *json = field->key ? value_of(root, field->key) : NULL;
    if (!*json) *json = other;
    if (!other || json_equal(*json, other)) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s is %s, but %s is %s; keep one of them",
                   field->key, describe(*json).text, field->alias, describe(other).text);
}

static ringmoe_status read_field(const rm_config_field *field, const json_t *root,
                                 ringmoe_model_config *config, rm_error *error)
{
    const json_t *json;
    double number = field->fallback;
    RM_TRY(find_value(field, root, &json, error));
    if (json)
        RM_TRY(read_number(field, json, &number, error));
    else if (field->presence == RM_FIELD_REQUIRED)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s is missing; it must be %.0f..%.0f",
                       field->key, field->minimum, field->maximum);
    rm_config_field_set(field, config, number);
    return RINGMOE_OK;
}

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

static ringmoe_status check_keys(const rm_family *family, const json_t *root, rm_error *error)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)root, key, value)
    {
        if (!is_known(family, key))
            return rm_fail(error, RINGMOE_ERROR_FORMAT,
                           "the key %.100s (%s) is not known here in a %s model and might "
                           "change the arithmetic; remove it, or begin its name with _ if it "
                           "does not",
                           key, describe(value).text, family->model_type);
    }
    for (int i = 0; i < COUNT(fixed_keys); i++) {
        const json_t *found = value_of(root, fixed_keys[i].key);
        if (found && !says(found, fixed_keys[i].json))
            return refuse(error, fixed_keys[i].key, found, fixed_keys[i].json);
    }
    return RINGMOE_OK;
}

static ringmoe_status read_family(const json_t *root, ringmoe_model_config *config,
                                  rm_error *error)
{
    const json_t *type = value_of(root, "model_type");
    if (!type)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "model_type is missing; it must be " RM_FAMILY_NAMES);
    int family = json_is_string(type) ? rm_family_find(json_string_value(type)) : -1;
    if (family < 0)
        return refuse(error, "model_type", type,
                      RM_FAMILY_NAMES ", the only families known here");
    config->family = family;
    config->qk_norm = (int)rm_family_of(family)->qk_norm;
    return RINGMOE_OK;
}

/* A switch that is not there is off. */
static ringmoe_status read_window_switch(const rm_family *family, const json_t *root,
                                         bool *counts, rm_error *error)
{
    const json_t *use = value_of(root, "use_sliding_window");
    *counts = !family->window_has_switch || json_is_true(use);
    if (!use || json_is_boolean(use)) return RINGMOE_OK;
    return refuse(error, "use_sliding_window", use, "true or false");
}

static ringmoe_status check_window(const rm_family *family, const json_t *root,
                                   const ringmoe_model_config *config, rm_error *error)
{
    const json_t *window = value_of(root, "sliding_window");
    const json_t *types = value_of(root, "layer_types");
    bool counts;
    RM_TRY(read_window_switch(family, root, &counts, error));
    if (counts && window &&
        (!json_is_integer(window) ||
         json_integer_value(window) < config->max_position_embeddings))
        return refuse(error, "sliding_window", window,
                      "null or at least max_position_embeddings, since attention here sees all "
                      "positions");
    if (types && json_array_size(types) != (size_t)config->num_hidden_layers)
        return refuse(error, "layer_types", types, "a list with an entry for each layer");
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (!type || strcmp(type, "full_attention") != 0)
            return refuse(error, "layer_types", types, "\"full_attention\" in all layers");
    }
    return RINGMOE_OK;
}

/* One entry of rope_parameters (or of rope_scaling, its older name). */
static ringmoe_status read_rope_entry(const char *key, const json_t *value, const json_t *root,
                                      ringmoe_model_config *config, rm_error *error)
{
    const rm_config_field *theta = rm_config_fields;
    while (strcmp(theta->key, "rope_theta") != 0) theta++; /* in every family */
    if (json_is_null(value)) return RINGMOE_OK;
    if (!strcmp(key, "rope_theta")) {
        double number;
        RM_TRY(read_number(theta, value, &number, error));
        if (value_of(root, key) && number != config->rope_theta)
            return rm_fail(
                error, RINGMOE_ERROR_FORMAT,
                "rope_theta is %.10g, but %.10g in rope_parameters; keep one of them",
                config->rope_theta, number);
        config->rope_theta = number;
        return RINGMOE_OK;
    }
    if (!strcmp(key, "rope_type") || !strcmp(key, "type"))
        return json_is_string(value) && !strcmp(json_string_value(value), "default")
                   ? RINGMOE_OK
                   : refuse(error, key, value,
                            "\"default\"; scaled rotary positions are not "
                            "supported");
    if (!strcmp(key, "partial_rotary_factor") && json_number_value(value) == 1)
        return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "%.100s (%s) of the rotary positions is not supported; only rope_theta is",
                   key, describe(value).text);
}

static ringmoe_status read_rope(const json_t *root, const char *name,
                                ringmoe_model_config *config, rm_error *error)
{
    const json_t *object = value_of(root, name);
    if (!object) return RINGMOE_OK;
    if (!json_is_object(object)) return refuse(error, name, object, "an object or null");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        RM_TRY(read_rope_entry(key, value, root, config, error));
    }
    return RINGMOE_OK;
}

static ringmoe_status read_dense_layers(const json_t *root, ringmoe_model_config *config,
                                        rm_error *error)
{
    const json_t *list = value_of(root, "mlp_only_layers");
    if (!list) return RINGMOE_OK;
    char must[64];
    snprintf(must, sizeof must, "a list of layers, 0..%d", config->num_hidden_layers - 1);
    if (!json_is_array(list)) return refuse(error, "mlp_only_layers", list, must);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        json_int_t layer = json_is_integer(entry) ? json_integer_value(entry) : -1;
        if (layer < 0 || layer >= config->num_hidden_layers)
            return refuse(error, "mlp_only_layers", list, must);
        config->is_dense_layer[layer] = 1;
    }
    return RINGMOE_OK;
}

/* Qwen's way: a layer of experts every so many layers, the last of each run. */
static ringmoe_status read_sparse_step(const rm_family *family, const json_t *root,
                                       ringmoe_model_config *config, rm_error *error)
{
    const json_t *json = value_of(root, "decoder_sparse_step");
    if (!family->has_sparse_step || !json) return RINGMOE_OK;
    json_int_t step = json_is_integer(json) ? json_integer_value(json) : 0;
    if (step < 1) return refuse(error, "decoder_sparse_step", json, "a whole number from 1 on");
    for (int layer = 0; layer < config->num_hidden_layers; layer++)
        if ((layer + 1) % step != 0) config->is_dense_layer[layer] = 1;
    return RINGMOE_OK;
}

/* A head_dim that is not given needs heads that divide. */
static ringmoe_status check_head_division(const ringmoe_model_config *config, rm_error *error)
{
    if (!config->head_dim && config->hidden_size % config->num_attention_heads != 0)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "num_attention_heads is %d; it must divide hidden_size (%d), or "
                       "head_dim must be given",
                       config->num_attention_heads, config->hidden_size);
    return RINGMOE_OK;
}

static ringmoe_status read_object(const json_t *root, ringmoe_model_config *config,
                                  rm_error *error)
{
    if (!json_is_object(root))
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "the file must hold one JSON object");
    RM_TRY(read_family(root, config, error));
    const rm_family *family = rm_family_of(config->family);
    RM_TRY(check_keys(family, root, error));
    for (int i = 0; i < rm_n_config_fields; i++) {
        rm_config_field field = rm_config_field_in(family, &rm_config_fields[i]);
        RM_TRY(read_field(&field, root, config, error));
    }
    RM_TRY(check_head_division(config, error));
    rm_config_derive(config);
    RM_TRY(check_window(family, root, config, error));
    RM_TRY(read_rope(root, "rope_parameters", config, error));
    RM_TRY(read_rope(root, "rope_scaling", config, error));
    RM_TRY(read_dense_layers(root, config, error));
    RM_TRY(read_sparse_step(family, root, config, error));
    return rm_config_check(config, error);
}

static ringmoe_status read_file(const char *path, ringmoe_model_config *config, rm_error *error)
{
    rm_error why = {""};
    json_t *root;
    RM_TRY(rm_json_read(path, &config_limits, &root, error));
    ringmoe_status status = read_object(root, config, &why);
    json_decref(root);
    if (status == RINGMOE_OK) return RINGMOE_OK;
    rm_text_make_printable(why.text);
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: %s", path, why.text);
}

ringmoe_status rm_config_read(const char *path, ringmoe_model_config *config, rm_error *error)
{
    memset(config, 0, sizeof *config);
    if (rm_path_is_gguf(path)) return rm_gguf_config_read(path, config, error);
    if (!rm_path_is_folder(path)) return read_file(path, config, error);
    char *inside = rm_path_join(path, "config.json");
    if (!inside)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its name", path);
    ringmoe_status status = read_file(inside, config, error);
    free(inside);
    return status;
}

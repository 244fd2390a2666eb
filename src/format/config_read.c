/* SPDX-License-Identifier: MIT
 *
 * Reading config.json: config_keys.c says which keys it may have, and here they become fields.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "format/config.h"
#include "format/config_ids.h"
#include "format/config_keys.h"
#include "format/config_rope.h"
#include "format/config_values.h"
#include "format/gguf_config.h"
#include "format/json.h"
#include "format/printable.h"

static const rm_json_limits config_limits = {.bytes = 1 << 20, .values = 1 << 17, .depth = 32};

/* A field's value under one of its two keys; MISMATCHing ones are refused. */
static ringmoe_status find_value(const rm_config_field *field, const json_t *root,
                                 const json_t **json, rm_error *error)
{
    const json_t *other = field->alias ? rm_value_of(root, field->alias) : NULL;
    *json = field->key ? rm_value_of(root, field->key) : NULL;
    if (!*json) *json = other;
    if (!other || json_equal(*json, other)) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s is %s, but %s is %s; keep one of them",
                   field->key, rm_value_describe(*json).text, field->alias,
                   rm_value_describe(other).text);
}

static ringmoe_status read_field(const rm_config_field *field, const json_t *root,
                                 ringmoe_model_config *config, rm_error *error)
{
    const json_t *json;
    double number = field->fallback;
    RM_TRY(find_value(field, root, &json, error));
    if (json)
        RM_TRY(rm_value_number(field, json, &number, error));
    else if (field->presence == RM_FIELD_REQUIRED)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s is missing; it must be %.0f..%.0f",
                       field->key, field->minimum, field->maximum);
    rm_config_field_set(field, config, number);
    return RINGMOE_OK;
}

static ringmoe_status read_family(const json_t *root, ringmoe_model_config *config,
                                  rm_error *error)
{
    const json_t *type = rm_value_of(root, "model_type");
    if (!type)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "model_type is missing; it must be " RM_FAMILY_NAMES);
    int family = json_is_string(type) ? rm_family_find(json_string_value(type)) : -1;
    if (family < 0)
        return rm_value_refuse(error, "model_type", type,
                               RM_FAMILY_NAMES ", the only families known here");
    config->family = family;
    config->qk_norm = (int)rm_family_of(family)->qk_norm;
    return RINGMOE_OK;
}

/* A switch that is not there is off. */
static ringmoe_status read_window_switch(const rm_family *family, const json_t *root,
                                         bool *counts, rm_error *error)
{
    const json_t *use = rm_value_of(root, "use_sliding_window");
    *counts = !family->window_has_switch || json_is_true(use);
    if (!use || json_is_boolean(use)) return RINGMOE_OK;
    return rm_value_refuse(error, "use_sliding_window", use, "true or false");
}

static ringmoe_status check_window(const rm_family *family, const json_t *root,
                                   const ringmoe_model_config *config, rm_error *error)
{
    const json_t *window = rm_value_of(root, "sliding_window");
    const json_t *types = rm_value_of(root, "layer_types");
    bool counts;
    RM_TRY(read_window_switch(family, root, &counts, error));
    if (counts && window &&
        (!json_is_integer(window) ||
         json_integer_value(window) < config->max_position_embeddings))
        return rm_value_refuse(
            error, "sliding_window", window,
            "null or at least max_position_embeddings, since attention here sees all "
            "positions");
    if (types && json_array_size(types) != (size_t)config->num_hidden_layers)
        return rm_value_refuse(error, "layer_types", types,
                               "a list with an entry for each layer");
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (!type || strcmp(type, "full_attention") != 0)
            return rm_value_refuse(error, "layer_types", types,
                                   "\"full_attention\" in all layers");
    }
    return RINGMOE_OK;
}

static ringmoe_status read_dense_layers(const json_t *root, ringmoe_model_config *config,
                                        rm_error *error)
{
    const json_t *list = rm_value_of(root, "mlp_only_layers");
    if (!list) return RINGMOE_OK;
    char must[64];
    snprintf(must, sizeof must, "a list of layers, 0..%d", config->num_hidden_layers - 1);
    if (!json_is_array(list)) return rm_value_refuse(error, "mlp_only_layers", list, must);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        json_int_t layer = json_is_integer(entry) ? json_integer_value(entry) : -1;
        if (layer < 0 || layer >= config->num_hidden_layers)
            return rm_value_refuse(error, "mlp_only_layers", list, must);
        config->is_dense_layer[layer] = 1;
    }
    return RINGMOE_OK;
}

/* Qwen's way: a layer of experts every so many layers, the last of each run. */
static ringmoe_status read_sparse_step(const rm_family *family, const json_t *root,
                                       ringmoe_model_config *config, rm_error *error)
{
    const json_t *json = rm_value_of(root, "decoder_sparse_step");
    if (!family->has_sparse_step || !json) return RINGMOE_OK;
    json_int_t step = json_is_integer(json) ? json_integer_value(json) : 0;
    if (step < 1)
        return rm_value_refuse(error, "decoder_sparse_step", json, "a whole number from 1 on");
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
    RM_TRY(rm_config_keys_check(family, root, error));
    for (int i = 0; i < rm_n_config_fields; i++) {
        rm_config_field field = rm_config_field_in(family, &rm_config_fields[i]);
        RM_TRY(read_field(&field, root, config, error));
    }
    RM_TRY(check_head_division(config, error));
    rm_config_derive(config);
    RM_TRY(check_window(family, root, config, error));
    RM_TRY(rm_rope_read(root, config, error));
    RM_TRY(rm_config_ids_read(root, config, error));
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

/* SPDX-License-Identifier: MIT
 *
 * Reading state.json, which may have come from anywhere.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/number.h"
#include "format/json.h"
#include "format/router_biases.h"
#include "train/state.h"

/* A count and a bias for each expert of each layer, and what else there is. */
static const rm_json_limits limits = {
    .bytes = (int64_t)1 << 30, .values = (int64_t)1 << 25, .depth = 4};

static ringmoe_status fail_key(const char *path, const char *key, const char *wanted,
                               rm_error *error)
{
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: key %s is missing or not %s", path, key,
                   wanted);
}

static ringmoe_status read_integer(const json_t *object, const char *path, const char *key,
                                   int64_t most, int64_t *value, rm_error *error)
{
    const json_t *found = json_object_get(object, key);
    *value = json_integer_value(found);
    if (json_is_integer(found) && *value >= 0 && *value <= most) return RINGMOE_OK;
    char wanted[64];
    snprintf(wanted, sizeof wanted, "a whole number from 0 to %lld", (long long)most);
    return fail_key(path, key, wanted, error);
}

static ringmoe_status read_checksum(const json_t *root, const char *path, const char *key,
                                    char hex[17], rm_error *error)
{
    const char *text = json_string_value(json_object_get(root, key));
    if (!text || strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
        return fail_key(path, key, "16 hex digits", error);
    memcpy(hex, text, 17);
    return RINGMOE_OK;
}

static ringmoe_status read_layout(const json_t *root, const char *path, rm_state *state,
                                  rm_error *error)
{
    const json_t *layout = json_object_get(root, "layout");
    struct {
        const char *key;
        int *value;
    } const fields[] = {{"pipeline", &state->layout.pipeline},
                        {"data", &state->layout.data},
                        {"expert", &state->layout.expert},
                        {"tensor", &state->layout.tensor},
                        {"threads", &state->threads}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        int64_t value;
        RM_TRY(read_integer(layout, path, fields[i].key, INT32_MAX, &value, error));
        *fields[i].value = (int)value;
    }
    const char *level = json_string_value(json_object_get(root, "kernel_level"));
    if (!level || strlen(level) >= sizeof state->kernel_level)
        return fail_key(path, "kernel_level", "a short word", error);
    memcpy(state->kernel_level, level, strlen(level) + 1);
    return RINGMOE_OK;
}

/* The value as rm_recipe_write would have written it. */
static bool read_value(const json_t *found, rm_recipe_item *item)
{
    size_t room = sizeof item->value;
    item->is_word = json_is_string(found);
    if (json_is_string(found))
        return (size_t)snprintf(item->value, room, "%s", json_string_value(found)) < room;
    if (json_is_integer(found))
        snprintf(item->value, room, "%lld", (long long)json_integer_value(found));
    else if (json_is_real(found))
        rm_number_format(json_real_value(found), item->value);
    return json_is_number(found);
}

static ringmoe_status read_recipe(json_t *root, const char *path, rm_recipe *recipe,
                                  rm_error *error)
{
    json_t *object = json_object_get(root, "recipe"), *value;
    const char *name;
    if (!json_is_object(object)) return fail_key(path, "recipe", "an object", error);
    if (json_object_size(object) > RM_RECIPE_ITEMS)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: the recipe has more than %d items",
                       path, RM_RECIPE_ITEMS);
    json_object_foreach(object, name, value)
    {
        rm_recipe_item *item = &recipe->items[recipe->n_items];
        size_t length = strlen(name);
        if (length >= sizeof item->name || !read_value(value, item))
            return rm_fail(error, RINGMOE_ERROR_FORMAT,
                           "%s: item %d of the recipe is no number or short word with a short "
                           "name",
                           path, recipe->n_items + 1);
        memcpy(item->name, name, length + 1);
        recipe->n_items++;
    }
    return RINGMOE_OK;
}

static ringmoe_status read_counts(const json_t *root, const char *path, rm_state *state,
                                  rm_error *error)
{
    const json_t *list = json_object_get(root, "balance_counts");
    size_t n = json_array_size(list);
    if (!list) return RINGMOE_OK;
    if (!json_is_array(list)) return fail_key(path, "balance_counts", "a list", error);
    state->balance_counts = calloc(n + 1, sizeof *state->balance_counts);
    if (!state->balance_counts)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for %zu counts", path, n);
    for (size_t i = 0; i < n; i++) {
        const json_t *count = json_array_get(list, i);
        state->balance_counts[i] = json_integer_value(count);
        if (!json_is_integer(count) || state->balance_counts[i] < 0)
            return fail_key(path, "balance_counts", "made of whole numbers from 0", error);
    }
    state->n_balance_counts = (int64_t)n;
    return RINGMOE_OK;
}

static ringmoe_status read_biases(const json_t *root, const char *path, rm_state *state,
                                  const ringmoe_model_config *config, rm_error *error)
{
    if (!config || !(config->router_bias_rate > 0) || config->num_local_experts == 0)
        return RINGMOE_OK;
    state->n_router_biases = (int64_t)config->num_hidden_layers * config->num_local_experts;
    state->router_biases =
        calloc((size_t)state->n_router_biases + 1, sizeof *state->router_biases);
    if (!state->router_biases)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for %lld router biases",
                       path, (long long)state->n_router_biases);
    return rm_router_biases_parse(root, config, path, state->router_biases, error);
}

static ringmoe_status read_root(json_t *root, const char *path, rm_state *state,
                                const ringmoe_model_config *config, rm_error *error)
{
    int64_t version = 0;
    RM_TRY(read_integer(root, path, "format_version", INT32_MAX, &version, error));
    if (version != RM_STATE_VERSION)
        return rm_fail(
            error, RINGMOE_ERROR_ARGUMENT,
            "%s: made by another version: format_version is %lld; this library reads "
            "%d",
            path, (long long)version, RM_STATE_VERSION);
    RM_TRY(read_integer(root, path, "step", RM_STEPS_MOST, &state->step, error));
    RM_TRY(read_integer(root, path, "samples_seen", INT64_MAX, &state->samples_seen, error));
    RM_TRY(read_layout(root, path, state, error));
    RM_TRY(read_checksum(root, path, "weights_checksum", state->weights_checksum, error));
    RM_TRY(read_checksum(root, path, "exp_avg_checksum", state->exp_avg_checksum, error));
    RM_TRY(read_checksum(root, path, "exp_avg_sq_checksum", state->exp_avg_sq_checksum, error));
    RM_TRY(read_recipe(root, path, &state->recipe, error));
    RM_TRY(read_counts(root, path, state, error));
    return read_biases(root, path, state, config, error);
}

ringmoe_status rm_state_read(rm_state *state, const char *folder,
                             const ringmoe_model_config *config, rm_error *error)
{
    *state = (rm_state){0};
    char *path = rm_path_join(folder, RM_STATE_FILE);
    json_t *root = NULL;
    if (!path)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its path", folder);
    ringmoe_status status = rm_json_read(path, &limits, &root, error);
    if (status == RINGMOE_OK) status = read_root(root, path, state, config, error);
    json_decref(root);
    free(path);
    return status;
}

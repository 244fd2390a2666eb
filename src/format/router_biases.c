/* SPDX-License-Identifier: MIT */
#include "format/router_biases.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/files.h"
#include "base/number.h"
#include "format/json.h"

/* More than the settings, counts and biases of the largest model take. */
static const rm_json_limits state_limits = {
    .bytes = (int64_t)1 << 30, .values = (int64_t)1 << 25, .depth = 8};

static bool is_dense(const ringmoe_model_config *config, int layer)
{
    return config->is_dense_layer[layer] || config->num_local_experts == 0;
}

static void print_layer(const rm_real *biases, int n, FILE *out)
{
    char text[RM_NUMBER_TEXT];
    fputc('[', out);
    for (int i = 0; i < n; i++) {
        rm_number_format(biases[i], text);
        fprintf(out, "%s%s", i ? ", " : "", text);
    }
    fputc(']', out);
}

void rm_router_biases_print(const ringmoe_model_config *config, const rm_real *biases,
                            FILE *out)
{
    int64_t n_experts = config->num_local_experts;
    fputc('[', out);
    for (int layer = 0; layer < config->num_hidden_layers; layer++) {
        if (layer) fputs(",\n    ", out);
        print_layer(biases + layer * n_experts,
                    is_dense(config, layer) ? 0 : config->num_local_experts, out);
    }
    fputc(']', out);
}

static ringmoe_status refuse(const char *path, int layer, const char *must, rm_error *error)
{
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "%s: " RM_ROUTER_BIASES_KEY " of layer %d must be %s", path, layer, must);
}

static ringmoe_status check_layer(const json_t *list, const ringmoe_model_config *config,
                                  int layer, const char *path, rm_error *error)
{
    int n = is_dense(config, layer) ? 0 : config->num_local_experts;
    if (!json_is_array(list) || json_array_size(list) != (size_t)n)
        return refuse(path, layer,
                      n ? "a list of one number an expert" : "an empty list, as it is dense",
                      error);
    for (int i = 0; i < n; i++) {
        const json_t *value = json_array_get(list, (size_t)i);
        if (!json_is_number(value) || !isfinite((rm_real)json_number_value(value)))
            return refuse(path, layer, "made of finite numbers", error);
    }
    return RINGMOE_OK;
}

ringmoe_status rm_router_biases_parse(const json_t *root, const ringmoe_model_config *config,
                                      const char *path, rm_real *biases, rm_error *error)
{
    const json_t *layers = json_object_get(root, RM_ROUTER_BIASES_KEY);
    size_t n_layers = (size_t)config->num_hidden_layers;
    if (!json_is_array(layers) || json_array_size(layers) != n_layers)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "%s: " RM_ROUTER_BIASES_KEY " is missing or not a list of %zu layers; a "
                       "model whose config.json has router_bias_rate needs it",
                       path, n_layers);
    for (size_t layer = 0; layer < n_layers; layer++)
        RM_TRY(check_layer(json_array_get(layers, layer), config, (int)layer, path, error));
    for (size_t layer = 0; layer < n_layers; layer++)
        for (int i = 0; i < config->num_local_experts; i++)
            *biases++ = (rm_real)json_number_value(
                json_array_get(json_array_get(layers, layer), (size_t)i));
    return RINGMOE_OK;
}

ringmoe_status rm_router_biases_read(const char *folder, const ringmoe_model_config *config,
                                     rm_real *biases, rm_error *error)
{
    json_t *root = NULL;
    char *path = rm_path_join(folder, "state.json");
    if (!path) return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for a path", folder);
    ringmoe_status status = rm_json_read(path, &state_limits, &root, error);
    if (status == RINGMOE_OK)
        status = rm_router_biases_parse(root, config, path, biases, error);
    json_decref(root);
    free(path);
    return status;
}

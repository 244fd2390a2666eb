/* SPDX-License-Identifier: MIT
 *
 * Loading a model's weights. Every rank maps the files and finds the place of every parameter,
 * none missing, none left over, all shapes right; then it reads its own parts: those of its
 * stages, of its experts, and of their matrices its rows or columns. Selection biases of
 * routers are no parameters: a model that has them gets them from state.json.
 */
#include "model/load.h"

#include <stdlib.h>
#include <string.h>

#include "format/router_biases.h"
#include "model/pack_weights.h"
#include "model/part_read.h"

static int64_t count_biases(const ringmoe_model_config *config)
{
    return config->router_bias_rate > 0
               ? (int64_t)config->num_hidden_layers * config->num_local_experts
               : 0;
}

/* The places do not depend on who holds what, so any placement's table will do. */
static ringmoe_status find_places(const char *path, const ringmoe_model_config *config,
                                  rm_opened_weights *opened, rm_error *error)
{
    RM_TRY(rm_parameter_table_create(config, &(rm_placement){0}, &opened->table, error));
    opened->places = calloc((size_t)opened->table.n_parameters + 1, sizeof *opened->places);
    opened->biases = calloc((size_t)count_biases(config) + 1, sizeof *opened->biases);
    if (!opened->places || !opened->biases)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its list", path);
    return rm_weight_source_match(opened->source, config, &opened->table, opened->places,
                                  error);
}

ringmoe_status rm_weights_open(const char *path, const ringmoe_model_config *config,
                               rm_opened_weights *opened, rm_error *error)
{
    *opened = (rm_opened_weights){0};
    RM_TRY(rm_weight_source_open(path, &opened->source, error));
    RM_TRY(find_places(path, config, opened, error));
    return count_biases(config) > 0 ? rm_router_biases_read(path, config, opened->biases, error)
                                    : RINGMOE_OK;
}

void rm_weights_close(rm_opened_weights *opened)
{
    rm_weight_source_close(&opened->source);
    rm_parameter_table_free(&opened->table);
    free(opened->places);
    free(opened->biases);
    *opened = (rm_opened_weights){0};
}

/* This rank's parts of what has master weights. */
static ringmoe_status read_parts(const ringmoe_model *model, const rm_weight_place *places,
                                 rm_error *error)
{
    const ringmoe_mesh *mesh = model->mesh;
    for (int i = 0; i < model->table.n_parameters; i++) {
        const rm_parameter *parameter = &model->table.parameters[i];
        if (!places[i].tensor || !rm_model_holds(model, parameter)) continue;
        rm_real *weights = rm_model_weights(model, parameter);
        rm_parameter_part part =
            rm_parameter_part_of(parameter, mesh->tensor.size, mesh->tensor.rank);
        if (!weights) continue;
        RM_TRY(rm_part_read(&mesh->context->compute, &places[i], parameter, &part, 0,
                            part.n_elements, weights, error));
    }
    return RINGMOE_OK;
}

/* This rank's rows; the embedding is the first parameter. */
static ringmoe_status read_embedding(const ringmoe_model *model, const rm_weight_place *places,
                                     rm_error *error)
{
    const ringmoe_mesh *mesh = model->mesh;
    const rm_parameter *parameter = model->table.parameters;
    if (!rm_model_holds(model, parameter)) return RINGMOE_OK;
    rm_parameter_part part =
        rm_parameter_part_of(parameter, mesh->tensor.size, mesh->tensor.rank);
    return rm_part_copy(&mesh->context->compute, &places[0], parameter, &part,
                        model->stored_embedding, error);
}

/* What has no master weights. */
static ringmoe_status read_other_forms(ringmoe_model *model, const rm_weight_place *places,
                                       rm_error *error)
{
    RM_TRY(read_embedding(model, places, error));
    return rm_model_pack_from_files(model, places, error);
}

ringmoe_status rm_weights_read(const rm_opened_weights *opened, ringmoe_model *model)
{
    ringmoe_context *context = model->mesh->context;
    if (model->router_bias)
        memcpy(model->router_bias, opened->biases,
               (size_t)count_biases(&model->config) * sizeof *opened->biases);
    ringmoe_status status = read_parts(model, opened->places, &context->error);
    if (status == RINGMOE_OK && model->settings.packed_only)
        status = read_other_forms(model, opened->places, &context->error);
    return rm_agree(&context->world, status, &context->error);
}

ringmoe_status rm_model_read_weights(ringmoe_model *model, const char *folder, bool *changes)
{
    ringmoe_context *context = model->mesh->context;
    rm_opened_weights opened;
    ringmoe_status status = rm_weights_open(folder, &model->config, &opened, &context->error);
    status = rm_agree(&context->world, status, &context->error);
    *changes = status == RINGMOE_OK;
    if (*changes) status = rm_weights_read(&opened, model);
    rm_weights_close(&opened);
    return status;
}

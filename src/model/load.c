/* SPDX-License-Identifier: MIT
 *
 * Loading a model's folder. If it has a manifest, the ranks together compare it with that
 * first. Every rank maps the files and checks every tensor against the parameter table, none
 * missing, none left over, all shapes right; then it reads its own parts: those of its stages,
 * of its experts, and of their matrices its rows or columns. Selection biases of routers are no
 * parameters: a model that has them gets them from state.json.
 */
#include <stdlib.h>
#include <string.h>

#include "format/config.h"
#include "format/router_biases.h"
#include "model/part_read.h"
#include "model/state.h"
#include "model/verify.h"
#include "model/weight_source.h"

/* This rank's parts. */
static ringmoe_status read_parts(const ringmoe_model *model, const rm_weight_place *places,
                                 rm_error *error)
{
    const ringmoe_mesh *mesh = model->mesh;
    for (int i = 0; i < model->table.n_parameters; i++) {
        const rm_parameter *parameter = &model->table.parameters[i];
        if (!places[i].tensor || !rm_model_holds(model, parameter)) continue;
        rm_parameter_part part =
            rm_parameter_part_of(parameter, mesh->tensor.size, mesh->tensor.rank);
        RM_TRY(rm_part_read(&mesh->context->compute, &places[i], parameter, &part, 0,
                            part.n_elements, rm_model_weights(model, parameter), error));
    }
    return RINGMOE_OK;
}

/* A folder that has been opened and checked. Zeroed: none. */
typedef struct opened_folder {
    rm_weight_source *source;
    rm_weight_place *places; /* of the table's parameters */
    rm_real *biases;         /* of the routers, as many as the model's; or NULL */
} opened_folder;

static void close_folder(opened_folder *opened)
{
    rm_weight_source_close(&opened->source);
    free(opened->places);
    free(opened->biases);
}

static int64_t count_biases(const ringmoe_model *model)
{
    const ringmoe_model_config *config = &model->config;
    return model->router_bias ? (int64_t)config->num_hidden_layers * config->num_local_experts
                              : 0;
}

/* Everything that can be seen to be wrong before the first value is read. */
static ringmoe_status open_folder(const ringmoe_model *model, const char *folder,
                                  opened_folder *opened, rm_error *error)
{
    int64_t n_biases = count_biases(model);
    const rm_parameter_table *table = &model->table;
    opened->places = calloc((size_t)table->n_parameters + 1, sizeof *opened->places);
    opened->biases = calloc((size_t)n_biases + 1, sizeof *opened->biases);
    if (!opened->places || !opened->biases)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its list", folder);
    RM_TRY(rm_weight_source_open(folder, &opened->source, error));
    RM_TRY(
        rm_weight_source_match(opened->source, &model->config, table, opened->places, error));
    return n_biases > 0 ? rm_router_biases_read(folder, &model->config, opened->biases, error)
                        : RINGMOE_OK;
}

ringmoe_status rm_model_read_weights(ringmoe_model *model, const char *folder, bool *changes)
{
    ringmoe_context *context = model->mesh->context;
    rm_error *error = &context->error;
    opened_folder opened = {0};
    ringmoe_status status = open_folder(model, folder, &opened, error);
    status = rm_agree(&context->world, status, error);
    *changes = status == RINGMOE_OK;
    if (*changes) {
        if (model->router_bias)
            memcpy(model->router_bias, opened.biases,
                   (size_t)count_biases(model) * sizeof *opened.biases);
        status = read_parts(model, opened.places, error);
        status = rm_agree(&context->world, status, error);
    }
    close_folder(&opened);
    return status;
}

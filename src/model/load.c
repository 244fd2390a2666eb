/* SPDX-License-Identifier: MIT
 *
 * Loading a model's folder. If it has a manifest, the ranks together compare it with that
 * first. Every rank maps the files and checks every tensor against the parameter table, none
 * missing, none left over, all shapes right; then it reads its own parts: those of its stages,
 * of its experts, and of their matrices its rows or columns. Selection biases of routers are no
 * parameters: a model that has them gets them from state.json.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/router_biases.h"
#include "model/part_read.h"
#include "model/state.h"
#include "model/weight_files.h"

/* --- what is expected ----------------------------------------------------------------------
 */

/* A tensor the folder must have. A rank that does not hold it has no values. */
typedef struct expected_tensor {
    const rm_parameter *parameter;
    const rm_tensor *tensor; /* once it was found */
    rm_real *values;
} expected_tensor;

/* The tensors of the whole model; *list is the caller's to free. */
static ringmoe_status list_expected(const ringmoe_model *model, expected_tensor **list,
                                    int *count, rm_error *error)
{
    const rm_parameter_table *table = &model->table;
    *list = calloc((size_t)table->n_parameters + 1, sizeof **list);
    *count = 0;
    if (!*list)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a list of %d tensors",
                       table->n_parameters);
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *parameter = &table->parameters[i];
        if (parameter->tied) continue;
        expected_tensor *expected = &(*list)[(*count)++];
        expected->parameter = parameter;
        if (rm_model_holds(model, parameter))
            expected->values = rm_model_weights(model, parameter);
    }
    return RINGMOE_OK;
}

/* --- checks ----------------------------------------------------------------------------------
 */

/* "[8, 64]" */
typedef struct shape_text {
    char text[24 * RM_TENSOR_MAX_DIMS];
} shape_text;

static shape_text describe_shape(int n_dims, const int64_t *shape)
{
    shape_text result = {"["};
    size_t used = 1, room = sizeof result.text;
    for (int i = 0; i < n_dims; i++)
        used += (size_t)snprintf(result.text + used, room - used, i ? ", %lld" : "%lld",
                                 (long long)shape[i]);
    snprintf(result.text + used, room - used, "]");
    return result;
}

static ringmoe_status check_tensor(const char *folder, const rm_parameter *expected,
                                   const rm_tensor *tensor, rm_error *error)
{
    bool fits = tensor->n_dims == expected->n_dims;
    for (int i = 0; i < expected->n_dims && fits; i++)
        fits = tensor->shape[i] == expected->shape[i];
    if (fits) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "%s: tensor %s has the shape %s; config.json asks for %s", folder,
                   expected->name, describe_shape(tensor->n_dims, tensor->shape).text,
                   describe_shape(expected->n_dims, expected->shape).text);
}

/* The first tensor that nobody asked for; there is one. */
static ringmoe_status name_surplus(const char *folder, const rm_weight_files *files,
                                   const bool *is_wanted, rm_error *error)
{
    int64_t i = 0;
    while (is_wanted[i]) i++;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "%s: tensor %.150s of %.80s belongs to no parameter of this config.json",
                   folder, files->tensors[i].tensor->name,
                   files->names[files->tensors[i].file]);
}

/* Finds each expected tensor, and no others. is_wanted [tensors of the files], all false. */
static ringmoe_status match(const char *folder, const rm_weight_files *files,
                            expected_tensor *expected, int n_expected, bool *is_wanted,
                            rm_error *error)
{
    for (int i = 0; i < n_expected; i++) {
        const rm_parameter *parameter = expected[i].parameter;
        const rm_stored_tensor *stored = rm_weight_files_find(files, parameter->name);
        if (!stored)
            return rm_fail(error, RINGMOE_ERROR_FORMAT,
                           "%s: tensor %s is missing; config.json asks for it", folder,
                           parameter->name);
        RM_TRY(check_tensor(folder, parameter, stored->tensor, error));
        is_wanted[stored - files->tensors] = true;
        expected[i].tensor = stored->tensor;
    }
    if (files->n_tensors == n_expected) return RINGMOE_OK;
    return name_surplus(folder, files, is_wanted, error);
}

/* --- reading -------------------------------------------------------------------------------
 */

static ringmoe_status read_expected(const ringmoe_mesh *mesh, const expected_tensor *expected,
                                    int n_expected, rm_error *error)
{
    for (int i = 0; i < n_expected; i++) {
        if (!expected[i].values) continue;
        rm_parameter_part part =
            rm_parameter_part_of(expected[i].parameter, mesh->tensor.size, mesh->tensor.rank);
        RM_TRY(rm_part_read(&mesh->context->compute, expected[i].tensor, expected[i].parameter,
                            &part, 0, part.n_elements, expected[i].values, error));
    }
    return RINGMOE_OK;
}

/* A folder that has been opened and checked. Zeroed: none. */
typedef struct opened_folder {
    rm_weight_files files;
    expected_tensor *expected; /* [n_expected] */
    int n_expected;
    rm_real *biases; /* of the routers, as many as the model's; or NULL */
} opened_folder;

static void close_folder(opened_folder *opened)
{
    rm_weight_files_close(&opened->files);
    free(opened->expected);
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
    RM_TRY(rm_weight_files_open(folder, &opened->files, error));
    RM_TRY(list_expected(model, &opened->expected, &opened->n_expected, error));
    bool *is_wanted = calloc((size_t)opened->files.n_tensors + 1, sizeof *is_wanted);
    opened->biases = calloc((size_t)n_biases + 1, sizeof *opened->biases);
    ringmoe_status status =
        is_wanted && opened->biases
            ? match(folder, &opened->files, opened->expected, opened->n_expected, is_wanted,
                    error)
            : rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its list", folder);
    if (status == RINGMOE_OK && n_biases > 0)
        status = rm_router_biases_read(folder, &model->config, opened->biases, error);
    free(is_wanted);
    return status;
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
        status = read_expected(model->mesh, opened.expected, opened.n_expected, error);
        status = rm_agree(&context->world, status, error);
    }
    close_folder(&opened);
    return status;
}

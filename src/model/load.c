/* SPDX-License-Identifier: MIT
 *
 * Loading a model's folder. Every rank maps the files and checks every tensor against the
 * parameter table, none missing, none left over, all shapes right; then it reads its own parts:
 * those of its stages, of its experts, and of their matrices its rows or columns.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/config.h"
#include "model/parts.h"
#include "model/state.h"
#include "model/weight_files.h"

/* Elements a thread converts at a time. */
#define BLOCK_ELEMENTS 65536

/* --- what is expected ----------------------------------------------------------------------
 */

/* A tensor the folder must have. A rank that does not hold it has no values. */
typedef struct expected_tensor {
    char name[RM_NAME_BYTES];
    int n_dims;
    int64_t shape[2];
    const rm_parameter *parameter; /* NULL: a selection bias, whole on every rank */
    rm_real *values;
} expected_tensor;

static expected_tensor expect_parameter(const ringmoe_model *model,
                                        const rm_parameter *parameter)
{
    expected_tensor expected = {.n_dims = parameter->n_dims,
                                .shape = {parameter->shape[0], parameter->shape[1]},
                                .parameter = parameter};
    memcpy(expected.name, parameter->name, sizeof expected.name);
    if (rm_model_holds(model, parameter)) expected.values = rm_model_weights(model, parameter);
    return expected;
}

static expected_tensor expect_bias(const ringmoe_model *model, int layer)
{
    int n_experts = model->config.num_local_experts;
    expected_tensor expected = {.n_dims = 1,
                                .shape = {n_experts},
                                .values = model->router_bias + (int64_t)layer * n_experts};
    snprintf(expected.name, sizeof expected.name, RM_ROUTER_BIAS_NAME, layer);
    return expected;
}

/* The tensors of the whole model; *list is the caller's to free. */
static ringmoe_status list_expected(const ringmoe_model *model, expected_tensor **list,
                                    int *count, rm_error *error)
{
    const rm_parameter_table *table = &model->table;
    int n_layers = model->config.num_hidden_layers, n = 0;
    expected_tensor *expected =
        calloc((size_t)table->n_parameters + (size_t)n_layers, sizeof *expected);
    *list = expected;
    if (!expected)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a list of %d tensors",
                       table->n_parameters);
    for (int i = 0; i < table->n_parameters; i++)
        if (!table->parameters[i].tied)
            expected[n++] = expect_parameter(model, &table->parameters[i]);
    for (int layer = 0; layer < n_layers && model->router_bias; layer++)
        if (!rm_layer_is_dense(&model->config, layer))
            expected[n++] = expect_bias(model, layer);
    *count = n;
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

static ringmoe_status check_tensor(const char *folder, const expected_tensor *expected,
                                   const rm_tensor *tensor, rm_error *error)
{
    if (!tensor)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "%s: tensor %s is missing; config.json asks for it", folder,
                       expected->name);
    bool fits = tensor->n_dims == expected->n_dims;
    for (int i = 0; i < expected->n_dims && fits; i++)
        fits = tensor->shape[i] == expected->shape[i];
    if (fits) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "%s: tensor %s has the shape %s; config.json asks for %s", folder,
                   expected->name, describe_shape(tensor->n_dims, tensor->shape).text,
                   describe_shape(expected->n_dims, expected->shape).text);
}

static bool is_expected(const char *name, const expected_tensor *expected, int n_expected)
{
    for (int i = 0; i < n_expected; i++)
        if (!strcmp(name, expected[i].name)) return true;
    return false;
}

/* The first tensor that nobody asked for, or that a second file has again. */
static ringmoe_status name_surplus(const char *folder, const rm_weight_files *files,
                                   const expected_tensor *expected, int n_expected,
                                   rm_error *error)
{
    for (int file = 0; file < files->n_files; file++) {
        for (int i = 0; i < rm_safetensors_count(files->files[file]); i++) {
            const rm_tensor *tensor = rm_safetensors_tensor(files->files[file], i);
            bool again = rm_weight_files_find(files, tensor->name) != tensor;
            if (again || !is_expected(tensor->name, expected, n_expected))
                return rm_fail(
                    error, RINGMOE_ERROR_FORMAT, "%s: tensor %s %s", folder, tensor->name,
                    again ? "is in two files" : "belongs to no parameter of this config.json");
        }
    }
    return RINGMOE_OK;
}

/* --- reading
 * ---------------------------------------------------------------------------------- */

/* Elements [first, end) of a part from the tensor of the whole parameter. */
static void read_runs(const rm_kernels *kernels, const rm_tensor *tensor,
                      const rm_parameter *parameter, const rm_parameter_part *part,
                      int64_t first, int64_t end, rm_real *values)
{
    for (int64_t at = first; at < end;) {
        rm_part_run run = rm_part_run_at(parameter, part, at, end - at);
        rm_tensor_read(kernels, tensor, run.global, run.n, values + at);
        at += run.n;
    }
}

static void read_parameter(const ringmoe_mesh *mesh, const rm_tensor *tensor,
                           const expected_tensor *expected)
{
    const rm_compute *compute = &mesh->context->compute;
    rm_parameter_part part =
        rm_parameter_part_of(expected->parameter, mesh->tensor.size, mesh->tensor.rank);
    int64_t n = part.n_elements;
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic)
    for (int64_t first = 0; first < n; first += BLOCK_ELEMENTS)
        read_runs(compute->kernels, tensor, expected->parameter, &part, first,
                  n - first < BLOCK_ELEMENTS ? n : first + BLOCK_ELEMENTS, expected->values);
}

static void read_tensor(const ringmoe_mesh *mesh, const rm_tensor *tensor,
                        const expected_tensor *expected)
{
    if (expected->parameter)
        read_parameter(mesh, tensor, expected);
    else
        rm_tensor_read(mesh->context->compute.kernels, tensor, 0, tensor->n_elements,
                       expected->values);
}

static ringmoe_status read_expected(const ringmoe_model *model, const char *folder,
                                    const rm_weight_files *files,
                                    const expected_tensor *expected, int n_expected,
                                    rm_error *error)
{
    for (int i = 0; i < n_expected; i++) {
        const rm_tensor *tensor = rm_weight_files_find(files, expected[i].name);
        RM_TRY(check_tensor(folder, &expected[i], tensor, error));
    }
    if (rm_weight_files_count(files) != n_expected)
        return name_surplus(folder, files, expected, n_expected, error);
    for (int i = 0; i < n_expected; i++)
        if (expected[i].values)
            read_tensor(model->mesh, rm_weight_files_find(files, expected[i].name),
                        &expected[i]);
    return RINGMOE_OK;
}

static ringmoe_status read_weights(ringmoe_model *model, const char *folder, rm_error *error)
{
    rm_weight_files files;
    expected_tensor *expected = NULL;
    int n_expected = 0;
    ringmoe_status status = rm_weight_files_open(folder, &files, error);
    if (status == RINGMOE_OK) status = list_expected(model, &expected, &n_expected, error);
    if (status == RINGMOE_OK)
        status = read_expected(model, folder, &files, expected, n_expected, error);
    free(expected);
    rm_weight_files_close(&files);
    return status;
}

/* Collective over all ranks. */
static ringmoe_status load(ringmoe_mesh *mesh, const char *folder, int64_t max_tokens,
                           ringmoe_model **model)
{
    const rm_axis *world = &mesh->context->world;
    rm_error *error = &mesh->context->error;
    ringmoe_model_config config;
    rm_model_settings settings = {.use = RM_MODEL_INFERENCE, .max_tokens = max_tokens};
    RM_TRY(rm_agree(world, rm_config_read(folder, &config, error), error));
    RM_TRY(rm_agree(world, rm_model_create(mesh, &config, &settings, model), error));
    RM_TRY(rm_agree(world, read_weights(*model, folder, error), error));
    RM_TRY(rm_agree(world, rm_model_tie_head(*model), error));
    rm_model_pack(*model);
    return RINGMOE_OK;
}

RINGMOE_API ringmoe_status ringmoe_model_load(ringmoe_mesh *mesh, const char *folder,
                                              int64_t max_tokens, ringmoe_model **model)
{
    *model = NULL;
    ringmoe_status status = load(mesh, folder, max_tokens, model);
    if (status != RINGMOE_OK) ringmoe_model_destroy(model);
    return status;
}

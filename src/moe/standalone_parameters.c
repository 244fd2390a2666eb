/* SPDX-License-Identifier: MIT
 *
 * Parameters of the public layer: their names, where they lie, and their initial values, which
 * depend on the seed, the name with the layer's number, and the index alone.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "moe/standalone.h"

enum { WHOLE = -1, ROWS = 0, COLUMNS = 1 };

/* Appends a matrix [out][in] (n_dims 2) or a vector [out] to a space, or this tensor rank's
 * part of its rows or columns. */
static void append(ringmoe_moe *layer, int space, const char *name, int n_dims, int64_t out,
                   int64_t in, int cut)
{
    const rm_axis *tensor = &layer->mesh->tensor;
    rm_moe_parameter *parameter = &layer->parameters[layer->n_parameters++];
    *parameter = (rm_moe_parameter){.n_dims = n_dims,
                                    .shape = {out, in},
                                    .whole = {out, in},
                                    .space = space,
                                    .offset = layer->spaces[space].n_elements};
    if (cut != WHOLE)
        parameter->shape[cut] =
            rm_split(parameter->whole[cut], tensor->size, tensor->rank, &parameter->first[cut]);
    parameter->n_elements = parameter->shape[0] * parameter->shape[1];
    snprintf(parameter->name, sizeof parameter->name, "%s", name);
    layer->spaces[space].n_elements += parameter->n_elements;
}

/* gate, up, down of one SwiGLU, under the names a family gives them. */
static void append_swiglu(ringmoe_moe *layer, int space, const char *prefix,
                          const char *const names[3], int64_t d_ff)
{
    int64_t width = layer->settings.d_model;
    for (int i = 0; i < 3; i++) {
        char name[RM_MOE_NAME_BYTES];
        bool down = i == 2;
        snprintf(name, sizeof name, "%s.%s.weight", prefix, names[i]);
        if (down)
            append(layer, space, name, 2, width, d_ff, COLUMNS);
        else
            append(layer, space, name, 2, d_ff, width, ROWS);
    }
}

static void append_dense(ringmoe_moe *layer)
{
    static const char *const names[3] = {"gate_proj", "up_proj", "down_proj"};
    const ringmoe_moe_settings *settings = &layer->settings;
    int64_t n = settings->n_experts, width = settings->d_model;
    append(layer, RM_MOE_DENSE, "router.weight", 2, n, width, WHOLE);
    if (settings->noise == RINGMOE_NOISE_NOISY_TOPK)
        append(layer, RM_MOE_DENSE, "router_noise.weight", 2, n, width, WHOLE);
    if (settings->d_ff_shared)
        append_swiglu(layer, RM_MOE_DENSE, "shared_expert", names, settings->d_ff_shared);
    if (settings->shared_gate)
        append(layer, RM_MOE_DENSE, "shared_expert_gate.weight", 2, 1, width, WHOLE);
}

static void append_experts(ringmoe_moe *layer)
{
    static const char *const names[3] = {"w1", "w3", "w2"};
    int first, n = rm_mesh_experts(layer->settings.n_experts, layer->mesh->expert.size,
                                   layer->mesh->expert.rank, &first);
    for (int e = first; e < first + n; e++) {
        char prefix[RM_MOE_NAME_BYTES / 2];
        snprintf(prefix, sizeof prefix, "experts.%d", e);
        append_swiglu(layer, RM_MOE_EXPERT, prefix, names, layer->settings.d_ff);
    }
}

/* The selection bias has no gradient: it is listed, but in no space. */
static void append_bias(ringmoe_moe *layer)
{
    int64_t n = layer->settings.n_experts;
    if (layer->settings.bias_rate <= 0) return;
    layer->parameters[layer->n_parameters++] = (rm_moe_parameter){.name = "router.bias",
                                                                  .n_dims = 1,
                                                                  .shape = {n, 1},
                                                                  .whole = {n, 1},
                                                                  .space = -1,
                                                                  .n_elements = n};
}

ringmoe_status rm_moe_parameters_create(ringmoe_moe *layer)
{
    enum { MOST_DENSE = 6, BIAS = 1 };
    size_t most = MOST_DENSE + BIAS + 3 * (size_t)layer->n_local;
    layer->parameters = calloc(most, sizeof *layer->parameters);
    if (!layer->parameters)
        return rm_fail(&layer->mesh->context->error, RINGMOE_ERROR_MEMORY,
                       "no memory for the names of %zu parameters", most);
    append_dense(layer);
    append_experts(layer);
    append_bias(layer);
    return RINGMOE_OK;
}

/* --- where weights and gradients are --- */

/* Hands out the consecutive parts of a space in the order of append_dense or append_swiglu. */
static rm_real *next_part(rm_real **place, const rm_matrix *matrix)
{
    rm_real *part = *place;
    *place += matrix->out * matrix->in;
    return part;
}

static void bind_swiglu(rm_swiglu *swiglu, rm_real **place)
{
    swiglu->gate.weights = next_part(place, &swiglu->gate);
    swiglu->up.weights = next_part(place, &swiglu->up);
    swiglu->down.weights = next_part(place, &swiglu->down);
}

void rm_moe_parameters_bind(ringmoe_moe *layer)
{
    const ringmoe_moe_settings *settings = &layer->settings;
    rm_moe_weights *weights = &layer->weights;
    rm_real *dense = layer->spaces[RM_MOE_DENSE].values;
    rm_real *expert = layer->spaces[RM_MOE_EXPERT].values;
    weights->router.weights = next_part(&dense, &weights->router);
    if (settings->noise == RINGMOE_NOISE_NOISY_TOPK)
        weights->router_noise.weights = next_part(&dense, &weights->router_noise);
    if (settings->d_ff_shared) bind_swiglu(&weights->shared, &dense);
    if (settings->shared_gate) weights->shared_gate = dense;
    for (int e = 0; e < layer->n_local; e++) bind_swiglu(&weights->experts[e], &expert);
}

static rm_sink next_sink(rm_sink *place, const rm_matrix *matrix)
{
    rm_sink sink = *place;
    place->data += matrix->out * matrix->in;
    return sink;
}

static rm_swiglu_sinks swiglu_sinks(const rm_swiglu *swiglu, rm_sink *place)
{
    rm_swiglu_sinks sinks;
    sinks.gate = next_sink(place, &swiglu->gate);
    sinks.up = next_sink(place, &swiglu->up);
    sinks.down = next_sink(place, &swiglu->down);
    return sinks;
}

void rm_moe_parameters_bind_sinks(ringmoe_moe *layer)
{
    const ringmoe_moe_settings *settings = &layer->settings;
    const rm_moe_weights *weights = &layer->weights;
    const rm_moe_space *expert = &layer->spaces[RM_MOE_EXPERT];
    rm_sink dense = layer->spaces[RM_MOE_DENSE].leaves[0];
    rm_moe_sinks *sinks = &layer->sinks;
    sinks->router = next_sink(&dense, &weights->router);
    if (settings->noise == RINGMOE_NOISE_NOISY_TOPK)
        sinks->router_noise = next_sink(&dense, &weights->router_noise);
    if (settings->d_ff_shared) sinks->shared = swiglu_sinks(&weights->shared, &dense);
    if (settings->shared_gate) sinks->shared_gate = dense;
    for (int s = 0; s < expert->n_sources; s++) {
        rm_sink place = expert->leaves[s];
        for (int e = 0; e < layer->n_local; e++)
            sinks->experts[s * layer->n_local + e] = swiglu_sinks(&weights->experts[e], &place);
    }
}

/* --- values --- */

/* Each row's numbers are those that it has in the whole. */
static void fill(const rm_moe_parameter *parameter, rm_random_key key, double deviation,
                 rm_real *values)
{
    int64_t n = parameter->shape[1];
    for (int64_t row = 0; row < parameter->shape[0]; row++) {
        int64_t at = (parameter->first[0] + row) * parameter->whole[1] + parameter->first[1];
        rm_random_fill_normal(key, (uint64_t)at, n, deviation, values + row * n);
    }
}

void rm_moe_parameters_initialize(ringmoe_moe *layer)
{
    const ringmoe_moe_settings *settings = &layer->settings;
#pragma omp parallel for num_threads(layer->mesh->context->compute.n_threads) schedule(dynamic)
    for (int i = 0; i < layer->n_parameters; i++) {
        const rm_moe_parameter *parameter = &layer->parameters[i];
        char name[2 * RM_MOE_NAME_BYTES];
        if (parameter->space < 0) continue;
        snprintf(name, sizeof name, "layers.%d.%s", settings->layer, parameter->name);
        rm_random_key key = {(uint64_t)settings->seed, rm_random_stream(name)};
        fill(parameter, key, (double)settings->init_std,
             layer->spaces[parameter->space].values + parameter->offset);
    }
}

int ringmoe_moe_parameter_count(const ringmoe_moe *layer)
{
    return layer ? layer->n_parameters : 0;
}

ringmoe_status ringmoe_moe_parameter(const ringmoe_moe *layer, int index,
                                     ringmoe_parameter_view *view)
{
    if (!layer) return RINGMOE_ERROR_ARGUMENT;
    if (!view)
        return rm_fail(&layer->mesh->context->error, RINGMOE_ERROR_ARGUMENT,
                       "the place for the parameter's view is NULL");
    if (index < 0 || index >= layer->n_parameters)
        return rm_fail(&layer->mesh->context->error, RINGMOE_ERROR_ARGUMENT,
                       "parameter index is %d; the layer has parameters 0 to %d", index,
                       layer->n_parameters - 1);
    const rm_moe_parameter *parameter = &layer->parameters[index];
    *view = (ringmoe_parameter_view){.name = parameter->name,
                                     .n_dims = parameter->n_dims,
                                     .shape = {parameter->shape[0], parameter->shape[1]},
                                     .first = {parameter->first[0], parameter->first[1]},
                                     .whole = {parameter->whole[0], parameter->whole[1]},
                                     .values = layer->weights.bias};
    if (parameter->space < 0) return RINGMOE_OK;
    const rm_moe_space *space = &layer->spaces[parameter->space];
    view->values = space->values + parameter->offset;
    view->gradient = space->gradients + parameter->offset;
    return RINGMOE_OK;
}

ringmoe_status ringmoe_moe_weights_changed(ringmoe_moe *layer)
{
    if (!layer) return RINGMOE_ERROR_ARGUMENT;
    rm_matrices_pack(&layer->mesh->context->compute, layer->matrices, layer->n_matrices);
    return RINGMOE_OK;
}

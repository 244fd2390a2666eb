/* SPDX-License-Identifier: MIT
 *
 * Initial weights: norms 1, matrices normal. A number depends on the seed, the parameter's name
 * and the element's index in the global shape, so every layout starts from the same model.
 */
#include "base/random.h"
#include "model/state.h"

/* Elements a thread takes at a time; even, since normal numbers come in pairs of a counter. */
#define BLOCK_ELEMENTS 4096

static void fill_ones(rm_real *values, int64_t n)
{
    for (int64_t i = 0; i < n; i++) values[i] = 1;
}

static void fill_parameter(const ringmoe_model *model, const rm_parameter *parameter,
                           int64_t seed)
{
    rm_real *values = model->spaces[parameter->space] + parameter->offset;
    int64_t n = parameter->n_elements;
    if (parameter->ones) {
        fill_ones(values, n);
        return;
    }
    rm_random_key key = {.seed = (uint64_t)seed, .stream = rm_random_stream(parameter->name)};
    double deviation = model->config.initializer_range;
#pragma omp parallel for num_threads(model->mesh->context->compute.n_threads) schedule(dynamic)
    for (int64_t first = 0; first < n; first += BLOCK_ELEMENTS) {
        int64_t count = n - first < BLOCK_ELEMENTS ? n - first : BLOCK_ELEMENTS;
        rm_random_fill_normal(key, (uint64_t)first, count, deviation, values + first);
    }
}

void rm_model_initialize(ringmoe_model *model, int64_t seed)
{
    for (int i = 0; i < model->table.n_parameters; i++) {
        const rm_parameter *parameter = &model->table.parameters[i];
        if (rm_model_holds(model, parameter)) fill_parameter(model, parameter, seed);
    }
}

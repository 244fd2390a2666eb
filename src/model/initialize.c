/* SPDX-License-Identifier: MIT
 *
 * Initial weights: norms 1, biases 0, matrices normal. A number depends on the seed, the
 * parameter's name and the element's index in the global shape, so every layout starts from the
 * same model: a rank draws the runs of the whole that its part is made of.
 */
#include "base/random.h"
#include "model/parts.h"
#include "model/state.h"

/* Elements a thread takes at a time; even, since normal numbers come in pairs of a counter. */
#define BLOCK_ELEMENTS 4096

static void fill(rm_real *values, int64_t n, rm_real value)
{
    for (int64_t i = 0; i < n; i++) values[i] = value;
}

/* Elements [first, end) of a part. */
static void fill_normal(const rm_parameter *parameter, const rm_parameter_part *part,
                        rm_random_key key, double deviation, int64_t first, int64_t end,
                        rm_real *values)
{
    for (int64_t at = first; at < end;) {
        rm_part_run run = rm_part_run_at(parameter, part, at, end - at);
        rm_random_fill_normal(key, (uint64_t)run.global, run.n, deviation, values + at);
        at += run.n;
    }
}

static void fill_parameter(const ringmoe_model *model, const rm_parameter *parameter,
                           int64_t seed)
{
    const ringmoe_mesh *mesh = model->mesh;
    rm_real *values = rm_model_weights(model, parameter);
    rm_parameter_part part =
        rm_parameter_part_of(parameter, mesh->tensor.size, mesh->tensor.rank);
    int64_t n = part.n_elements;
    if (parameter->initial != RM_INITIAL_NORMAL) {
        fill(values, n, parameter->initial == RM_INITIAL_1);
        return;
    }
    rm_random_key key = {.seed = (uint64_t)seed, .stream = rm_random_stream(parameter->name)};
    double deviation = model->config.initializer_range;
#pragma omp parallel for num_threads(mesh->context->compute.n_threads) schedule(dynamic)
    for (int64_t first = 0; first < n; first += BLOCK_ELEMENTS) {
        int64_t end = n - first < BLOCK_ELEMENTS ? n : first + BLOCK_ELEMENTS;
        fill_normal(parameter, &part, key, deviation, first, end, values);
    }
}

void rm_model_initialize(ringmoe_model *model, int64_t seed)
{
    for (int i = 0; i < model->table.n_parameters; i++) {
        const rm_parameter *parameter = &model->table.parameters[i];
        if (!parameter->tied && rm_model_holds(model, parameter))
            fill_parameter(model, parameter, seed);
    }
}

/* SPDX-License-Identifier: MIT
 *
 * Two MoE layers at work at the same time, on two halves of the ranks that need not be of the
 * same size. Both are given the same four microbatches, so both must give the same bits:
 * outputs, input gradients and weights after each of several steps.
 */
#include <ringmoe.h>

#include <stdlib.h>

#include "check.h"

enum { N_MICROBATCHES = 4, D_MODEL = 16, MAX_TOKENS = 12, N_STEPS = 3, N_EXPERTS = 4 };

/* What the halves compare: a digest for each microbatch's outputs and one for all weights. */
typedef struct digests {
    uint64_t outputs[N_MICROBATCHES], weights;
} digests;

static const int tokens_of[N_MICROBATCHES] = {12, 0, 7, 5};

static uint64_t digest(uint64_t start, const void *data, size_t bytes)
{
    const unsigned char *at = data;
    for (size_t i = 0; i < bytes; i++) start = (start ^ at[i]) * 0x100000001B3u;
    return start;
}

static void fill(uint64_t seed, size_t n, ringmoe_real *values)
{
    uint64_t state = (seed + 1) * 0x9E3779B97F4A7C15u;
    for (size_t i = 0; i < n; i++)
        values[i] = (ringmoe_real)check_random(&state) / (ringmoe_real)2147483648.0 - 1;
}

static uint64_t run_microbatch(ringmoe_context *context, ringmoe_moe *layer, int step,
                               int microbatch)
{
    ringmoe_real x[MAX_TOKENS * D_MODEL], y[MAX_TOKENS * D_MODEL];
    ringmoe_real d_y[MAX_TOKENS * D_MODEL], d_x[MAX_TOKENS * D_MODEL];
    size_t n = (size_t)tokens_of[microbatch] * D_MODEL;
    fill((uint64_t)(step * 100 + microbatch), n, x);
    fill((uint64_t)(step * 100 + microbatch + 50), n, d_y);
    CHECK_STATUS(ringmoe_moe_forward(layer, tokens_of[microbatch], x, 1, y, NULL), RINGMOE_OK,
                 ringmoe_context_error(context));
    CHECK_STATUS(ringmoe_moe_backward(layer, d_y, 1, d_x), RINGMOE_OK,
                 ringmoe_context_error(context));
    return digest(digest(1, y, n * sizeof *y), d_x, n * sizeof *d_x);
}

/* A step of plain gradient descent. Returns this rank's part of the weights' digest: digests of
 * whole parameters are added up, so that it does not matter which rank holds which expert. */
static uint64_t update_weights(ringmoe_context *context, ringmoe_moe *layer)
{
    uint64_t sum = 0;
    for (int p = 0; p < ringmoe_moe_parameter_count(layer); p++) {
        ringmoe_parameter_view view;
        CHECK(ringmoe_moe_parameter(layer, p, &view) == RINGMOE_OK);
        size_t n = (size_t)(view.shape[0] * (view.n_dims == 2 ? view.shape[1] : 1));
        for (size_t i = 0; view.gradient && i < n; i++)
            view.values[i] -= (ringmoe_real)0.0625 * view.gradient[i];
        bool is_shared = strncmp(view.name, "experts.", 8) != 0;
        if (is_shared && ringmoe_context_rank(context) != 0) continue;
        sum += digest(digest(2, view.name, strlen(view.name)), view.values,
                      n * sizeof *view.values);
    }
    CHECK(ringmoe_moe_weights_changed(layer) == RINGMOE_OK);
    return sum;
}

static void run_step(ringmoe_context *context, ringmoe_moe *layer, int step, digests *own)
{
    int per_rank = N_MICROBATCHES / ringmoe_context_size(context);
    for (int i = 0; i < per_rank; i++) {
        int microbatch = ringmoe_context_rank(context) * per_rank + i;
        own->outputs[microbatch] = run_microbatch(context, layer, step, microbatch);
    }
    CHECK_STATUS(ringmoe_moe_reduce_gradients(layer), RINGMOE_OK,
                 ringmoe_context_error(context));
    own->weights = update_weights(context, layer);
}

/* Every digest is set on one rank of each half, or is a sum over its ranks. */
static void compare_halves(const digests *own, bool upper)
{
    digests both[2] = {0};
    both[upper] = *own;
    MPI_Allreduce(MPI_IN_PLACE, both, (int)(sizeof both / (sizeof(uint64_t))), MPI_UINT64_T,
                  MPI_SUM, MPI_COMM_WORLD);
    for (int m = 0; m < N_MICROBATCHES; m++) CHECK(both[0].outputs[m] == both[1].outputs[m]);
    CHECK(both[0].weights == both[1].weights);
    CHECK(both[0].weights != 0);
}

static void run_half(MPI_Comm half, bool upper)
{
    ringmoe_context *context;
    ringmoe_mesh *mesh;
    ringmoe_moe *layer;
    digests own[N_STEPS] = {0};
    ringmoe_moe_settings settings;
    ringmoe_moe_settings_default(&settings);
    settings.d_model = D_MODEL;
    settings.d_ff = 24;
    settings.n_experts = N_EXPERTS;
    settings.max_tokens = MAX_TOKENS;
    settings.balance_coefficient = (ringmoe_real)0.01;
    CHECK(ringmoe_context_create(half, NULL, &context) == RINGMOE_OK);
    CHECK(ringmoe_mesh_create(context, NULL, N_EXPERTS, &mesh) == RINGMOE_OK);
    settings.n_microbatches = N_MICROBATCHES / ringmoe_context_size(context);
    CHECK_STATUS(ringmoe_moe_create(mesh, &settings, &layer), RINGMOE_OK,
                 ringmoe_context_error(context));
    for (int step = 0; step < N_STEPS; step++) run_step(context, layer, step, &own[step]);
    ringmoe_moe_destroy(&layer);
    ringmoe_mesh_destroy(&mesh);
    ringmoe_context_destroy(&context);
    for (int step = 0; step < N_STEPS; step++) compare_halves(&own[step], upper);
}

int main(int argc, char **argv)
{
    int rank, size;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    bool upper = rank >= size / 2;
    MPI_Comm half;
    MPI_Comm_split(MPI_COMM_WORLD, upper, rank, &half);
    run_half(half, upper);
    MPI_Comm_free(&half);
    return check_finish("two layers");
}

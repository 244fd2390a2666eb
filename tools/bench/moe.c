/* SPDX-License-Identifier: MIT
 *
 * `ringmoe bench moe`: one MoE layer, and in turns with it the dense layer of the same active
 * size, which is the same code with a single expert of k * d_ff.
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

#include "flops.h"
#include "json_text.h"
#include "progress.h"

typedef struct moe_options {
    tool_placement placement;
    int64_t d_model, d_ff, n_experts, top_k, tokens, repeat;
    int json;
} moe_options;

#define ROW(member, ...) OPTION_ROW(moe_options, member, __VA_ARGS__)

static const option_row rows[] = {
    ROW(d_model, INTEGER, "d-model", "N", "features of a token", .low = 1, .high = 65536),
    ROW(d_ff, INTEGER, "d-ff", "N", "inner size of an expert", .low = 1, .high = 1 << 20),
    ROW(n_experts, INTEGER, "experts", "N", "of the layer", .low = 1, .high = 65536),
    ROW(top_k, INTEGER, "top-k", "K", "experts a token goes to", .low = 1, .high = 65536),
    ROW(tokens, INTEGER, "tokens", "N", "on each rank", .low = 1, .high = 1 << 24),
    ROW(repeat, INTEGER, "repeat", "N", "passes to time, after one that is not", .low = 1,
        .high = BENCH_MAX_REPEAT),
    PLACEMENT_ROWS(moe_options),
    ROW(json, FLAG, "json", NULL, "the result as JSON"),
};

static const option_set set = {
    .usage = "ringmoe bench moe [options]",
    .summary =
        "Forward and backward speed of one MoE layer, and its time over that of the dense\n"
        "layer of the same active size.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

typedef struct layer_times {
    bench_samples forward, backward, both; /* milliseconds */
} layer_times;

/* The two layers and the rows they work on. */
typedef struct moe_bench {
    ringmoe_mesh *dense_mesh; /* with one expert there is no expert axis */
    ringmoe_moe *moe, *dense;
    ringmoe_real *x, *y, *d_y, *d_x; /* [tokens][d_model] */
    layer_times moe_times, dense_times;
} moe_bench;

static bool allocate_rows(const tool_session *session, const moe_options *options,
                          moe_bench *bench)
{
    int64_t n = options->tokens * options->d_model;
    ringmoe_real **arrays[] = {&bench->x, &bench->y, &bench->d_y, &bench->d_x};
    for (int i = 0; i < 4; i++) {
        *arrays[i] = calloc((size_t)n, sizeof(ringmoe_real));
        if (!*arrays[i]) return false;
    }
    bench_fill(bench->x, n, 1 + (uint64_t)session->rank);
    bench_fill(bench->d_y, n, 1001 + (uint64_t)session->rank);
    return true;
}

static ringmoe_moe_settings layer_settings(const moe_options *options)
{
    ringmoe_moe_settings settings;
    ringmoe_moe_settings_default(&settings);
    settings.d_model = (int)options->d_model;
    settings.d_ff = (int)options->d_ff;
    settings.n_experts = (int)options->n_experts;
    settings.top_k = (int)options->top_k;
    settings.max_tokens = options->tokens;
    return settings;
}

static int open_layers(tool_session *session, const moe_options *options, moe_bench *bench)
{
    ringmoe_moe_settings settings = layer_settings(options);
    ringmoe_mesh_dims all_data = {.data = session->size, .expert = 1};
    int status =
        session_check(session, ringmoe_moe_create(session->mesh, &settings, &bench->moe));
    if (status) return status;
    status = session_check(
        session, ringmoe_mesh_create(session->context, &all_data, 1, &bench->dense_mesh));
    settings.d_ff *= settings.top_k;
    settings.n_experts = settings.top_k = 1;
    if (status) return status;
    return session_check(session,
                         ringmoe_moe_create(bench->dense_mesh, &settings, &bench->dense));
}

static int time_pass(tool_session *session, const moe_options *options, moe_bench *bench,
                     ringmoe_moe *layer, layer_times *times, bool is_timed)
{
    double start = clock_seconds();
    int status = session_check(
        session, ringmoe_moe_forward(layer, options->tokens, bench->x, 1, bench->y, NULL));
    double middle = clock_seconds();
    if (!status)
        status = session_check(session, ringmoe_moe_backward(layer, bench->d_y, 1, bench->d_x));
    double end = clock_seconds();
    if (!status) status = session_check(session, ringmoe_moe_reduce_gradients(layer));
    if (status || !is_timed) return status;
    bench_add(&times->forward, 1e3 * (middle - start));
    bench_add(&times->backward, 1e3 * (end - middle));
    bench_add(&times->both, 1e3 * (end - start));
    return EXIT_DONE;
}

static int time_layers(tool_session *session, const moe_options *options, moe_bench *bench)
{
    int status = EXIT_DONE;
    for (int64_t i = -1; !status && i < options->repeat; i++) {
        status = time_pass(session, options, bench, bench->moe, &bench->moe_times, i >= 0);
        if (!status)
            status =
                time_pass(session, options, bench, bench->dense, &bench->dense_times, i >= 0);
    }
    return status;
}

static void print_layer(const char *name, const layer_times *times, double flops)
{
    double forward = bench_median(&times->forward), backward = bench_median(&times->backward);
    printf("%-6s  forward %8.2f ms %7.1f GFLOP/s   backward %8.2f ms %7.1f GFLOP/s\n", name,
           forward, flops / forward * 1e-6, backward, 2 * flops / backward * 1e-6);
}

/* The figures of both layers, times in ms and rates of forward and backward together. */
typedef struct moe_figures {
    double moe_flops, dense_flops, moe_ms, dense_ms;
} moe_figures;

static json_t *figures_to_json(const moe_figures *figures, const moe_bench *bench)
{
    const struct {
        const char *name;
        double value;
    } named[] = {
        {"moe_forward_ms", bench_median(&bench->moe_times.forward)},
        {"moe_backward_ms", bench_median(&bench->moe_times.backward)},
        {"dense_forward_ms", bench_median(&bench->dense_times.forward)},
        {"dense_backward_ms", bench_median(&bench->dense_times.backward)},
        {"moe_gflops", 3 * figures->moe_flops / figures->moe_ms * 1e-6},
        {"dense_gflops", 3 * figures->dense_flops / figures->dense_ms * 1e-6},
        {"moe_over_dense", figures->moe_ms / figures->dense_ms},
    };
    json_t *object = json_object();
    for (size_t i = 0; i < sizeof named / sizeof named[0]; i++)
        json_object_set_new(object, named[i].name, json_number(named[i].value));
    return object;
}

static int report(const tool_session *session, const moe_options *options,
                  const moe_bench *bench)
{
    double tokens = (double)options->tokens, width = (double)options->d_model;
    double k = (double)options->top_k, d_ff = (double)options->d_ff;
    const moe_figures figures = {
        .moe_flops = flops_of_moe(tokens, width, d_ff, k, (double)options->n_experts),
        .dense_flops = flops_of_moe(tokens, width, d_ff * k, 1, 1),
        .moe_ms = bench_median(&bench->moe_times.both),
        .dense_ms = bench_median(&bench->dense_times.both),
    };
    if (options->json) return session_print_json(session, figures_to_json(&figures, bench));
    print_layer("moe", &bench->moe_times, figures.moe_flops);
    print_layer("dense", &bench->dense_times, figures.dense_flops);
    printf("MoE / dense  %.3f of the time, medians of %lld (published bar %.2f)\n",
           figures.moe_ms / figures.dense_ms, (long long)options->repeat,
           BENCH_PUBLISHED_RATIO);
    return EXIT_DONE;
}

static void close_bench(moe_bench *bench)
{
    ringmoe_moe_destroy(&bench->moe);
    ringmoe_moe_destroy(&bench->dense);
    ringmoe_mesh_destroy(&bench->dense_mesh);
    free(bench->x);
    free(bench->y);
    free(bench->d_y);
    free(bench->d_x);
}

int bench_moe(tool_session *session, int argc, char **argv)
{
    moe_options options = {PLACEMENT_DEFAULT, .d_model = 512,
                           .d_ff = 1024,      .n_experts = 8,
                           .top_k = 2,        .tokens = 1024,
                           .repeat = 9,       .placement.precision = RINGMOE_PRECISION_BF16};
    moe_bench *bench = calloc(1, sizeof *bench);
    option_result given;
    int status;
    if (!session_parse(session, &set, argc, argv, &options, &given, &status)) {
        free(bench);
        return status;
    }
    status = session_open(session, &options.placement);
    if (!status) status = session_layout(session, &options.placement, (int)options.n_experts);
    if (!status) {
        bool allocated = bench && allocate_rows(session, &options, bench);
        status = session_settle(session, allocated ? EXIT_DONE : EXIT_FAILED,
                                "no memory for the rows: give fewer --tokens");
    }
    if (!status) status = open_layers(session, &options, bench);
    if (!status) status = time_layers(session, &options, bench);
    if (!status && session->rank == 0) status = report(session, &options, bench);
    if (bench) close_bench(bench);
    free(bench);
    return status;
}

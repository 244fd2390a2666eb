/* SPDX-License-Identifier: MIT
 *
 * One MoE layer as a subject of `ringmoe bench exchange`, on a context of its own: the same
 * rows through the same number of experts, whether they travel or not.
 */
#include <stdlib.h>

#include "exchange.h"
#include "progress.h"

/* So narrow that the products take next to no time. */
enum { LIGHT_D_FF = 8 };

static ringmoe_moe_settings layer_settings(const tool_session *session,
                                           const exchange_options *options,
                                           const exchange_way *way)
{
    ringmoe_moe_settings settings;
    ringmoe_moe_settings_default(&settings);
    settings.d_model = (int)options->d_model;
    settings.d_ff = way->is_light ? LIGHT_D_FF : (int)options->d_ff;
    /* Alone, a rank's experts see as many rows each as when they are shared. */
    settings.n_experts = (int)options->n_experts / (way->is_alone ? session->size : 1);
    settings.top_k = (int)options->top_k;
    settings.max_tokens = options->tokens;
    return settings;
}

static ringmoe_status open_context(tool_session *session, const exchange_options *options,
                                   exchange_layer *layer)
{
    ringmoe_context_settings settings;
    session_context_settings(session, &options->placement, &settings);
    settings.kernel_level = ringmoe_context_kernel_level(session->context);
    settings.exchange = layer->way->exchange;
    settings.overlap = layer->way->overlap;
    return ringmoe_context_create(layer->way->is_alone ? MPI_COMM_SELF : MPI_COMM_WORLD,
                                  &settings, &layer->context);
}

static ringmoe_status open_layer(tool_session *session, const exchange_options *options,
                                 exchange_layer *layer)
{
    ringmoe_moe_settings settings = layer_settings(session, options, layer->way);
    ringmoe_mesh_dims dims = {.expert = layer->way->is_alone ? 1 : session->size};
    ringmoe_status status = open_context(session, options, layer);
    if (status == RINGMOE_OK)
        status = ringmoe_mesh_create(layer->context, &dims, settings.n_experts, &layer->mesh);
    if (status == RINGMOE_OK)
        status = ringmoe_moe_create(layer->mesh, &settings, &layer->layer);
    return status;
}

static int settle(const tool_session *session, const exchange_layer *layer,
                  ringmoe_status status)
{
    const char *line = layer->context ? ringmoe_context_error(layer->context) : session->line;
    return session_settle(session, status == RINGMOE_OK ? EXIT_DONE : EXIT_FAILED,
                          line[0] ? line : ringmoe_status_text(status));
}

int exchange_layer_open(tool_session *session, const exchange_options *options,
                        const exchange_way *way, exchange_layer *layer)
{
    size_t n = (size_t)(options->tokens * options->d_model);
    *layer = (exchange_layer){.way = way};
    layer->x = malloc(n * sizeof *layer->x);
    layer->y = calloc(n, sizeof *layer->y);
    int status = session_settle(session, layer->x && layer->y ? EXIT_DONE : EXIT_FAILED,
                                "no memory for the rows: give fewer --tokens");
    if (status) return status;
    bench_fill(layer->x, (int64_t)n, 1 + (uint64_t)session->rank);
    return settle(session, layer, open_layer(session, options, layer));
}

int exchange_layer_run(tool_session *session, const exchange_options *options,
                       exchange_layer *layer, bool is_timed)
{
    ringmoe_comm_times before, after;
    session_largest(session, 0); /* all begin together */
    ringmoe_context_times(layer->context, &before);
    double start = clock_seconds();
    ringmoe_status status =
        ringmoe_moe_forward(layer->layer, options->tokens, layer->x, 0, layer->y, NULL);
    double seconds = clock_seconds() - start;
    ringmoe_context_times(layer->context, &after);
    int problem = settle(session, layer, status);
    if (problem) return problem;
    double slowest = session_largest(session, seconds);
    double exchange = session_largest(session, after.exchange - before.exchange);
    layer->bytes_within_node = (double)(after.bytes_within_node - before.bytes_within_node);
    layer->bytes_between_nodes =
        (double)(after.bytes_between_nodes - before.bytes_between_nodes);
    if (!is_timed) return EXIT_DONE;
    bench_add(&layer->ms, 1e3 * slowest);
    bench_add(&layer->exchange_ms, 1e3 * exchange);
    return EXIT_DONE;
}

void exchange_layer_close(exchange_layer *layer)
{
    ringmoe_moe_destroy(&layer->layer);
    ringmoe_mesh_destroy(&layer->mesh);
    ringmoe_context_destroy(&layer->context);
    free(layer->x);
    free(layer->y);
}

/* SPDX-License-Identifier: MIT
 *
 * The router over the tokens of a microbatch: fp32 products, then token by token. Weights of
 * the router keep fp32 in both passes, whatever the precision of the experts.
 */
#include "moe/router.h"

void rm_routing_layout(rm_routing *routing, const ringmoe_moe_settings *settings,
                       bool with_backward, rm_arena *arena)
{
    int64_t n = settings->max_tokens, logits = n * settings->n_experts;
    int64_t choices = n * settings->top_k;
    bool jitter = with_backward && settings->noise == RINGMOE_NOISE_JITTER;
    bool noisy = with_backward && settings->noise == RINGMOE_NOISE_NOISY_TOPK;
    *routing = (rm_routing){.logits = RM_TAKE(arena, logits, rm_real),
                            .scores = RM_TAKE(arena, logits, rm_real),
                            .log_sums = RM_TAKE(arena, n, rm_real),
                            .chosen = RM_TAKE(arena, choices, int32_t),
                            .weights = RM_TAKE(arena, choices, rm_real),
                            .counts = RM_TAKE(arena, settings->n_experts, int64_t),
                            .fractions = RM_TAKE(arena, settings->n_experts, double),
                            .token_balance = RM_TAKE(arena, n, double)};
    if (jitter) routing->input = RM_TAKE(arena, n * settings->d_model, rm_real);
    if (noisy) {
        routing->spread = RM_TAKE(arena, logits, rm_real);
        routing->normals = RM_TAKE(arena, logits, rm_real);
        routing->d_spread = RM_TAKE(arena, logits, rm_real);
    }
    if (with_backward) {
        routing->d_logits = RM_TAKE(arena, logits, rm_real);
        routing->d_weights = RM_TAKE(arena, choices, rm_real);
    }
}

static bool has_noise(const rm_router *router, ringmoe_router_noise noise)
{
    return router->pass->train && router->settings->noise == noise;
}

/* The rows the router multiplies: x, or x with jitter. */
static const rm_real *router_input(const rm_router *router, const rm_real *x)
{
    rm_real *input = router->routing->input;
    int64_t width = router->settings->d_model;
    if (!has_noise(router, RINGMOE_NOISE_JITTER)) return x;
#pragma omp parallel for num_threads(router->compute->n_threads)                               \
    schedule(dynamic, RM_ROWS_AT_ONCE)
    for (int64_t t = 0; t < router->routing->n_tokens; t++)
        rm_noise_jitter(router->settings, router->pass, t, x + t * width, input + t * width);
    return input;
}

/* What the choice is made by: scores (logits where only the chosen are scored) plus bias. */
static const rm_real *selection_scores(const rm_router *router, const rm_real *logits,
                                       const rm_real *scores, rm_real *biased)
{
    const rm_real *bias = router->weights->bias;
    bool by_logit = router->settings->score == RINGMOE_SCORE_SOFTMAX_CHOSEN;
    const rm_real *plain = by_logit ? logits : scores;
    if (!bias) return plain;
    for (int e = 0; e < router->settings->n_experts; e++) biased[e] = plain[e] + bias[e];
    return biased;
}

static void route_token(void *user, int64_t token)
{
    const rm_router *router = user;
    const ringmoe_moe_settings *settings = router->settings;
    rm_routing *routing = router->routing;
    int64_t row = token * settings->n_experts, choice = token * settings->top_k;
    rm_real *logits = routing->logits + row, *scores = routing->scores + row;
    rm_real *biased = rm_compute_scratch(router->compute);
    if (has_noise(router, RINGMOE_NOISE_NOISY_TOPK))
        rm_noise_add(settings, router->pass, token, routing->spread + row,
                     routing->normals + row, logits);
    routing->log_sums[token] =
        rm_scores_of_logits(router->compute->kernels, settings, logits, scores);
    const rm_real *selection = selection_scores(router, logits, scores, biased);
    rm_choose_experts(settings, selection, biased + settings->n_experts,
                      routing->chosen + choice);
    rm_scores_weigh(settings, logits, scores, routing->chosen + choice,
                    routing->weights + choice);
}

void rm_router_forward(const rm_router *router, const rm_real *x, ringmoe_moe_stats *stats)
{
    const rm_compute *compute = router->compute;
    const ringmoe_moe_settings *settings = router->settings;
    rm_routing *routing = router->routing;
    int64_t n = routing->n_tokens;
    const rm_real *input = router_input(router, x);
    rm_linear(compute, &router->weights->router, n, input, routing->logits, false);
    if (has_noise(router, RINGMOE_NOISE_NOISY_TOPK))
        rm_linear(compute, &router->weights->router_noise, n, input, routing->spread, false);
    rm_router tokens = *router;
    rm_rows_run(compute, n, route_token, &tokens);
    rm_balance_count(settings, routing);
    bool global = settings->balance_scope == RINGMOE_BALANCE_GLOBAL;
    rm_balance_fractions(settings, global ? router->pass->balance_counts : NULL, routing);
    rm_balance_losses(compute, settings, routing, stats);
}

/* --- backward --- */

static void backward_token(const rm_router *router, rm_real aux_scale, int64_t token)
{
    const ringmoe_moe_settings *settings = router->settings;
    rm_routing *routing = router->routing;
    int64_t row = token * settings->n_experts, choice = token * settings->top_k;
    double aux = (double)aux_scale / (double)routing->n_tokens;
    rm_token_routing forward = {routing->logits + row, routing->scores + row,
                                routing->log_sums[token], routing->chosen + choice,
                                routing->weights + choice};
    rm_token_gradients gradients = {
        .d_weights = routing->d_weights + choice,
        .fractions = routing->fractions,
        .d_balance = aux * (double)settings->balance_coefficient * settings->n_experts,
        .d_log_sum = aux * (double)settings->z_coefficient * 2 * (double)forward.log_sum};
    rm_scores_backward(settings, &forward, &gradients, routing->d_logits + row);
    if (has_noise(router, RINGMOE_NOISE_NOISY_TOPK))
        rm_noise_add_backward(settings->n_experts, routing->spread + row,
                              routing->normals + row, routing->d_logits + row,
                              routing->d_spread + row);
}

void rm_router_backward_inputs(const rm_router *router, rm_real aux_scale, rm_real *d_x)
{
    const rm_compute *compute = router->compute;
    const rm_moe_weights *weights = router->weights;
    const rm_routing *routing = router->routing;
    int64_t n = routing->n_tokens, width = router->settings->d_model;
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, RM_ROWS_AT_ONCE)
    for (int64_t t = 0; t < n; t++) backward_token(router, aux_scale, t);

    rm_linear_backward_input(compute, &weights->router, n, routing->d_logits, d_x, false);
    if (has_noise(router, RINGMOE_NOISE_NOISY_TOPK))
        rm_linear_backward_input(compute, &weights->router_noise, n, routing->d_spread, d_x,
                                 true);
    if (!has_noise(router, RINGMOE_NOISE_JITTER)) return;
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, RM_ROWS_AT_ONCE)
    for (int64_t t = 0; t < n; t++)
        rm_noise_jitter(router->settings, router->pass, t, d_x + t * width, d_x + t * width);
}

/* dW = d_y^T x in fp32. */
static void backward_matrix(const rm_router *router, const rm_matrix *matrix,
                            const rm_real *d_y, const rm_real *x, rm_sink sink)
{
    rm_outer term = {.n_rows = router->routing->n_tokens,
                     .d_y = d_y,
                     .d_y_stride = matrix->out,
                     .x = x,
                     .x_stride = matrix->in,
                     .sink = sink};
    rm_outer_group group = {matrix->out, matrix->in, &term, 1};
    rm_outer_grouped(router->compute, RINGMOE_PRECISION_FP32, &group, 1);
}

void rm_router_backward_weights(const rm_router *router, const rm_real *x,
                                const rm_moe_sinks *sinks)
{
    const rm_moe_weights *weights = router->weights;
    const rm_routing *routing = router->routing;
    const rm_real *input = has_noise(router, RINGMOE_NOISE_JITTER) ? routing->input : x;
    backward_matrix(router, &weights->router, routing->d_logits, input, sinks->router);
    if (has_noise(router, RINGMOE_NOISE_NOISY_TOPK))
        backward_matrix(router, &weights->router_noise, routing->d_spread, input,
                        sinks->router_noise);
}

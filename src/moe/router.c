/* SPDX-License-Identifier: MIT
 *
 * The router over the tokens of a microbatch: fp32 products, then token by token. Weights of
 * the router keep fp32 in both passes, whatever the precision of the experts.
 */
#include "moe/router.h"

#include <string.h>

enum { TOKENS_AT_ONCE = 16 };

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

static bool has_jitter(const ringmoe_moe_settings *settings, const rm_moe_pass *pass)
{
    return pass->train && settings->noise == RINGMOE_NOISE_JITTER;
}

static bool is_noisy(const ringmoe_moe_settings *settings, const rm_moe_pass *pass)
{
    return pass->train && settings->noise == RINGMOE_NOISE_NOISY_TOPK;
}

/* The rows the router multiplies: x, or x with jitter. */
static const rm_real *router_input(const rm_compute *compute,
                                   const ringmoe_moe_settings *settings,
                                   const rm_moe_pass *pass, const rm_real *x,
                                   const rm_routing *routing)
{
    if (!has_jitter(settings, pass)) return x;
    int64_t width = settings->d_model;
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, TOKENS_AT_ONCE)
    for (int64_t t = 0; t < routing->n_tokens; t++)
        rm_noise_jitter(settings, pass, t, x + t * width, routing->input + t * width);
    return routing->input;
}

/* What the choice is made by: scores (logits where only the chosen are scored) plus bias. */
static const rm_real *selection_scores(const ringmoe_moe_settings *settings,
                                       const rm_real *bias, const rm_real *logits,
                                       const rm_real *scores, rm_real *biased)
{
    const rm_real *plain = settings->score == RINGMOE_SCORE_SOFTMAX_CHOSEN ? logits : scores;
    if (!bias) return plain;
    for (int e = 0; e < settings->n_experts; e++) biased[e] = plain[e] + bias[e];
    return biased;
}

static void route_token(const rm_compute *compute, const ringmoe_moe_settings *settings,
                        const rm_moe_weights *weights, const rm_moe_pass *pass, int64_t token,
                        rm_routing *routing)
{
    int64_t row = token * settings->n_experts, choice = token * settings->top_k;
    rm_real *logits = routing->logits + row, *scores = routing->scores + row;
    rm_real *biased = rm_compute_scratch(compute);
    if (is_noisy(settings, pass))
        rm_noise_add(settings, pass, token, routing->spread + row, routing->normals + row,
                     logits);
    routing->log_sums[token] = rm_scores_of_logits(compute->kernels, settings, logits, scores);
    const rm_real *selection =
        selection_scores(settings, weights->bias, logits, scores, biased);
    rm_choose_experts(settings, selection, biased + settings->n_experts,
                      routing->chosen + choice);
    rm_scores_weigh(settings, logits, scores, routing->chosen + choice,
                    routing->weights + choice);
}

void rm_router_forward(const rm_compute *compute, const ringmoe_moe_settings *settings,
                       const rm_moe_weights *weights, const rm_moe_pass *pass, const rm_real *x,
                       rm_routing *routing, ringmoe_moe_stats *stats)
{
    int64_t n = routing->n_tokens;
    const rm_real *input = router_input(compute, settings, pass, x, routing);
    rm_linear(compute, &weights->router, n, input, routing->logits, false);
    if (is_noisy(settings, pass))
        rm_linear(compute, &weights->router_noise, n, input, routing->spread, false);
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, TOKENS_AT_ONCE)
    for (int64_t t = 0; t < n; t++) route_token(compute, settings, weights, pass, t, routing);
    rm_balance_count(settings, routing);
    bool global = settings->balance_scope == RINGMOE_BALANCE_GLOBAL;
    rm_balance_fractions(settings, global ? pass->balance_counts : NULL, routing);
    rm_balance_losses(compute, settings, routing, stats);
}

/* --- backward --------------------------------------------------------------------------------
 */

static void backward_token(const ringmoe_moe_settings *settings, bool noisy, rm_real aux_scale,
                           int64_t token, rm_routing *routing)
{
    int64_t row = token * settings->n_experts, choice = token * settings->top_k;
    double aux = (double)aux_scale / (double)routing->n_tokens;
    double log_sum = (double)routing->log_sums[token];
    rm_score_gradients gradients = {
        .d_weights = routing->d_weights + choice,
        .fractions = routing->fractions,
        .d_balance = aux * (double)settings->balance_coefficient * settings->n_experts,
        .d_log_sum = aux * (double)settings->z_coefficient * 2 * log_sum};
    rm_scores_backward(settings, routing->logits + row, routing->scores + row,
                       routing->log_sums[token], routing->chosen + choice,
                       routing->weights + choice, &gradients, routing->d_logits + row);
    if (noisy)
        rm_noise_add_backward(settings->n_experts, routing->spread + row,
                              routing->normals + row, routing->d_logits + row,
                              routing->d_spread + row);
}

static void weight_gradient(const rm_compute *compute, const rm_matrix *matrix, int64_t n_rows,
                            const rm_real *d_y, const rm_real *x, rm_sink sink)
{
    rm_outer term = {.n_rows = n_rows,
                     .d_y = d_y,
                     .d_y_stride = matrix->out,
                     .x = x,
                     .x_stride = matrix->in,
                     .sink = sink};
    rm_outer_group group = {matrix->out, matrix->in, &term, 1};
    rm_outer_grouped(compute, RINGMOE_PRECISION_FP32, &group, 1);
}

void rm_router_backward(const rm_compute *compute, const ringmoe_moe_settings *settings,
                        const rm_moe_weights *weights, const rm_moe_pass *pass,
                        const rm_real *x, rm_real aux_scale, rm_routing *routing,
                        const rm_moe_sinks *sinks, rm_real *d_x)
{
    int64_t n = routing->n_tokens, width = settings->d_model;
    bool noisy = is_noisy(settings, pass), jitter = has_jitter(settings, pass);
    const rm_real *input = jitter ? routing->input : x;
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, TOKENS_AT_ONCE)
    for (int64_t t = 0; t < n; t++) backward_token(settings, noisy, aux_scale, t, routing);

    weight_gradient(compute, &weights->router, n, routing->d_logits, input, sinks->router);
    rm_linear_backward_input(compute, &weights->router, n, routing->d_logits, d_x, false);
    if (noisy) {
        weight_gradient(compute, &weights->router_noise, n, routing->d_spread, input,
                        sinks->router_noise);
        rm_linear_backward_input(compute, &weights->router_noise, n, routing->d_spread, d_x,
                                 true);
    }
    if (!jitter) return;
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, TOKENS_AT_ONCE)
    for (int64_t t = 0; t < n; t++)
        rm_noise_jitter(settings, pass, t, d_x + t * width, d_x + t * width);
}

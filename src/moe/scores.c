/* SPDX-License-Identifier: MIT
 *
 * One token's way from logits to the weights of its chosen experts, and the gradients back.
 *
 *   softmax over all      s = softmax(l)    w_j = s_j          (/ sum of the chosen)  * scale
 *   sigmoid               s = sigmoid(l)    w_j = s_j          (/ sum of the chosen)  * scale
 *   softmax over chosen                     w_j = exp(l_j) / sum of the chosen exp(l) * scale
 *
 * The choice itself has no gradient. Short sums over experts are made in double, in their
 * order.
 */
#include "moe/router.h"

#include <math.h>

/* DeepSeek-V3's guard of a sum of weights; too small to change one that is not all but zero. */
static const double tiny_sum = 1e-20;

static bool is_sigmoid(const ringmoe_moe_settings *settings)
{
    return settings->score == RINGMOE_SCORE_SIGMOID;
}

rm_real rm_scores_of_logits(const rm_kernels *kernels, const ringmoe_moe_settings *settings,
                            const rm_real *logits, rm_real *scores)
{
    int n = settings->n_experts;
    rm_real shift = kernels->max(n, logits);
    rm_real sum = kernels->exp_shift(n, shift, logits, scores);
    if (is_sigmoid(settings)) {
        for (int e = 0; e < n; e++) scores[e] = (rm_real)(1 / (1 + exp(-(double)logits[e])));
    } else {
        kernels->scale(n, 1 / sum, scores);
    }
    return (rm_real)((double)shift + log((double)sum));
}

static double sum_of_chosen(const ringmoe_moe_settings *settings, const rm_real *scores,
                            const int32_t *chosen)
{
    double sum = tiny_sum;
    for (int j = 0; j < settings->top_k; j++) sum += (double)scores[chosen[j]];
    return sum;
}

/* The first chosen need not have the largest logit: a selection bias may have moved it. */
static void softmax_of_chosen(const ringmoe_moe_settings *settings, const rm_real *logits,
                              const int32_t *chosen, rm_real *weights)
{
    double largest = (double)logits[chosen[0]], sum = 0;
    for (int j = 1; j < settings->top_k; j++)
        largest = fmax(largest, (double)logits[chosen[j]]);
    for (int j = 0; j < settings->top_k; j++) sum += exp((double)logits[chosen[j]] - largest);
    for (int j = 0; j < settings->top_k; j++) {
        double share = exp((double)logits[chosen[j]] - largest) / sum;
        weights[j] = (rm_real)((double)settings->routed_scale * share);
    }
}

void rm_scores_weigh(const ringmoe_moe_settings *settings, const rm_real *logits,
                     const rm_real *scores, const int32_t *chosen, rm_real *weights)
{
    if (settings->score == RINGMOE_SCORE_SOFTMAX_CHOSEN) {
        softmax_of_chosen(settings, logits, chosen, weights);
        return;
    }
    double factor = (double)settings->routed_scale;
    if (settings->renormalize) factor /= sum_of_chosen(settings, scores, chosen);
    for (int j = 0; j < settings->top_k; j++)
        weights[j] = (rm_real)(factor * (double)scores[chosen[j]]);
}

double rm_scores_probability_factor(const ringmoe_moe_settings *settings, const rm_real *scores)
{
    if (!is_sigmoid(settings)) return 1;
    double sum = tiny_sum;
    for (int e = 0; e < settings->n_experts; e++) sum += (double)scores[e];
    return 1 / sum;
}

/* d_scores = the balance loss's part: p = scores * factor, where factor is 1 or 1 /
 * sum(scores). */
static void backward_balance(const ringmoe_moe_settings *settings, const rm_real *scores,
                             const rm_token_gradients *gradients, rm_real *d_scores)
{
    double factor = rm_scores_probability_factor(settings, scores), mean = 0;
    if (is_sigmoid(settings))
        for (int e = 0; e < settings->n_experts; e++)
            mean += gradients->fractions[e] * (double)scores[e] * factor;
    for (int e = 0; e < settings->n_experts; e++)
        d_scores[e] =
            (rm_real)(gradients->d_balance * (gradients->fractions[e] - mean) * factor);
}

/* sum_j w_j * d_w_j / scale: what a division by a common sum takes from each one's gradient. */
static double weighted_mean(const ringmoe_moe_settings *settings, const rm_token_routing *token,
                            const rm_real *d_weights)
{
    double mean = 0;
    for (int j = 0; j < settings->top_k; j++)
        mean += (double)token->weights[j] * (double)d_weights[j];
    return mean / (double)settings->routed_scale;
}

/* d_scores += the weights' part, when weights come from scores. */
static void backward_weights(const ringmoe_moe_settings *settings,
                             const rm_token_routing *token, const rm_real *d_weights,
                             rm_real *d_scores)
{
    double factor = (double)settings->routed_scale, mean = 0;
    if (settings->renormalize) {
        factor /= sum_of_chosen(settings, token->scores, token->chosen);
        mean = weighted_mean(settings, token, d_weights);
    }
    for (int j = 0; j < settings->top_k; j++)
        d_scores[token->chosen[j]] += (rm_real)(factor * ((double)d_weights[j] - mean));
}

/* d_logits += the weights' part, when weights are a softmax over the chosen logits. */
static void backward_chosen(const ringmoe_moe_settings *settings, const rm_token_routing *token,
                            const rm_real *d_weights, rm_real *d_logits)
{
    double mean = weighted_mean(settings, token, d_weights);
    for (int j = 0; j < settings->top_k; j++)
        d_logits[token->chosen[j]] +=
            (rm_real)((double)token->weights[j] * ((double)d_weights[j] - mean));
}

/* In place: gradients of scores become gradients of logits. */
static void backward_scores(const ringmoe_moe_settings *settings, const rm_real *scores,
                            rm_real *d)
{
    int n = settings->n_experts;
    if (is_sigmoid(settings)) {
        for (int e = 0; e < n; e++) d[e] *= scores[e] * (1 - scores[e]);
        return;
    }
    double mean = 0;
    for (int e = 0; e < n; e++) mean += (double)scores[e] * (double)d[e];
    for (int e = 0; e < n; e++) d[e] = (rm_real)((double)scores[e] * ((double)d[e] - mean));
}

/* The z-loss: the gradient of logsumexp is the softmax. */
static void backward_log_sum(const ringmoe_moe_settings *settings,
                             const rm_token_routing *token, double d_log_sum, rm_real *d_logits)
{
    for (int e = 0; e < settings->n_experts; e++) {
        double softmax = is_sigmoid(settings)
                             ? exp((double)token->logits[e] - (double)token->log_sum)
                             : (double)token->scores[e];
        d_logits[e] += (rm_real)(d_log_sum * softmax);
    }
}

void rm_scores_backward(const ringmoe_moe_settings *settings, const rm_token_routing *token,
                        const rm_token_gradients *gradients, rm_real *d_logits)
{
    bool from_logits = settings->score == RINGMOE_SCORE_SOFTMAX_CHOSEN;
    backward_balance(settings, token->scores, gradients, d_logits);
    if (!from_logits) backward_weights(settings, token, gradients->d_weights, d_logits);
    backward_scores(settings, token->scores, d_logits);
    if (from_logits) backward_chosen(settings, token, gradients->d_weights, d_logits);
    if (gradients->d_log_sum != 0)
        backward_log_sum(settings, token, gradients->d_log_sum, d_logits);
}

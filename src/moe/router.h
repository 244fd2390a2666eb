/* SPDX-License-Identifier: MIT
 *
 * The router: which experts a token goes to, and with what weights. One idea a file:
 *
 *   noise.c    jitter of the input, noise on the logits
 *   scores.c   logits -> scores -> weights of the chosen, and the way back
 *   choose.c   the k experts of a token
 *   balance.c  counts, auxiliary losses, selection bias
 *   router.c   all of it over the tokens of a microbatch
 */
#ifndef RM_ROUTER_H
#define RM_ROUTER_H

#include "moe/layer.h"

/* What the router made of one microbatch. E experts, k choices, T tokens. */
typedef struct rm_routing {
    int64_t n_tokens;
    rm_real *input;        /* [T][d_model], jittered rows; NULL without jitter */
    rm_real *logits;       /* [T][E], noise included */
    rm_real *spread;       /* [T][E], x Wn: softplus of it is the noise's deviation; or NULL */
    rm_real *normals;      /* [T][E], the noise's normal numbers; or NULL */
    rm_real *scores;       /* [T][E], softmax or sigmoid of the logits */
    rm_real *log_sums;     /* [T], logsumexp of the logits */
    int32_t *chosen;       /* [T][k], best first */
    rm_real *weights;      /* [T][k] */
    int64_t *counts;       /* [E], choices of each expert, before dropping */
    double *fractions;     /* [E], share of each expert in the choices the balance loss uses */
    double *token_balance; /* [T], sum over e of fractions[e] * p[t][e] */
    rm_real *d_logits;     /* [T][E] and below: scratch of the backward pass */
    rm_real *d_spread;     /* [T][E] or NULL */
    rm_real *d_weights;    /* [T][k], gradients of the weights, filled by the combine */
} rm_routing;

void rm_routing_layout(rm_routing *routing, const ringmoe_moe_settings *settings,
                       bool with_backward, rm_arena *arena);

/* A router at work on one microbatch. */
typedef struct rm_router {
    const rm_compute *compute;
    const ringmoe_moe_settings *settings;
    const rm_moe_weights *weights;
    const rm_moe_pass *pass;
    rm_routing *routing;
} rm_router;

/* Fills the routing for the rows of x, and all of stats but the drops. */
void rm_router_forward(const rm_router *router, const rm_real *x, ringmoe_moe_stats *stats);

/* From routing->d_weights and the auxiliary losses to the logits' gradients and d_x, which is
 * written; then, at any later time, to the router's weight gradients. */
void rm_router_backward_inputs(const rm_router *router, rm_real aux_scale, rm_real *d_x);
void rm_router_backward_weights(const rm_router *router, const rm_real *x,
                                const rm_moe_sinks *sinks);

/* --- noise.c --- */

/* output = x * uniform(1 - eps, 1 + eps), numbers by (step, microbatch, token, feature). output
 * may be x, so it also takes a gradient back. */
void rm_noise_jitter(const ringmoe_moe_settings *settings, const rm_moe_pass *pass,
                     int64_t token, const rm_real *x, rm_real *output);
/* logits += normals * softplus(spread), normals by (step, microbatch, token, expert). */
void rm_noise_add(const ringmoe_moe_settings *settings, const rm_moe_pass *pass, int64_t token,
                  const rm_real *spread, rm_real *normals, rm_real *logits);
void rm_noise_add_backward(int n_experts, const rm_real *spread, const rm_real *normals,
                           const rm_real *d_logits, rm_real *d_spread);

/* --- scores.c: one token --- */

/* Scores of all experts; returns logsumexp of the logits. */
rm_real rm_scores_of_logits(const rm_kernels *kernels, const ringmoe_moe_settings *settings,
                            const rm_real *logits, rm_real *scores);
/* Weights of the chosen. */
void rm_scores_weigh(const ringmoe_moe_settings *settings, const rm_real *logits,
                     const rm_real *scores, const int32_t *chosen, rm_real *weights);
/* Probability of an expert as the balance loss sees it is scores[e] * this. */
double rm_scores_probability_factor(const ringmoe_moe_settings *settings,
                                    const rm_real *scores);

/* One token's rows of a routing. */
typedef struct rm_token_routing {
    const rm_real *logits, *scores;
    rm_real log_sum;
    const int32_t *chosen;
    const rm_real *weights;
} rm_token_routing;
/* And the gradients they get. */
typedef struct rm_token_gradients {
    const rm_real *d_weights; /* [k] */
    const double *fractions;  /* [E], of the balance loss */
    double d_balance;         /* gradient of sum_e fractions[e] * p[e] */
    double d_log_sum;         /* gradient of logsumexp(logits) */
} rm_token_gradients;
void rm_scores_backward(const ringmoe_moe_settings *settings, const rm_token_routing *token,
                        const rm_token_gradients *gradients, rm_real *d_logits);

/* --- choose.c: one token --- */

/* The k best of n scores, best first, ties to the lower index; of indices for which allowed[i /
 * block] is set (NULL: all). There are at least k of them. */
void rm_choose_best(int n, const rm_real *scores, const bool *allowed, int block, int k,
                    int32_t *best);
/* The top_k experts for selection scores, groups respected. `scratch` has
 * rm_choose_scratch_bytes. */
void rm_choose_experts(const ringmoe_moe_settings *settings, const rm_real *scores,
                       void *scratch, int32_t *chosen);
size_t rm_choose_scratch_bytes(const ringmoe_moe_settings *settings);

/* --- balance.c --- */

void rm_balance_count(const ringmoe_moe_settings *settings, rm_routing *routing);
/* Fractions for the loss: of `global` counts if there are any, else of the routing's own. */
void rm_balance_fractions(const ringmoe_moe_settings *settings, const int64_t *global,
                          rm_routing *routing);
/* Both losses, summed in double in token order. */
void rm_balance_losses(const rm_compute *compute, const ringmoe_moe_settings *settings,
                       rm_routing *routing, ringmoe_moe_stats *stats);

#endif

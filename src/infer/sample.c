/* SPDX-License-Identifier: MIT
 *
 * Sampling in three cuts, each over what the one before it left: softmax at a temperature, the
 * k likeliest, then the nucleus, the smallest set of the likeliest tokens that holds the share
 * top_p of the probability (Holtzman, Buys, Du, Forbes, Choi, "The curious case of neural text
 * degeneration", ICLR 2020).
 *
 * The likeliest come off a heap one by one, so that a large vocabulary is not sorted whole:
 *
 *   pool   | heap: the rest, largest first | ... third, second, likeliest |
 *                                     left ^                      n_all ^
 *
 * Sums are in double and in this order; equal weights are ordered by the lower id.
 */
#include "infer/sample.h"

#include <math.h>
#include <stdbool.h>

#include "base/random.h"

typedef struct ranking {
    rm_candidate *pool;
    int n_all, left;
} ranking;

ringmoe_status rm_sample_check(const ringmoe_generate_settings *settings, rm_error *error)
{
    if (!(settings->temperature >= 0 && settings->temperature <= 1e6))
        return rm_fail(
            error, RINGMOE_ERROR_ARGUMENT,
            "temperature is %g; it must be 0 (the likeliest token) or above, at most "
            "1e6",
            settings->temperature);
    if (settings->top_k < 0)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "top_k is %d; it must be 0 (all tokens) or above", settings->top_k);
    if (!(settings->top_p > 0 && settings->top_p <= 1))
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "top_p is %g; it must be above 0 and at most 1 (all tokens)",
                       settings->top_p);
    return RINGMOE_OK;
}

static ringmoe_status find_likeliest(const rm_real *logits, int n, int32_t *likeliest,
                                     rm_error *error)
{
    int best = 0;
    for (int i = 0; i < n; i++) {
        if (isnan((double)logits[i]))
            return rm_fail(error, RINGMOE_ERROR_NUMERIC,
                           "the model's logit of token %d is not a number; its weights may be "
                           "damaged",
                           i);
        if (logits[i] > logits[best]) best = i;
    }
    if (!isfinite((double)logits[best]))
        return rm_fail(error, RINGMOE_ERROR_NUMERIC,
                       "the model's largest logit (token %d) is not finite; its weights may be "
                       "damaged",
                       best);
    *likeliest = best;
    return RINGMOE_OK;
}

static bool comes_first(const rm_candidate *a, const rm_candidate *b)
{
    return a->weight != b->weight ? a->weight > b->weight : a->id < b->id;
}

static void sift_down(ranking *ranks, int at)
{
    rm_candidate *pool = ranks->pool, moved = pool[at];
    for (;;) {
        int child = 2 * at + 1;
        if (child >= ranks->left) break;
        if (child + 1 < ranks->left && comes_first(&pool[child + 1], &pool[child])) child++;
        if (!comes_first(&pool[child], &moved)) break;
        pool[at] = pool[child];
        at = child;
    }
    pool[at] = moved;
}

/* The candidate of rank `rank`, 0 being the likeliest. Ranks are asked for in order. */
static const rm_candidate *ranked(ranking *ranks, int rank)
{
    while (ranks->n_all - ranks->left <= rank) {
        rm_candidate likeliest = ranks->pool[0];
        ranks->pool[0] = ranks->pool[--ranks->left];
        sift_down(ranks, 0);
        ranks->pool[ranks->left] = likeliest;
    }
    return &ranks->pool[ranks->n_all - 1 - rank];
}

/* Makes the heap; returns the sum of all weights, in the order of ids. */
static double rank_logits(ranking *ranks, const rm_real *logits, double largest,
                          double temperature)
{
    double total = 0;
    for (int i = 0; i < ranks->n_all; i++) {
        double weight = exp(((double)logits[i] - largest) / temperature);
        ranks->pool[i] = (rm_candidate){weight, i};
        total += weight;
    }
    for (int at = ranks->n_all / 2 - 1; at >= 0; at--) sift_down(ranks, at);
    return total;
}

/* How many of the likeliest take part, and their total weight. */
static int cut(ranking *ranks, const ringmoe_generate_settings *settings, double total,
               double *kept_weight)
{
    int most = ranks->n_all;
    if (settings->top_k > 0 && settings->top_k < most) {
        most = settings->top_k;
        total = 0;
        for (int rank = 0; rank < most; rank++) total += ranked(ranks, rank)->weight;
    }
    int kept = 0;
    *kept_weight = 0;
    while (kept < most && *kept_weight < settings->top_p * total)
        *kept_weight += ranked(ranks, kept++)->weight;
    return kept;
}

ringmoe_status rm_sample(const ringmoe_generate_settings *settings, const rm_real *logits,
                         int vocab_size, int64_t position, rm_candidate *pool, int32_t *token,
                         rm_error *error)
{
    RM_TRY(find_likeliest(logits, vocab_size, token, error));
    if (settings->temperature == 0) return RINGMOE_OK;

    ranking ranks = {pool, vocab_size, vocab_size};
    double largest = (double)logits[*token], weight;
    double total = rank_logits(&ranks, logits, largest, settings->temperature);
    int kept = cut(&ranks, settings, total, &weight);

    rm_random_key key = {(uint64_t)settings->seed, rm_random_stream("sample")};
    double left = rm_random_uniform(key, (uint64_t)position) * weight;
    int rank = 0;
    while (rank < kept - 1 && left >= ranked(&ranks, rank)->weight)
        left -= ranked(&ranks, rank++)->weight;
    *token = ranked(&ranks, rank)->id;
    return RINGMOE_OK;
}

/* SPDX-License-Identifier: MIT
 *
 * Sampling in cuts, each over what the one before it left: softmax at a temperature, the k
 * likeliest, the nucleus, which is the smallest set of the likeliest tokens that holds the
 * share top_p of the probability (Holtzman, Buys, Du, Forbes, Choi, "The curious case of neural
 * text degeneration", ICLR 2020), and those not too far below the likeliest (min_p). Each cut
 * leaves some of the likeliest, so these come off a heap one by one, and a large vocabulary is
 * not sorted whole:
 *
 *   pool   | heap: the rest, largest first | ... third, second, likeliest |
 *                                     left ^                      n_all ^
 *
 * Of a vocabulary only those tokens get into the heap that a cut could leave: all those less
 * likely than (1 - top_p) / n together hold less than 1 - top_p.
 *
 * Equal weights are ordered by the lower id.
 */
#include "infer/sample.h"

#include <math.h>
#include <stdbool.h>

#include "base/random.h"

/* Below the greatest by so much, a token's weight is taken for zero. */
#define LEAST_EXPONENT (-80)
#define LEAST_WEIGHT 1e-34

typedef struct ranking {
    rm_candidate *pool;
    int n_all, left;
} ranking;

static ringmoe_status check_range(const char *name, double value, double low, double high,
                                  const char *range, rm_error *error)
{
    if (value >= low && value <= high) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "%s is %g; it must be %s", name, value,
                   range);
}

ringmoe_status rm_sample_check(const ringmoe_generate_settings *settings, rm_error *error)
{
    static const double above_0 = 1e-300;
    RM_TRY(check_range("temperature", settings->temperature, 0, 1e6,
                       "0 (the likeliest token) or above, at most 1e6", error));
    RM_TRY(
        check_range("top_k", settings->top_k, 0, INT32_MAX, "0 (all tokens) or above", error));
    RM_TRY(check_range("top_p", settings->top_p, above_0, 1,
                       "above 0 and at most 1 (all tokens)", error));
    RM_TRY(check_range("min_p", settings->min_p, 0, 1, "0 (all tokens) or above, at most 1",
                       error));
    return check_range("repetition_penalty", settings->repetition_penalty, 1e-6, 1e6,
                       "1e-6..1e6; 1 is none", error);
}

/* Keskar, McCann, Varshney, Xiong, Socher, "CTRL", 2019, as Hugging Face has it. */
static void penalise(const rm_sampling *sampling, int n, rm_real *logits)
{
    rm_real penalty = (rm_real)sampling->settings->repetition_penalty;
    if (penalty == 1 || !sampling->seen) return;
    for (int word = 0; word <= (n - 1) / 64; word++)
        for (uint64_t bits = sampling->seen[word]; bits; bits &= bits - 1) {
            rm_real *logit = &logits[word * 64 + __builtin_ctzll(bits)];
            *logit = *logit > 0 ? *logit / penalty : *logit * penalty;
        }
}

/* The first of the largest, or of those that are not numbers. Looked for in the one stretch
 * that has it, since looking takes longer than finding out how large it is. */
static int find_largest(const rm_kernels *kernels, const rm_real *logits, int n)
{
    enum { STRETCH = 512 };
    rm_real largest = logits[0];
    int best = 0;
    for (int first = 0; first < n && !isnan((double)largest); first += STRETCH) {
        rm_real here = kernels->max(n - first < STRETCH ? n - first : STRETCH, logits + first);
        if (here <= largest) continue;
        largest = here;
        best = first;
    }
    bool damaged = isnan((double)largest);
    while (damaged ? !isnan((double)logits[best]) : logits[best] != largest) best++;
    return best;
}

static ringmoe_status find_likeliest(const rm_kernels *kernels, const rm_real *logits, int n,
                                     int32_t *likeliest, rm_error *error)
{
    int best = find_largest(kernels, logits, n);
    rm_real largest = logits[best];
    bool damaged = isnan((double)largest);
    if (damaged)
        return rm_fail(error, RINGMOE_ERROR_NUMERIC,
                       "the model's logit of token %d is not a number; its weights may be "
                       "damaged",
                       best);
    if (!isfinite((double)largest))
        return rm_fail(error, RINGMOE_ERROR_NUMERIC,
                       "the model's largest logit (token %d) is not finite; its weights may be "
                       "damaged",
                       best);
    *likeliest = best;
    return RINGMOE_OK;
}

/* Turns logits into weights; returns their sum, added in double in four interleaved rows. */
static double make_weights(const rm_kernels *kernels, double temperature, rm_real largest,
                           int n, rm_real *logits)
{
    rm_real factor = (rm_real)fmin(1 / temperature, 1e30);
    double sums[4] = {0};
    for (int i = 0; i < n; i++) {
        rm_real exponent = (logits[i] - largest) * factor;
        logits[i] = exponent > LEAST_EXPONENT ? exponent : LEAST_EXPONENT;
    }
    kernels->exp_shift(n, 0, logits, logits);
    for (int i = 0; i < n; i++) sums[i % 4] += (double)logits[i];
    return sums[0] + sums[1] + (sums[2] + sums[3]);
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

/* Makes the heap of the weights from `least` on. */
static ranking rank_weights(const rm_real *weights, int n, double least, rm_candidate *pool)
{
    ranking ranks = {.pool = pool};
    for (int i = 0; i < n; i++)
        if ((double)weights[i] >= least)
            pool[ranks.n_all++] = (rm_candidate){(double)weights[i], i};
    ranks.left = ranks.n_all;
    for (int at = ranks.left / 2 - 1; at >= 0; at--) sift_down(&ranks, at);
    return ranks;
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
    while (kept < most && *kept_weight < settings->top_p * total &&
           (kept == 0 || ranked(ranks, kept)->weight >= settings->min_p))
        *kept_weight += ranked(ranks, kept++)->weight;
    return kept;
}

/* Weights that no cut could leave. The k likeliest have another total than all have. */
static double least_weight(const ringmoe_generate_settings *settings, double total, int n)
{
    double least = fmax(LEAST_WEIGHT, settings->top_k > 0 ? 0 : settings->min_p);
    if (settings->top_k > 0) return least;
    return fmin(1, fmax(least, (1 - settings->top_p) * total / n));
}

/* One of all tokens, in the order of ids; `left` of their total is to be passed. */
static int32_t pick_of_all(const rm_real *weights, int n, double left, int32_t likeliest)
{
    int32_t last = likeliest;
    for (int i = 0; i < n; i++) {
        if ((double)weights[i] < LEAST_WEIGHT) continue;
        last = i;
        if (left < (double)weights[i]) break;
        left -= (double)weights[i];
    }
    return last;
}

ringmoe_status rm_sample(const rm_sampling *sampling, const rm_kernels *kernels, int vocab_size,
                         rm_real *logits, rm_candidate *pool, int32_t *token, rm_error *error)
{
    const ringmoe_generate_settings *settings = sampling->settings;
    penalise(sampling, vocab_size, logits);
    RM_TRY(find_likeliest(kernels, logits, vocab_size, token, error));
    if (settings->temperature == 0) return RINGMOE_OK;

    uint64_t seed = (uint64_t)settings->seed + (uint64_t)sampling->seed;
    rm_random_key key = {seed, rm_random_stream("sample")};
    double uniform = rm_random_uniform(key, (uint64_t)sampling->position), weight;
    double total =
        make_weights(kernels, settings->temperature, logits[*token], vocab_size, logits);
    if (settings->top_k == 0 && settings->top_p == 1 && settings->min_p == 0) {
        *token = pick_of_all(logits, vocab_size, uniform * total, *token);
        return RINGMOE_OK;
    }
    ranking ranks =
        rank_weights(logits, vocab_size, least_weight(settings, total, vocab_size), pool);
    int kept = cut(&ranks, settings, total, &weight), rank = 0;
    double left = uniform * weight;
    while (rank < kept - 1 && left >= ranked(&ranks, rank)->weight)
        left -= ranked(&ranks, rank++)->weight;
    *token = ranked(&ranks, rank)->id;
    return RINGMOE_OK;
}

/* SPDX-License-Identifier: MIT
 *
 * A row goes through the first-level cache twice, part by part. First each part becomes
 * exp(logit - the part's own maximum); when the greatest maximum and the sum are known, each
 * part is scaled to them:
 *
 *   logits   |  part 0  |  part 1  | ..        p = exp(x - max_part) * exp(max_part - max) /
 * sum max, sum   max, sum
 */
#include "nn/loss.h"

#include <math.h>

enum { PART = 4096 };

/* Of one part, in the thread's scratch. */
typedef struct part_sum {
    double max, sum;
} part_sum;

static int64_t part_length(int64_t vocab, int64_t first)
{
    return vocab - first < PART ? vocab - first : PART;
}

/* Turns the row into exponentials; returns its logsumexp. */
static double sum_parts(const rm_kernels *kernels, int64_t vocab, rm_real *row, part_sum *parts)
{
    double max = -INFINITY, sum = 0;
    for (int64_t first = 0; first < vocab; first += PART) {
        int64_t n = part_length(vocab, first);
        part_sum *part = &parts[first / PART];
        rm_real part_max = kernels->max(n, row + first);
        rm_real shift = part_max > -(rm_real)INFINITY ? part_max : 0; /* or inf - inf */
        part->sum = kernels->exp_shift(n, shift, row + first, row + first);
        part->max = part_max;
        if (part->max > max) max = part->max;
    }
    for (int64_t i = 0; i * PART < vocab; i++) sum += parts[i].sum * exp(parts[i].max - max);
    return log(sum) + max;
}

void rm_cross_entropy(const rm_compute *compute, int64_t n_tokens, int64_t vocab,
                      const int32_t *targets, rm_real scale, rm_real *logits, double *losses)
{
    const rm_kernels *kernels = compute->kernels;
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, 4)
    for (int64_t t = 0; t < n_tokens; t++) {
        rm_real *row = logits + t * vocab;
        part_sum *parts = rm_compute_scratch(compute);
        double target = row[targets[t]];
        double logsumexp = sum_parts(kernels, vocab, row, parts);
        losses[t] = logsumexp - target;
        for (int64_t first = 0; first < vocab; first += PART)
            kernels->scale(part_length(vocab, first),
                           (rm_real)(scale * exp(parts[first / PART].max - logsumexp)),
                           row + first);
        row[targets[t]] -= scale;
    }
}

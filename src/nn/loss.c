/* SPDX-License-Identifier: MIT */
#include "nn/loss.h"

#include <math.h>

void rm_cross_entropy(const rm_compute *compute, int64_t n_tokens, int64_t vocab,
                      const int32_t *targets, rm_real scale, rm_real *logits, double *losses)
{
    const rm_kernels *kernels = compute->kernels;
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, 16)
    for (int64_t t = 0; t < n_tokens; t++) {
        rm_real *row = logits + t * vocab;
        double target = row[targets[t]];
        rm_real max = kernels->max(vocab, row);
        rm_real sum = kernels->exp_shift(vocab, max, row, row);
        losses[t] = log((double)sum) + max - target;
        kernels->scale(vocab, scale / sum, row);
        row[targets[t]] -= scale;
    }
}

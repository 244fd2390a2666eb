/* SPDX-License-Identifier: MIT
 *
 * Cross-entropy of next-token predictions.
 */
#ifndef RM_LOSS_H
#define RM_LOSS_H

#include "tensor/compute.h"

/* losses[t] = logsumexp(logits[t]) - logits[t][targets[t]], in nats. The logits are overwritten
 * with the gradient of  scale * sum over t of losses[t]. */
void rm_cross_entropy(const rm_compute *compute, int64_t n_tokens, int64_t vocab,
                      const int32_t *targets, rm_real scale, rm_real *logits, double *losses);

#endif

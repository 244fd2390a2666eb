/* SPDX-License-Identifier: MIT
 *
 * Cross-entropy of next-token predictions. Tensor ranks share the vocabulary, each has the
 * logits of its columns for all tokens.
 */
#ifndef RM_LOSS_H
#define RM_LOSS_H

#include "comm/context.h"

typedef struct rm_loss_shape {
    int64_t n_tokens;
    int64_t vocab;         /* of the model; a rank has rm_split's part of it */
    const rm_axis *tensor; /* the ranks that share it */
    bool reproducible;     /* sums in RM_INNER_BLOCKS blocks, so the same bits for any number of
                              ranks that divides it */
} rm_loss_shape;

/* losses[t] = logsumexp(logits[t]) - logits[t][targets[t]], in nats, the same on every rank.
 * The logits, [n_tokens][this rank's columns], are overwritten with the gradient of
 * scale * sum over t of losses[t]. Workspace: rm_cross_entropy_workspace doubles. Collective
 * over the tensor axis. */
ringmoe_status rm_cross_entropy(const rm_compute *compute, const rm_loss_shape *shape,
                                const int32_t *targets, rm_real scale, rm_real *logits,
                                double *losses, double *workspace, rm_comm_times *times,
                                rm_error *error);
int64_t rm_cross_entropy_workspace(int64_t n_tokens, int64_t vocab, int tensor_ranks,
                                   bool reproducible);

#endif

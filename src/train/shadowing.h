/* SPDX-License-Identifier: MIT
 *
 * Copies of hot experts (moe/shadows.c), decided once a step for the whole model on rank 0,
 * from the counts and the rates of the last steps (shadow_rates.h), and told to everyone: times
 * are not the same everywhere, the decision is.
 */
#ifndef RM_SHADOWING_H
#define RM_SHADOWING_H

#include <ringmoe/train.h>

#include "model/model.h"
#include "train/shadow_costs.h"
#include "train/shadow_rates.h"

typedef struct rm_shadowing {
    int n_layers, n_model_experts;
    rm_shadows *layers; /* [n_layers], of this step */
    int n_experts;      /* in all of them */
    double *counts;     /* [n_layers][n_model_experts], means over the last steps */
    bool has_counts;
    rm_shadow_rates rates;
    rm_shadow_sample sample; /* this rank's */
} rm_shadowing;

ringmoe_status rm_shadowing_create(rm_shadowing *shadowing, const ringmoe_model_config *config,
                                   rm_error *error);
void rm_shadowing_free(rm_shadowing *shadowing);

/* Decides by last_counts, [n_layers][n_experts], and hands out the copies. n_microbatches: of
 * the global batch. Collective over all ranks. */
ringmoe_status rm_shadowing_begin(rm_shadowing *shadowing,
                                  const ringmoe_train_settings *settings, ringmoe_model *model,
                                  int n_microbatches, const int64_t *last_counts);
/* The step's passes are done: no copies any more. `times`: of the step so far. */
void rm_shadowing_end(rm_shadowing *shadowing, ringmoe_model *model,
                      const ringmoe_comm_times *times);
/* Weights were gathered: seconds, and bytes that came to this rank. */
void rm_shadowing_gathered(rm_shadowing *shadowing, double seconds, int64_t bytes);

/* This rank's figures (train/gradients.h) of the step, and rates from those of all ranks. */
void rm_shadowing_tell(const rm_shadowing *shadowing, double *figures);
void rm_shadowing_learn(rm_shadowing *shadowing, const double *figures, int n_ranks);

#endif

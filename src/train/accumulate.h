/* SPDX-License-Identifier: MIT
 *
 * The microbatches of a step through this rank's stages, forward and backward, in the order of
 * the schedule; their gradients to the reduction trees, their losses to the measures.
 */
#ifndef RM_ACCUMULATE_H
#define RM_ACCUMULATE_H

#include "train/trainer.h"

/* Losses, counts and loads of the next step's global batch into the measures and `metrics`, and
 * the sums of its gradients into gradients.totals. Collective: all ranks leave with the same
 * status. NUMERIC: a loss is not finite; metrics are filled in. */
ringmoe_status rm_accumulate(ringmoe_trainer *trainer, ringmoe_step_metrics *metrics);

/* All of a step before the update: rm_accumulate, a tied head's part, the norm. In step.c. */
ringmoe_status rm_gradients_of_step(ringmoe_trainer *trainer, ringmoe_step_metrics *metrics);

/* The place that the next waits belong to. */
void rm_trainer_at(const ringmoe_trainer *trainer, rm_operation operation);

#endif

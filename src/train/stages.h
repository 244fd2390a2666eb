/* SPDX-License-Identifier: MIT
 *
 * How the model is cut into stages for a training run, and the pipeline that runs them.
 */
#ifndef RM_STAGES_H
#define RM_STAGES_H

#include <ringmoe/train.h>

#include "model/model.h"

typedef struct rm_stages {
    rm_partition partition;
    ringmoe_schedule *schedule;
    ringmoe_pipeline *pipeline;
} rm_stages;

/* Cuts the layers, by measured cost where an even cut may be a bad one, and makes the schedule.
 * `settings` are checked, with schedule and chunks chosen; n_microbatches: of one rank.
 * Collective over all ranks. */
ringmoe_status rm_stages_create(rm_stages *stages, ringmoe_mesh *mesh,
                                const ringmoe_model_config *config,
                                const ringmoe_train_settings *settings, int n_microbatches);
void rm_stages_free(rm_stages *stages);
/* Makes the pipeline, for activations of n_elements. Collective over all ranks. */
ringmoe_status rm_stages_connect(rm_stages *stages, ringmoe_mesh *mesh, int64_t n_elements);

/* What the model must be made for: partition, slots and whether the backward pass is split. */
void rm_stages_model_settings(const rm_stages *stages, const ringmoe_mesh *mesh,
                              rm_model_settings *settings);

#endif

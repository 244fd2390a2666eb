/* SPDX-License-Identifier: MIT
 *
 * What the layers of a model cost to train on this machine, measured on models of one layer.
 * They decide how the layers are cut into stages, which never changes the answer.
 */
#ifndef RM_COSTS_H
#define RM_COSTS_H

#include <ringmoe/train.h>

#include "model/model.h"

/* Seconds of one microbatch, forward and backward; 0 for what the model does not have. */
typedef struct rm_costs {
    double dense, moe; /* one layer */
    double head;       /* the output head beyond a layer, with its loss */
} rm_costs;

/* The slowest rank's, on all ranks. Takes a few microbatches' time. Collective over all ranks.
 */
ringmoe_status rm_costs_measure(ringmoe_mesh *mesh, const ringmoe_model_config *config,
                                const ringmoe_train_settings *settings, rm_costs *costs);

#endif

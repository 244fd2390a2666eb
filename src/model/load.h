/* SPDX-License-Identifier: MIT
 *
 * A model's weights in their files: found and checked, then read.
 */
#ifndef RM_LOAD_H
#define RM_LOAD_H

#include "model/state.h"
#include "model/weight_source.h"

/* Zeroed: none. */
typedef struct rm_opened_weights {
    rm_weight_source *source;
    rm_parameter_table table;
    rm_weight_place *places; /* of the table's parameters, which every placement has in this
                                order */
    rm_real *biases;         /* of the routers, as many as the model's */
} rm_opened_weights;

/* Everything that can be seen to be wrong before the first value is read. rm_weights_close is
 * to follow, also after a failure. Local. */
ringmoe_status rm_weights_open(const char *path, const ringmoe_model_config *config,
                               rm_opened_weights *opened, rm_error *error);
void rm_weights_close(rm_opened_weights *opened);

/* Into the master weights, and where a model has none into the packed forms. Collective over
 * all ranks. */
ringmoe_status rm_weights_read(const rm_opened_weights *opened, ringmoe_model *model);

#endif

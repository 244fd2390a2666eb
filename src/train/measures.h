/* SPDX-License-Identifier: MIT
 *
 * What the microbatches of a step measured, brought together: each microbatch's figures in a
 * row of its own, so that averages are taken in the microbatches' global order on every layout.
 */
#ifndef RM_MEASURES_H
#define RM_MEASURES_H

#include <ringmoe/train.h>

#include "model/model.h"

typedef struct rm_measures {
    int n_microbatches; /* of the global batch */
    int n_layers, n_experts;
    double *rows;    /* [n_microbatches][figures]; 0 where another rank computed */
    int64_t *counts; /* [n_layers][n_experts] choices */
} rm_measures;

ringmoe_status rm_measures_create(rm_measures *measures, const ringmoe_model_config *config,
                                  int n_microbatches, rm_error *error);
void rm_measures_free(rm_measures *measures);

/* Forgets the last step. */
void rm_measures_clear(rm_measures *measures);
void rm_measures_record(rm_measures *measures, int64_t microbatch,
                        const rm_pass_result *result);
/* Everyone's rows and counts to everyone. Collective over all ranks. */
ringmoe_status rm_measures_gather(rm_measures *measures, const ringmoe_mesh *mesh);

/* Averages and the load of the experts. */
void rm_measures_summarize(const rm_measures *measures, ringmoe_step_metrics *metrics);
/* NUMERIC naming step, microbatch and layer, if a loss is not finite. */
ringmoe_status rm_measures_check(const rm_measures *measures, int64_t step, rm_error *error);

#endif

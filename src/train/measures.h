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
    double *rows;         /* [n_microbatches][figures]; 0 where another rank computed */
    int64_t *counts;      /* [n_layers][n_experts] choices */
    int64_t *last_counts; /* likewise, of the last finished step; 0 before the first */
} rm_measures;

ringmoe_status rm_measures_create(rm_measures *measures, const ringmoe_model_config *config,
                                  int n_microbatches, rm_error *error);
void rm_measures_free(rm_measures *measures);

/* Numbers in an array of counts. */
int64_t rm_measures_counts(const rm_measures *measures);

/* Begins a step. */
void rm_measures_clear(rm_measures *measures);
void rm_measures_record(rm_measures *measures, int64_t microbatch,
                        const rm_pass_result *result);
/* Everyone's rows and counts to everyone. Collective over all ranks. */
ringmoe_status rm_measures_gather(rm_measures *measures, const ringmoe_mesh *mesh);

/* The step is finished: its counts become the last ones. */
void rm_measures_finish(rm_measures *measures);

/* Averages and the load of the experts. */
void rm_measures_summarize(const rm_measures *measures, ringmoe_step_metrics *metrics);
/* NUMERIC naming step, microbatch and layer, if a loss is not finite. */
ringmoe_status rm_measures_check(const rm_measures *measures, int64_t step, rm_error *error);

/* "layer 3", "the output head" or, if no layer is known (-1), "the losses". */
typedef struct rm_place_text {
    char text[32];
} rm_place_text;
rm_place_text rm_bad_place(int first_bad_layer, int n_layers);

#endif

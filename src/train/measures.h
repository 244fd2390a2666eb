/* SPDX-License-Identifier: MIT
 *
 * What the microbatches of a step measured, brought together: each microbatch's figures in a
 * row of its own and each MoE layer's losses in a place of their own, so that averages are
 * taken in one global order on every layout.
 *
 *   gathered | row of microbatch 0 | 1 | ... | losses of its layers | ... | counts of experts |
 */
#ifndef RM_MEASURES_H
#define RM_MEASURES_H

#include <ringmoe/train.h>

#include "model/model.h"

typedef struct rm_measures {
    int n_microbatches; /* of the global batch */
    int n_layers, n_moe_layers, n_experts;
    int64_t n_gathered;
    double *gathered;        /* the arrays below, 0 where another rank computed */
    double *rows;            /* [n_microbatches][figures] */
    rm_layer_losses *layers; /* [n_microbatches][n_layers]; 0 for dense layers */
    double *gathered_counts; /* `counts` on their way */
    int32_t *bad_layers;     /* [n_microbatches]: the first that is not finite; INT32_MAX */
    int64_t *counts;         /* [n_layers][n_experts] choices */
    int64_t *last_counts;    /* likewise, of the last finished step; 0 before the first */
} rm_measures;

ringmoe_status rm_measures_create(rm_measures *measures, const ringmoe_model_config *config,
                                  int n_microbatches, rm_error *error);
void rm_measures_free(rm_measures *measures);

/* Numbers in an array of counts. */
int64_t rm_measures_counts(const rm_measures *measures);

/* Begins a step. */
void rm_measures_clear(rm_measures *measures);
/* Where a microbatch's layers put their losses: [n_layers]. */
rm_layer_losses *rm_measures_layers(const rm_measures *measures, int64_t microbatch);
/* Adds what one stage measured. */
void rm_measures_record(rm_measures *measures, int64_t microbatch,
                        const rm_pass_result *result);
/* Everyone's rows and counts to everyone; of the ranks that compute the same, the first tensor
 * rank's are taken. Collective over all ranks. */
ringmoe_status rm_measures_gather(rm_measures *measures, const ringmoe_mesh *mesh);

/* The step is finished: its counts become the last ones. */
void rm_measures_finish(rm_measures *measures);

/* Averages and the load of the experts. */
void rm_measures_summarize(const rm_measures *measures, ringmoe_step_metrics *metrics);
/* NUMERIC naming step, microbatch and layer, if a loss is not finite. */
ringmoe_status rm_measures_check(const rm_measures *measures, int64_t step, rm_error *error);

/* How evenly n_experts counts are spread. */
ringmoe_layer_load rm_load_of(const int64_t *counts, int n_experts);

/* "layer 3", "the output head" or, if no layer is known (-1), "the losses". */
typedef struct rm_place_text {
    char text[32];
} rm_place_text;
rm_place_text rm_bad_place(int first_bad_layer, int n_layers);

#endif

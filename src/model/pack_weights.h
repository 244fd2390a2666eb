/* SPDX-License-Identifier: MIT
 *
 * Weights go from their files straight into the packed forms of a model without master weights.
 */
#ifndef RM_PACK_WEIGHTS_H
#define RM_PACK_WEIGHTS_H

#include "model/state.h"
#include "model/weight_place.h"

/* A matrix and where its weights lie. */
typedef struct rm_matrix_source {
    const rm_matrix *matrix;
    const rm_parameter *parameter;
    const rm_weight_place *place;
} rm_matrix_source;

/* Packs matrices that have room for it (forward.data), in the order of the files and in
 * threads; each has a few rows in memory at a time. FILE, MEMORY. */
ringmoe_status rm_pack_from_files(const rm_compute *compute, const rm_placement *placement,
                                  const rm_matrix_source *sources, int n_sources,
                                  rm_error *error);
/* Where the weights of a matrix of the model's list lie. */
rm_matrix_source rm_matrix_source_of(const ringmoe_model *model, const rm_weight_place *places,
                                     int matrix);
/* The same for all matrices of this rank; places [n_parameters of the table]. */
ringmoe_status rm_model_pack_from_files(ringmoe_model *model, const rm_weight_place *places,
                                        rm_error *error);

#endif

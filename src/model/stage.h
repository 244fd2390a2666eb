/* SPDX-License-Identifier: MIT
 *
 * What the ways through a model need of its stages.
 */
#ifndef RM_STAGE_H
#define RM_STAGE_H

#include "model/state.h"

/* ARGUMENT if the batch is not one the model takes. */
ringmoe_status rm_batch_check(const ringmoe_model *model, const rm_batch *batch);
/* STATE if the model was made for inference. */
ringmoe_status rm_training_check(const ringmoe_model *model);
/* A walk of the batch through the call's stage, without counts and result. */
rm_walk rm_walk_of(ringmoe_model *model, const rm_batch *batch, const ringmoe_stage_call *call);

/* Sends `sent` to a rank of the pipeline axis, or, where that is NULL, gets `received` from it.
 */
ringmoe_status rm_hand_over(const ringmoe_model *model, int partner, const rm_real *sent,
                            rm_real *received, int64_t n);
/* Takes activations through all stages, one after the other, from rank to rank of the pipeline
 * axis: `run` is called for each stage of this rank. All ranks end with the same status. */
typedef ringmoe_status (*rm_stage_runner)(ringmoe_model *model, const ringmoe_stage_call *call,
                                          void *user);
ringmoe_status rm_through_stages(ringmoe_model *model, int64_t n_tokens, rm_stage_runner run,
                                 void *user);

#endif

/* SPDX-License-Identifier: MIT
 *
 * The inside of a trainer: everything a step needs, made once.
 */
#ifndef RM_TRAINER_H
#define RM_TRAINER_H

#include <ringmoe/train.h>

#include "train/batches.h"
#include "train/gradients.h"
#include "train/measures.h"
#include "train/optimizer.h"
#include "train/order.h"
#include "train/recipe.h"
#include "train/save.h"
#include "train/shadowing.h"
#include "train/stages.h"
#include "train/tied.h"

struct ringmoe_trainer {
    ringmoe_mesh *mesh;
    ringmoe_model *model;
    const ringmoe_tokens *data;
    char data_hash[17];
    ringmoe_train_settings settings;
    rm_recipe recipe;
    int n_microbatches; /* of the global batch */
    rm_order order;
    rm_stages stages;
    int n_spaces;
    rm_shard shards[RM_MAX_SPACES]; /* [n_spaces] */
    rm_gradients gradients;
    rm_tied tied;
    rm_optimizer optimizer;
    rm_measures measures;
    rm_shadowing shadowing;
    rm_batch_buffer batch;
    ringmoe_pipeline_times pipeline_times; /* of the last step */
    rm_save save;
    int64_t steps_done;
    bool is_mixed; /* reading failed midway: of no use before it has been read whole */
};

/* STATE if it is mixed, alike on all ranks. */
ringmoe_status rm_trainer_check_whole(const ringmoe_trainer *trainer);

#endif

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

struct ringmoe_trainer {
    ringmoe_mesh *mesh;
    ringmoe_model *model;
    const ringmoe_tokens *data;
    char data_hash[17];
    ringmoe_train_settings settings;
    rm_recipe recipe;
    int n_microbatches; /* of the global batch */
    rm_order order;
    rm_shard shards[RM_N_SPACES];
    rm_gradients gradients;
    rm_optimizer optimizer;
    rm_measures measures;
    rm_batch_buffer batch;
    int64_t steps_done;
};

#endif

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

struct ringmoe_trainer {
    ringmoe_mesh *mesh;
    ringmoe_model *model;
    const ringmoe_tokens *data;
    char data_hash[17];
    ringmoe_train_settings settings;
    int n_microbatches; /* of the global batch */
    rm_order order;
    rm_shard shards[RM_N_SPACES];
    rm_gradients gradients;
    rm_optimizer optimizer;
    rm_measures measures;
    rm_batch_buffer batch;
    int64_t steps_done;
};

/* Ranges of every setting and how they fit together, the model and the number of ranks.
 * ARGUMENT or LAYOUT, naming the setting. */
ringmoe_status rm_train_settings_check(const ringmoe_train_settings *settings,
                                       const ringmoe_model_config *config, int n_ranks,
                                       rm_error *error);

#endif

/* SPDX-License-Identifier: MIT
 *
 * A Mixtral's configuration in the manner of each other family, for tests that hold what they
 * check for all of them.
 */
#ifndef RM_MODEL_FAMILIES_H
#define RM_MODEL_FAMILIES_H

#include <math.h>

#include "model/model.h"

/* The limit cuts some of the queries, keys and values of the tests' small models. */
static inline ringmoe_model_config family_config(ringmoe_model_config config, int family)
{
    config.family = family;
    config.qk_norm = (int)rm_family_of(family)->qk_norm;
    if (family == RINGMOE_FAMILY_OLMOE) {
        config.clip_qkv = 0.9;
        config.hidden_size = config.num_attention_heads * config.head_dim;
    }
    if (family == RINGMOE_FAMILY_QWEN2_MOE) {
        config.qkv_bias = 1;
        config.shared_expert_intermediate_size = config.intermediate_size + 6;
    }
    if (family == RINGMOE_FAMILY_OLMOE || family == RINGMOE_FAMILY_QWEN2_MOE)
        config.router_unnormalized = 1;
    if (rm_family_of(family)->has_experts) return config;
    config.num_local_experts = config.num_experts_per_tok = 0;
    config.router_aux_loss_coef = config.router_z_loss_coef = config.router_jitter_noise = 0;
    config.router_bias_rate = config.capacity_factor = 0;
    config.router_balance_global = 0;
    for (int layer = 0; layer < config.num_hidden_layers; layer++)
        config.is_dense_layer[layer] = 0;
    return config;
}

/* Moves norms off 1 and biases off 0, the same way on all layouts. rm_model_pack is not needed
 * after it. */
static inline void family_shake(ringmoe_model *model)
{
    const rm_parameter_table *table = rm_model_parameters(model);
    const rm_placement *placement = &table->placement;
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *parameter = &table->parameters[i];
        if (parameter->n_dims != 1 || !rm_model_holds(model, parameter)) continue;
        rm_parameter_part part =
            rm_parameter_part_of(parameter, placement->tensor_ranks, placement->tensor_rank);
        rm_real *values = rm_model_weights(model, parameter);
        for (int64_t at = 0; at < part.n_elements; at++)
            values[at] += (rm_real)(0.2 * sin(1.7 * (double)(part.first_row + at) + i));
    }
}

#endif

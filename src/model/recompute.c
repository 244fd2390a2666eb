/* SPDX-License-Identifier: MIT
 *
 * What a layer's backward pass needs and was not kept is made again, with the same bits, in
 * memory that all layers share:
 *
 *   selective   attention_input and ffn_input, by their norms
 *   full        everything from x on, by the layer's forward pass; a MoE layer exchanges its
 *               tokens again, under a label of its own, with the same noise, and its counts
 *               and losses are not recorded a second time
 */
#include "model/state.h"

static void remake_normed(const rm_walk *walk, int index)
{
    const rm_layer_saved *saved = rm_walk_saved(walk, index);
    const rm_layer_weights *weights = rm_walk_weights(walk, index);
    rm_norm_shape shape = rm_walk_norm_shape(walk);
    rm_norm_forward(walk->compute, shape, rm_walk_x(walk, index), weights->attention_norm,
                    saved->attention_input, saved->attention_rstd);
    rm_norm_forward(walk->compute, shape, saved->middle, weights->ffn_norm, saved->ffn_input,
                    saved->ffn_rstd);
}

static ringmoe_status remake_layer(const rm_walk *walk, int index)
{
    const rm_layer_saved *saved = rm_walk_saved(walk, index);
    rm_pass_result unwanted = {0};
    rm_walk again = *walk;
    again.moe.label.operation = RM_OPERATION_RECOMPUTE;
    again.counts = NULL;
    again.layer_losses = NULL;
    again.result = &unwanted;
    rm_norm_forward(walk->compute, rm_walk_norm_shape(walk), rm_walk_x(walk, index),
                    rm_walk_weights(walk, index)->attention_norm, saved->attention_input,
                    saved->attention_rstd);
    RM_TRY(rm_layer_attend(&again, index));
    return rm_layer_feed_forward(&again, index, walk->model->backward.d_input);
}

ringmoe_status rm_layer_remake(const rm_walk *walk, int index)
{
    switch (walk->model->settings.recompute) {
    case RINGMOE_RECOMPUTE_SELECTIVE:
        remake_normed(walk, index);
        return RINGMOE_OK;
    case RINGMOE_RECOMPUTE_FULL:
        return remake_layer(walk, index);
    default:
        return RINGMOE_OK;
    }
}

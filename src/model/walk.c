/* SPDX-License-Identifier: MIT
 *
 * Where the things of one pass through a stage are.
 */
#include "comm/sum.h"
#include "model/state.h"

rm_layer_saved *rm_walk_saved(const rm_walk *walk, int index)
{
    return &walk->stage->saved[walk->slot * walk->stage->n_layers + index];
}

rm_layer_weights *rm_walk_weights(const rm_walk *walk, int index)
{
    return &walk->model->layers[walk->stage->first_layer + index];
}

const rm_real *rm_walk_x(const rm_walk *walk, int index)
{
    return index == 0 && walk->input ? walk->input : rm_walk_saved(walk, index)->x;
}

const rm_real *rm_walk_head_x(const rm_walk *walk)
{
    const rm_stage *stage = walk->stage;
    return stage->n_layers > 0 ? stage->heads[walk->slot].x : walk->input;
}

rm_moe_pass rm_walk_moe_pass(const rm_walk *walk, int index)
{
    rm_moe_pass pass = walk->moe;
    int layer = walk->stage->first_layer + index;
    pass.label.layer = layer;
    if (pass.balance_counts)
        pass.balance_counts += (int64_t)layer * walk->model->config.num_local_experts;
    return pass;
}

void rm_walk_enter(const rm_walk *walk, int layer)
{
    rm_label here = walk->moe.label;
    here.layer = layer;
    here.operation = walk->operation;
    rm_progress_at(&walk->model->mesh->context->progress, here);
}

rm_norm_shape rm_walk_norm_shape(const rm_walk *walk)
{
    return (rm_norm_shape){.n_rows = walk->n_tokens,
                           .width = walk->model->config.hidden_size,
                           .eps = (rm_real)walk->model->config.rms_norm_eps};
}

rm_attention_shape rm_walk_attention_shape(const rm_walk *walk)
{
    return (rm_attention_shape){.n_sequences = walk->n_sequences,
                                .n_queries = walk->seq_len,
                                .n_heads = walk->model->parts.n_heads,
                                .n_kv_heads = walk->model->parts.n_kv_heads,
                                .head_dim = walk->model->config.head_dim};
}

ringmoe_status rm_sum_parts(const rm_walk *walk, rm_real *data, int64_t width)
{
    ringmoe_context *context = walk->model->mesh->context;
    return rm_sum(&walk->model->mesh->tensor, data, walk->n_tokens * width, walk->compute,
                  &context->times, &context->error);
}

/* SPDX-License-Identifier: MIT
 *
 * How a model is cut: layers into stages, experts over the expert axis, heads, inner columns
 * and the vocabulary over the tensor axis; and which cuts a model allows.
 */
#include "model/state.h"

int rm_stage_of_layer(const rm_partition *partition, int layer)
{
    int stage = 0;
    while (partition->bounds[stage + 1] <= layer) stage++;
    return stage;
}

int rm_chunks_choose(const ringmoe_model_config *config, const ringmoe_mesh_dims *dims)
{
    enum { CHUNKS_TO_OVERLAP = 4 };
    int n_layers = config->num_hidden_layers;
    if (dims->pipeline > 1 || dims->data * dims->expert == 1) return 1;
    return n_layers < CHUNKS_TO_OVERLAP ? n_layers : CHUNKS_TO_OVERLAP;
}

void rm_partition_evenly(rm_partition *partition, int n_layers)
{
    for (int stage = 0; stage <= partition->n_stages; stage++)
        partition->bounds[stage] = (int)((int64_t)stage * n_layers / partition->n_stages);
}

void rm_placement_complete(const ringmoe_model_config *config, rm_placement *placement)
{
    rm_partition *partition = &placement->partition;
    if (placement->expert_ranks == 0) placement->expert_ranks = 1;
    if (placement->tensor_ranks == 0) placement->tensor_ranks = 1;
    if (partition->n_pipeline == 0) partition->n_pipeline = 1;
    if (partition->n_stages == 0) partition->n_stages = partition->n_pipeline;
    if (partition->n_stages < 1 || partition->n_stages > RM_MAX_STAGES) return;
    if (partition->bounds[partition->n_stages] == 0)
        rm_partition_evenly(partition, config->num_hidden_layers);
}

static ringmoe_status check_stages(const ringmoe_model_config *config,
                                   const rm_partition *partition, rm_error *error)
{
    int n_stages = partition->n_stages, n_pipeline = partition->n_pipeline;
    if (n_stages < 1 || n_stages > RM_MAX_STAGES || n_pipeline < 1 ||
        n_stages % n_pipeline != 0 || n_stages / n_pipeline > RM_MAX_CHUNKS)
        return rm_fail(error, RINGMOE_ERROR_LAYOUT,
                       "%d stages on %d pipeline ranks; at most %d stages, the same number on "
                       "each rank, at most %d",
                       n_stages, n_pipeline, RM_MAX_STAGES, RM_MAX_CHUNKS);
    bool in_order = partition->bounds[0] == 0;
    for (int stage = 0; stage < n_stages; stage++)
        in_order = in_order && partition->bounds[stage] <= partition->bounds[stage + 1];
    if (!in_order || partition->bounds[n_stages] != config->num_hidden_layers)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "the bounds of %d stages do not go from layer 0 to layer %d in order",
                       n_stages, config->num_hidden_layers);
    return RINGMOE_OK;
}

/* Every tensor rank must get something of everything that is cut. */
static ringmoe_status check_tensor(const ringmoe_model_config *config, int tensor_ranks,
                                   rm_error *error)
{
    int least = config->vocab_size;
    if (config->num_key_value_heads % tensor_ranks != 0)
        return rm_fail(error, RINGMOE_ERROR_LAYOUT,
                       "%d key-value heads cannot be shared by %d tensor ranks; choose a "
                       "number of ranks that divides num_key_value_heads",
                       config->num_key_value_heads, tensor_ranks);
    int n_moe_layers = rm_moe_layer_count(config);
    int shared = config->shared_expert_intermediate_size;
    if (n_moe_layers > 0 && config->intermediate_size < least)
        least = config->intermediate_size;
    if (n_moe_layers > 0 && shared > 0 && shared < least) least = shared;
    if (n_moe_layers < config->num_hidden_layers && config->dense_intermediate_size < least)
        least = config->dense_intermediate_size;
    if (least < tensor_ranks)
        return rm_fail(error, RINGMOE_ERROR_LAYOUT,
                       "%d tensor ranks cannot share a dimension of %d; choose fewer",
                       tensor_ranks, least);
    return RINGMOE_OK;
}

ringmoe_status rm_placement_check(const ringmoe_model_config *config,
                                  const rm_placement *placement, rm_error *error)
{
    if (placement->expert_ranks < 1 || config->num_local_experts % placement->expert_ranks != 0)
        return rm_fail(error, RINGMOE_ERROR_LAYOUT,
                       "%d experts cannot be split over %d expert ranks; choose a number of "
                       "ranks that divides the experts",
                       config->num_local_experts, placement->expert_ranks);
    RM_TRY(check_stages(config, &placement->partition, error));
    return check_tensor(config, placement->tensor_ranks, error);
}

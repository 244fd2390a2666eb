/* SPDX-License-Identifier: MIT */
#include "train/shares.h"

rm_parameter_part rm_own_part(const ringmoe_trainer *trainer, const rm_parameter *parameter)
{
    const rm_axis *tensor = &trainer->mesh->tensor;
    return rm_parameter_part_of(parameter, tensor->size, tensor->rank);
}

rm_share rm_share_in_shard(const ringmoe_trainer *trainer, const rm_parameter *parameter)
{
    rm_space space = rm_model_space_of(trainer->model, parameter);
    if (space < 0 || parameter->tied) return (rm_share){0, 0};
    const rm_shard *shard = &trainer->shards[space];
    int64_t first = shard->first - parameter->offset, end = first + shard->n_elements;
    int64_t n_elements = rm_own_part(trainer, parameter).n_elements;
    if (first < 0) first = 0;
    if (end > n_elements) end = n_elements;
    return first < end ? (rm_share){first, end - first} : (rm_share){0, 0};
}

/* A parameter that is not cut lies on all tensor ranks. */
static bool has_own_elements(const ringmoe_trainer *trainer, const rm_parameter *parameter)
{
    return parameter->slice != RM_SLICE_NONE || trainer->mesh->tensor.rank == 0;
}

rm_share rm_share_of_shards(const ringmoe_trainer *trainer, const rm_parameter *parameter)
{
    if (!has_own_elements(trainer, parameter)) return (rm_share){0, 0};
    return rm_share_in_shard(trainer, parameter);
}

rm_real *rm_shards_at(const ringmoe_trainer *trainer, rm_real *const *values,
                      const rm_parameter *parameter, int64_t first)
{
    rm_space space = rm_model_space_of(trainer->model, parameter);
    return values[space] + (parameter->offset + first - trainer->shards[space].first);
}

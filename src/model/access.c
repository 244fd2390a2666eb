/* SPDX-License-Identifier: MIT
 *
 * What others may know of a model, and its weights.
 */
#include <string.h>
#include <xxhash.h>

#include "model/state.h"

RINGMOE_API const ringmoe_model_config *ringmoe_model_get_config(const ringmoe_model *model)
{
    return &model->config;
}

const rm_parameter_table *rm_model_parameters(const ringmoe_model *model)
{
    return &model->table;
}

ringmoe_mesh *rm_model_mesh(const ringmoe_model *model)
{
    return model->mesh;
}

int64_t rm_model_max_tokens(const ringmoe_model *model)
{
    return model->settings.max_tokens;
}

int64_t rm_model_max_sequences(const ringmoe_model *model)
{
    int64_t most = model->settings.max_tokens, asked = model->settings.max_sequences;
    return asked > 0 && asked < most ? asked : most;
}

int rm_model_chunks(const ringmoe_model *model)
{
    return model->n_chunks;
}

int rm_model_spaces(const ringmoe_model *model)
{
    return model->n_chunks * RM_N_KINDS;
}

rm_real *rm_model_space(const ringmoe_model *model, rm_space space)
{
    return model->spaces[space];
}

int64_t rm_model_space_elements(const ringmoe_model *model, rm_space space)
{
    return model->table.space_elements[space];
}

bool rm_model_holds(const ringmoe_model *model, const rm_parameter *parameter)
{
    const rm_placement *placement = &model->table.placement;
    return parameter->stage % placement->partition.n_pipeline == placement->pipeline_rank &&
           (parameter->expert_rank < 0 || parameter->expert_rank == model->mesh->expert.rank);
}

rm_space rm_model_space_of(const ringmoe_model *model, const rm_parameter *parameter)
{
    return rm_model_holds(model, parameter) ? parameter->space : -1;
}

rm_real *rm_model_weights(const ringmoe_model *model, const rm_parameter *parameter)
{
    if (!rm_parameter_has_master(parameter, &model->table.placement)) return NULL;
    return model->spaces[parameter->space] + parameter->offset;
}

int64_t rm_model_kv_width(const ringmoe_model *model)
{
    return model->parts.key_width;
}

bool rm_model_has_layer(const ringmoe_model *model, int layer)
{
    for (int chunk = 0; chunk < model->n_chunks; chunk++) {
        const rm_stage *stage = &model->stages[chunk];
        if (layer >= stage->first_layer && layer < stage->first_layer + stage->n_layers)
            return true;
    }
    return false;
}

rm_real *rm_model_router_bias(const ringmoe_model *model)
{
    return model->router_bias;
}

void rm_model_pack(ringmoe_model *model)
{
    rm_matrices_pack(&model->mesh->context->compute, model->matrices, model->n_matrices);
}

bool rm_model_pack_again(ringmoe_model *model)
{
    const rm_arena *arena = &model->packed_arena;
    XXH64_hash_t before = XXH3_64bits(arena->base, arena->used);
    rm_model_pack(model);
    return XXH3_64bits(arena->base, arena->used) == before;
}

rm_matrix *const *rm_model_matrices(const ringmoe_model *model, int *n_matrices)
{
    *n_matrices = model->n_matrices;
    return model->matrices;
}

void rm_model_poison(ringmoe_model *model)
{
    memset(model->activations_arena.base, 0xff, model->activations_arena.used);
    if (model->exchange) rm_shared_poison(model->exchange);
    model->logits_slot = -1;
}

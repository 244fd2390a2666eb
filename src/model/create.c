/* SPDX-License-Identifier: MIT
 *
 * Creation of a model: measure, reserve, lay out, then bind each matrix and norm to its place
 * in the parameter spaces by walking the parameter table in its order.
 */
#include "model/state.h"

#include <stdlib.h>

static bool held_by(const rm_parameter *parameter, int expert_rank)
{
    return parameter->expert_rank < 0 || parameter->expert_rank == expert_rank;
}

/* The parameters this rank holds, one after the other. */
typedef struct table_cursor {
    const ringmoe_model *model;
    const rm_parameter *next;
} table_cursor;

static const rm_real *next_weights(table_cursor *cursor)
{
    while (!held_by(cursor->next, cursor->model->mesh->expert.rank)) cursor->next++;
    const rm_parameter *parameter = cursor->next++;
    return cursor->model->spaces[parameter->space] + parameter->offset;
}

static void bind_moe(ringmoe_model *model, int layer, table_cursor *cursor)
{
    rm_moe_weights *moe = &model->layers[layer].moe;
    int n_experts = model->config.num_local_experts;
    moe->router.weights = next_weights(cursor);
    moe->router_noise.weights = NULL;
    moe->bias = model->router_bias ? model->router_bias + (int64_t)layer * n_experts : NULL;
    moe->shared_gate = NULL;
    for (int expert = 0; expert < n_experts / model->expert_ranks; expert++) {
        moe->experts[expert].gate.weights = next_weights(cursor);
        moe->experts[expert].down.weights = next_weights(cursor);
        moe->experts[expert].up.weights = next_weights(cursor);
    }
}

static void bind_weights(ringmoe_model *model)
{
    table_cursor cursor = {model, model->table.parameters};
    model->embedding = next_weights(&cursor);
    for (int i = 0; i < model->config.num_hidden_layers; i++) {
        rm_layer_weights *layer = &model->layers[i];
        layer->attention_norm = next_weights(&cursor);
        layer->query.weights = next_weights(&cursor);
        layer->key.weights = next_weights(&cursor);
        layer->value.weights = next_weights(&cursor);
        layer->output.weights = next_weights(&cursor);
        layer->ffn_norm = next_weights(&cursor);
        if (rm_layer_is_dense(&model->config, i)) {
            layer->dense.gate.weights = next_weights(&cursor);
            layer->dense.up.weights = next_weights(&cursor);
            layer->dense.down.weights = next_weights(&cursor);
        } else
            bind_moe(model, i, &cursor);
    }
    model->final_norm = next_weights(&cursor);
    model->head.weights =
        model->config.tie_word_embeddings ? model->embedding : next_weights(&cursor);
}

/* The matrices of a layer; returns how many. `list` NULL: only counts. */
static int list_layer(ringmoe_model *model, int index, rm_matrix **list)
{
    rm_layer_weights *layer = &model->layers[index];
    rm_matrix *attention[] = {&layer->query, &layer->key, &layer->value, &layer->output};
    rm_matrix *dense[] = {&layer->dense.gate, &layer->dense.up, &layer->dense.down};
    for (int i = 0; list && i < 4; i++) list[i] = attention[i];
    if (!rm_layer_is_dense(&model->config, index))
        return 4 + rm_moe_weights_matrices(
                       &layer->moe, &layer->settings,
                       &(rm_moe_layout){.expert_ranks = model->expert_ranks, .tensor_ranks = 1},
                       list ? list + 4 : NULL);
    for (int i = 0; list && i < 3; i++) list[4 + i] = dense[i];
    return 7;
}

static ringmoe_status list_matrices(ringmoe_model *model, rm_error *error)
{
    int n = 1;
    for (int layer = 0; layer < model->config.num_hidden_layers; layer++)
        n += list_layer(model, layer, NULL);
    model->matrices = calloc((size_t)n, sizeof(rm_matrix *));
    if (!model->matrices)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a list of %d matrices", n);
    model->matrices[model->n_matrices++] = &model->head;
    for (int layer = 0; layer < model->config.num_hidden_layers; layer++)
        model->n_matrices += list_layer(model, layer, model->matrices + model->n_matrices);
    return RINGMOE_OK;
}

/* Reserves what the measuring layout asked for. */
static ringmoe_status reserve(rm_arena *arena, rm_error *error)
{
    return rm_arena_reserve(arena, arena->used, error);
}

static ringmoe_status build(ringmoe_model *model, const rm_compute *compute, rm_error *error)
{
    rm_model_layout(model, compute);
    RM_TRY(reserve(&model->weights_arena, error));
    RM_TRY(reserve(&model->packed_arena, error));
    RM_TRY(reserve(&model->activations_arena, error));
    rm_model_layout(model, compute);
    bind_weights(model);
    return list_matrices(model, error);
}

ringmoe_status rm_model_create(ringmoe_mesh *mesh, const ringmoe_model_config *config,
                               rm_model_use use, int64_t max_tokens, int64_t seed,
                               ringmoe_model **model)
{
    rm_error *error = &mesh->context->error;
    *model = NULL;
    ringmoe_model *made = calloc(1, sizeof *made);
    if (!made) return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a model");
    ringmoe_status status =
        rm_model_prepare(config, mesh->expert.size, use, max_tokens, seed, made, error);
    made->mesh = mesh;
    if (status == RINGMOE_OK) status = build(made, &mesh->context->compute, error);
    if (status != RINGMOE_OK) ringmoe_model_destroy(&made);
    *model = made;
    return status;
}

RINGMOE_API void ringmoe_model_destroy(ringmoe_model **model)
{
    if (!model || !*model) return;
    rm_model_release(*model);
    free(*model);
    *model = NULL;
}

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
    return model->max_tokens;
}

rm_real *rm_model_space(const ringmoe_model *model, rm_space space)
{
    return model->spaces[space];
}

bool rm_model_holds(const ringmoe_model *model, const rm_parameter *parameter)
{
    return held_by(parameter, model->mesh->expert.rank);
}

rm_real *rm_model_router_bias(const ringmoe_model *model)
{
    return model->router_bias;
}

void rm_model_pack(ringmoe_model *model)
{
    rm_matrices_pack(&model->mesh->context->compute, model->matrices, model->n_matrices);
}

rm_matrix *const *rm_model_matrices(const ringmoe_model *model, int *n_matrices)
{
    *n_matrices = model->n_matrices;
    return model->matrices;
}

/* SPDX-License-Identifier: MIT
 *
 * Creation of a model: measure, reserve, lay out, then bind each matrix and norm to its place
 * in the parameter spaces by walking the parameter table in its order.
 */
#include "model/expert_cache.h"

#include <stdlib.h>

/* The parameters this rank holds, one after the other. */
typedef struct table_cursor {
    ringmoe_model *model;
    const rm_parameter *next;
} table_cursor;

static const rm_parameter *next_parameter(table_cursor *cursor)
{
    while (!rm_model_holds(cursor->model, cursor->next)) cursor->next++;
    return cursor->next++;
}

static const rm_real *next_weights(table_cursor *cursor)
{
    return rm_model_weights(cursor->model, next_parameter(cursor));
}

/* The next parameter's weights become the matrix's, which joins the model's list. */
static void bind_matrix(table_cursor *cursor, rm_matrix *matrix)
{
    ringmoe_model *model = cursor->model;
    const rm_parameter *parameter = next_parameter(cursor);
    matrix->weights = rm_model_weights(model, parameter);
    model->matrices[model->n_matrices] = matrix;
    model->matrix_parameters[model->n_matrices++] = parameter;
}

static void bind_swiglu(table_cursor *cursor, rm_swiglu *swiglu)
{
    bind_matrix(cursor, &swiglu->gate);
    bind_matrix(cursor, &swiglu->up);
    bind_matrix(cursor, &swiglu->down);
}

static void bind_moe(ringmoe_model *model, int layer, table_cursor *cursor)
{
    rm_moe_weights *moe = &model->layers[layer].moe;
    int n_experts = model->config.num_local_experts;
    bind_matrix(cursor, &moe->router);
    moe->router_noise.weights = NULL;
    moe->bias = model->router_bias ? model->router_bias + (int64_t)layer * n_experts : NULL;
    moe->shared_gate = NULL;
    for (int expert = 0; expert < n_experts / model->table.placement.expert_ranks; expert++) {
        bind_matrix(cursor, &moe->experts[expert].gate);
        bind_matrix(cursor, &moe->experts[expert].down);
        bind_matrix(cursor, &moe->experts[expert].up);
    }
    if (model->config.shared_expert_intermediate_size == 0) return;
    bind_swiglu(cursor, &moe->shared);
    moe->shared_gate = next_weights(cursor);
}

static void bind_layer(ringmoe_model *model, int index, table_cursor *cursor)
{
    rm_layer_weights *layer = &model->layers[index];
    layer->attention_norm = next_weights(cursor);
    bind_matrix(cursor, &layer->query);
    bind_matrix(cursor, &layer->key);
    bind_matrix(cursor, &layer->value);
    for (int i = 0; i < 3 && model->config.qkv_bias; i++)
        layer->head_biases[i] = next_weights(cursor);
    for (int i = 0; i < 2 && model->config.qk_norm != RINGMOE_QK_NORM_NONE; i++)
        layer->head_norms[i] = next_weights(cursor);
    bind_matrix(cursor, &layer->output);
    layer->ffn_norm = next_weights(cursor);
    if (!rm_layer_is_dense(&model->config, index)) {
        bind_moe(model, index, cursor);
        return;
    }
    bind_swiglu(cursor, &layer->dense);
}

static void bind_weights(ringmoe_model *model)
{
    table_cursor cursor = {model, model->table.parameters};
    for (int chunk = 0; chunk < model->n_chunks; chunk++) {
        const rm_stage *stage = &model->stages[chunk];
        if (stage->is_first) model->embedding = next_weights(&cursor);
        for (int i = 0; i < stage->n_layers; i++)
            bind_layer(model, stage->first_layer + i, &cursor);
        if (!stage->is_last) continue;
        model->final_norm = next_weights(&cursor);
        bind_matrix(&cursor, &model->head);
    }
}

/* Room for as many matrices as this rank could have. */
static ringmoe_status list_matrices(ringmoe_model *model, rm_error *error)
{
    const rm_parameter_table *table = &model->table;
    size_t n = 0;
    for (int i = 0; i < table->n_parameters; i++)
        n += table->parameters[i].is_matrix && rm_model_holds(model, &table->parameters[i]);
    model->matrices = calloc(n + 1, sizeof *model->matrices);
    model->matrix_parameters = calloc(n + 1, sizeof *model->matrix_parameters);
    if (model->matrices && model->matrix_parameters) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a list of %zu matrices", n);
}

/* Reserves what the measuring layout asked for. */
static ringmoe_status reserve(rm_arena *arena, rm_error *error)
{
    return rm_arena_reserve(arena, arena->used, error);
}

/* Reserves the model's own memory and says what it wants of the exchange's. */
static ringmoe_status measure(ringmoe_model *model, const rm_compute *compute,
                              rm_shared *exchange, rm_error *error)
{
    bool two_level = model->mesh->context->exchange == RINGMOE_EXCHANGE_TWO_LEVEL;
    *exchange = rm_shared_measuring(&model->mesh->expert, two_level);
    model->exchange = exchange;
    rm_model_layout(model, compute);
    model->exchange = NULL;
    RM_TRY(reserve(&model->weights_arena, error));
    RM_TRY(reserve(&model->packed_arena, error));
    RM_TRY(reserve(&model->activations_arena, error));
    return reserve(&model->layers_arena, error);
}

/* One verdict for all ranks of the layers: those of an expert axis share the exchange's memory,
 * and tensor ranks work side by side. */
static ringmoe_status agree(const ringmoe_mesh *mesh, ringmoe_status status, rm_error *error)
{
    status = rm_agree(&mesh->expert, status, error);
    return rm_agree(&mesh->tensor, status, error);
}

/* A model with its own memory, and what it wants of the exchange's. Local. */
static ringmoe_status begin(ringmoe_mesh *mesh, const ringmoe_model_config *config,
                            const rm_model_settings *settings, const rm_placement *placement,
                            ringmoe_model **model, rm_shared *exchange)
{
    rm_error *error = &mesh->context->error;
    *model = calloc(1, sizeof **model);
    if (!*model) return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a model");
    RM_TRY(rm_model_prepare(config, settings, placement, *model, error));
    (*model)->mesh = mesh;
    return measure(*model, &mesh->context->compute, exchange, error);
}

static ringmoe_status build(ringmoe_model *model, const rm_shared *exchange, rm_error *error)
{
    const ringmoe_mesh *mesh = model->mesh;
    bool may_share = mesh->context->exchange != RINGMOE_EXCHANGE_MESSAGES;
    ringmoe_status status = rm_shared_create(&mesh->expert, exchange, model->moe_expected[1],
                                             may_share, &model->exchange, error);
    RM_TRY(rm_agree(&mesh->tensor, status, error));
    RM_TRY(rm_shared_join(model->exchange, &mesh->tensor, error));
    rm_model_layout(model, &mesh->context->compute);
    RM_TRY(agree(mesh, list_matrices(model, error), error));
    bind_weights(model);
    return RINGMOE_OK;
}

static ringmoe_status place(const ringmoe_mesh *mesh, const rm_model_settings *settings,
                            rm_placement *placement, rm_error *error)
{
    const rm_partition *partition = &settings->partition;
    *placement = (rm_placement){.partition = *partition,
                                .expert_ranks = mesh->expert.size,
                                .tensor_ranks = mesh->tensor.size,
                                .pipeline_rank = mesh->pipeline.rank,
                                .tensor_rank = mesh->tensor.rank,
                                .packed_only = settings->packed_only};
    if (partition->n_stages == 0) placement->partition.n_pipeline = mesh->pipeline.size;
    if (placement->partition.n_pipeline == mesh->pipeline.size) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_LAYOUT,
                   "a partition for %d pipeline ranks on a mesh of %d",
                   placement->partition.n_pipeline, mesh->pipeline.size);
}

ringmoe_status rm_model_create(ringmoe_mesh *mesh, const ringmoe_model_config *config,
                               const rm_model_settings *settings, ringmoe_model **model)
{
    rm_error *error = &mesh->context->error;
    rm_placement placement;
    rm_shared exchange;
    *model = NULL;
    RM_TRY(place(mesh, settings, &placement, error));
    ringmoe_status status = begin(mesh, config, settings, &placement, model, &exchange);
    status = agree(mesh, status, error);
    if (status == RINGMOE_OK) status = build(*model, &exchange, error);
    if (status != RINGMOE_OK) ringmoe_model_destroy(model);
    return status;
}

RINGMOE_API void ringmoe_model_destroy(ringmoe_model **model)
{
    if (!model || !*model) return;
    rm_shared_free(&(*model)->exchange);
    rm_expert_cache_free(*model);
    rm_model_release(*model);
    free(*model);
    *model = NULL;
}

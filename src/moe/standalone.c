/* SPDX-License-Identifier: MIT
 *
 * Life of the public layer: settings agreed over the mesh, one arena for everything,
 * destruction. Its steps are in standalone_step.c, its parameters in standalone_parameters.c.
 */
#include "moe/standalone.h"

#include <stdlib.h>

#include "moe/settings.h"
#include "tensor/inner.h"

/* Leaves of a space: microbatch i of dense rank r is leaf r * n_microbatches + i; an expert
 * rank takes those of all ranks of its expert axis. */
static rm_tree_shape tree_shape(const ringmoe_moe *layer, int space)
{
    const ringmoe_mesh *mesh = layer->mesh;
    bool dense = space == RM_MOE_DENSE;
    int per_source = layer->settings.n_microbatches;
    return (rm_tree_shape){.n_elements = layer->spaces[space].n_elements,
                           .n_leaves = mesh->dense.size * per_source,
                           .leaves_per_source = per_source,
                           .first_source =
                               dense ? mesh->dense.rank : mesh->data.rank * mesh->expert.size,
                           .n_sources = dense ? 1 : mesh->expert.size};
}

static ringmoe_status space_layout(ringmoe_moe *layer, int index, rm_arena *arena)
{
    rm_moe_space *space = &layer->spaces[index];
    rm_tree_shape shape = tree_shape(layer, index);
    space->axis = index == RM_MOE_DENSE ? &layer->mesh->dense : &layer->mesh->data;
    space->n_sources = shape.n_sources;
    space->values = RM_TAKE(arena, space->n_elements, rm_real);
    space->gradients = RM_TAKE(arena, space->n_elements, rm_real);
    space->bounds = RM_TAKE(arena, space->axis->size + 1, int64_t);
    space->leaves = RM_TAKE(arena, space->n_sources, rm_sink);
    return rm_tree_layout(&shape, arena, &space->tree, &layer->mesh->context->error);
}

static rm_moe_layout moe_layout(const ringmoe_moe *layer)
{
    const ringmoe_mesh *mesh = layer->mesh;
    return (rm_moe_layout){.expert_ranks = mesh->expert.size,
                           .tensor_ranks = mesh->tensor.size,
                           .tensor_rank = mesh->tensor.rank,
                           .with_backward = true,
                           .reproducible = layer->settings.reproducible != 0,
                           .precision = mesh->context->compute.precision,
                           .shared_precision = mesh->context->compute.precision};
}

static ringmoe_status layout(ringmoe_moe *layer, rm_arena *arena, rm_shared *shared,
                             int64_t expected[2])
{
    const ringmoe_moe_settings *settings = &layer->settings;
    int n = settings->n_experts;
    for (int i = 0; i < RM_MOE_SPACES; i++) RM_TRY(space_layout(layer, i, arena));
    rm_moe_layout spread = moe_layout(layer);
    rm_moe_weights_layout(&layer->weights, &layer->mesh->context->compute, settings, &spread,
                          arena);
    if (settings->bias_rate > 0) layer->weights.bias = RM_TAKE(arena, n, rm_real);
    layer->matrices = RM_TAKE(arena, layer->n_matrices, rm_matrix *);
    layer->sinks.experts = RM_TAKE(arena, n, rm_swiglu_sinks);
    layer->pass_counts = RM_TAKE(arena, n, int64_t);
    layer->step_counts = RM_TAKE(arena, n, int64_t);
    layer->last_counts = RM_TAKE(arena, n, int64_t);
    rm_moe_workspace *workspace;
    rm_moe_workspace_layout(&workspace, settings, &spread, arena, shared, expected);
    rm_moe_saved_layout(&layer->saved, workspace, settings, &spread, arena, shared, expected);
    return RINGMOE_OK;
}

/* What the layer takes, in its own memory and in that of the exchange. */
typedef struct layer_sizes {
    rm_arena arena;
    rm_shared shared;
    int64_t expected[2];
} layer_sizes;

static ringmoe_status measure(ringmoe_moe *layer, layer_sizes *sizes)
{
    bool two_level = layer->mesh->context->exchange == RINGMOE_EXCHANGE_TWO_LEVEL;
    *sizes = (layer_sizes){.shared = rm_shared_measuring(&layer->mesh->expert, two_level)};
    layer->n_local = layer->settings.n_experts / layer->mesh->expert.size;
    RM_TRY(rm_moe_parameters_create(layer));
    rm_moe_layout spread = moe_layout(layer);
    layer->n_matrices =
        rm_moe_weights_matrices(&layer->weights, &layer->settings, &spread, NULL);
    return layout(layer, &sizes->arena, &sizes->shared, sizes->expected);
}

static ringmoe_status build(ringmoe_moe *layer, const layer_sizes *sizes)
{
    rm_error *error = &layer->mesh->context->error;
    layer->arena.overflow = sizes->arena.overflow;
    RM_TRY(rm_arena_reserve(&layer->arena, sizes->arena.used, error));
    RM_TRY(layout(layer, &layer->arena, layer->shared, NULL));
    for (int i = 0; i < RM_MOE_SPACES; i++) {
        rm_moe_space *space = &layer->spaces[i];
        for (int r = 0; r <= space->axis->size; r++)
            space->bounds[r] = space->n_elements * r / space->axis->size;
    }
    rm_moe_layout spread = moe_layout(layer);
    rm_moe_parameters_bind(layer);
    rm_moe_weights_matrices(&layer->weights, &layer->settings, &spread, layer->matrices);
    rm_moe_parameters_initialize(layer);
    return ringmoe_moe_weights_changed(layer);
}

/* Over the dense ranks, and then those of each over the tensor axis: over all of a stage. */
static ringmoe_status agree(const ringmoe_mesh *mesh, ringmoe_status status)
{
    rm_error *error = &mesh->context->error;
    status = rm_agree(&mesh->dense, status, error);
    return rm_agree(&mesh->tensor, status, error);
}

static ringmoe_status check_settings(const ringmoe_mesh *mesh,
                                     const ringmoe_moe_settings *settings)
{
    rm_error *error = &mesh->context->error;
    int n_ranks = mesh->tensor.size;
    RM_TRY(rm_moe_settings_check(settings, mesh->expert.size, error));
    if (settings->reproducible && RM_INNER_BLOCKS % n_ranks != 0)
        return rm_fail(
            error, RINGMOE_ERROR_LAYOUT,
            "%d tensor ranks; reproducibly inner dimensions are summed in %d blocks, so "
            "the tensor ranks can be 1, 2 or 4",
            n_ranks, RM_INNER_BLOCKS);
    return RINGMOE_OK;
}

/* Checks the settings everywhere. The buffers fit the largest max_tokens of any rank, since a
 * rank's tokens may all go to one expert of another. */
static ringmoe_status agree_on_settings(const ringmoe_mesh *mesh,
                                        ringmoe_moe_settings *settings)
{
    rm_error *error = &mesh->context->error;
    RM_TRY(rm_allreduce(&mesh->dense, &settings->max_tokens, 1, MPI_INT64_T, MPI_MAX, error));
    RM_TRY(rm_allreduce(&mesh->tensor, &settings->max_tokens, 1, MPI_INT64_T, MPI_MAX, error));
    RM_TRY(agree(mesh, check_settings(mesh, settings)));
    ringmoe_status status = rm_moe_settings_agree(&mesh->dense, settings, error);
    RM_TRY(rm_agree(&mesh->tensor, status, error));
    return rm_moe_settings_agree(&mesh->tensor, settings, error);
}

static ringmoe_status begin_layer(ringmoe_mesh *mesh, const ringmoe_moe_settings *settings,
                                  ringmoe_moe **layer, layer_sizes *sizes)
{
    *layer = calloc(1, sizeof **layer);
    if (!*layer)
        return rm_fail(&mesh->context->error, RINGMOE_ERROR_MEMORY, "no memory for a layer");
    (*layer)->mesh = mesh;
    (*layer)->settings = *settings;
    return measure(*layer, sizes);
}

static ringmoe_status make_layer(ringmoe_mesh *mesh, const ringmoe_moe_settings *settings,
                                 ringmoe_moe **layer)
{
    rm_error *error = &mesh->context->error;
    layer_sizes sizes;
    RM_TRY(agree(mesh, begin_layer(mesh, settings, layer, &sizes)));
    ringmoe_status status = rm_shared_create(
        &mesh->expert, &sizes.shared, sizes.expected[1],
        mesh->context->exchange != RINGMOE_EXCHANGE_MESSAGES, &(*layer)->shared, error);
    RM_TRY(agree(mesh, status));
    RM_TRY(rm_shared_join((*layer)->shared, &mesh->tensor, error));
    return agree(mesh, build(*layer, &sizes));
}

ringmoe_status ringmoe_moe_create(ringmoe_mesh *mesh, const ringmoe_moe_settings *settings,
                                  ringmoe_moe **layer)
{
    if (!mesh) return RINGMOE_ERROR_ARGUMENT;
    rm_error *error = &mesh->context->error;
    ringmoe_status status = RINGMOE_OK;
    if (layer) *layer = NULL;
    if (!settings || !layer)
        status = rm_fail(error, RINGMOE_ERROR_ARGUMENT, "%s is NULL",
                         settings ? "layer" : "settings");
    RM_TRY(agree(mesh, status));
    ringmoe_moe_settings agreed = *settings;
    RM_TRY(agree_on_settings(mesh, &agreed));
    status = make_layer(mesh, &agreed, layer);
    if (status != RINGMOE_OK) ringmoe_moe_destroy(layer);
    return status;
}

void ringmoe_moe_destroy(ringmoe_moe **layer)
{
    if (!layer || !*layer) return;
    rm_shared_free(&(*layer)->shared);
    rm_arena_free(&(*layer)->arena);
    free((*layer)->parameters);
    free(*layer);
    *layer = NULL;
}

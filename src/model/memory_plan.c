/* SPDX-License-Identifier: MIT
 *
 * Bytes of a model before it is made: the layout code on measuring arenas, and for training the
 * reduction trees, this rank's share of the optimizer's moments and the threads' scratch.
 */
#include "format/config.h"
#include "model/state.h"

ringmoe_status rm_model_measure(const rm_compute *compute, const ringmoe_model_config *config,
                                const rm_model_settings *settings,
                                const rm_placement *placement, ringmoe_memory_plan *plan,
                                rm_error *error)
{
    *plan = (ringmoe_memory_plan){0};
    ringmoe_model model;
    rm_shared exchange = rm_shared_measuring(NULL);
    ringmoe_status status = rm_model_prepare(config, settings, placement, &model, error);
    model.exchange = &exchange;
    if (status == RINGMOE_OK) rm_model_layout(&model, compute);
    if (model.weights_arena.overflow || model.packed_arena.overflow ||
        model.activations_arena.overflow || model.layers_arena.overflow)
        status = rm_fail(error, RINGMOE_ERROR_MEMORY,
                         "the sizes of this model exceed the address space; use a smaller "
                         "model or batch");
    plan->parameters = (int64_t)model.weights_arena.used;
    plan->packed = (int64_t)model.packed_arena.used;
    plan->activations = (int64_t)model.activations_arena.used + model.moe_expected[0];
    plan->exchange = model.moe_expected[1];
    plan->total = plan->parameters + plan->packed + plan->activations + plan->exchange;
    rm_model_release(&model);
    return status;
}

static ringmoe_status check_batch(const ringmoe_batch_shape *batch, ringmoe_mesh_dims dims,
                                  rm_error *error)
{
    int64_t ranks = (int64_t)dims.data * dims.expert;
    if (batch->seq_len < 1 || batch->microbatch < 1 || batch->n_microbatches < 1 ||
        batch->microbatch > INT32_MAX / batch->seq_len)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "%lld microbatches of %lld sequences of %lld tokens; each must be at "
                       "least 1 and a microbatch at most %d tokens",
                       (long long)batch->n_microbatches, (long long)batch->microbatch,
                       (long long)batch->seq_len, INT32_MAX);
    if (batch->n_microbatches > RM_MICROBATCHES_MOST)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "a global batch of %lld microbatches; at most %d: give larger ones",
                       (long long)batch->n_microbatches, RM_MICROBATCHES_MOST);
    if (batch->n_microbatches % ranks != 0)
        return rm_fail(error, RINGMOE_ERROR_LAYOUT,
                       "%lld microbatches do not divide over %lld ranks; make the global batch "
                       "a multiple of microbatch times ranks",
                       (long long)batch->n_microbatches, (long long)ranks);
    return RINGMOE_OK;
}

/* Adds what one space takes for training: `axis_size` ranks hold it, and a rank's tree takes
 * `n_sources` leaves at once (comm/tree.h). */
static ringmoe_status add_training(const rm_parameter_table *table, rm_kind space,
                                   ringmoe_mesh_dims dims, int n_microbatches,
                                   ringmoe_memory_plan *plan, rm_error *error)
{
    bool dense = space == RM_KIND_DENSE;
    int ranks = dims.data * dims.expert, axis_size = dense ? ranks : dims.data;
    rm_tree_shape shape = {.n_elements = table->space_elements[space],
                           .n_leaves = n_microbatches,
                           .leaves_per_source = n_microbatches / ranks,
                           .n_sources = dense ? 1 : dims.expert};
    rm_arena arena = {0};
    rm_tree *not_made;
    if (shape.n_elements == 0) return RINGMOE_OK;
    RM_TRY(rm_tree_layout(&shape, &arena, &not_made, error));
    if (arena.overflow)
        return rm_fail(error, RINGMOE_ERROR_MEMORY,
                       "the gradients of this model exceed the address space");
    int64_t bytes = shape.n_elements * (int64_t)sizeof(rm_real);
    int64_t gradients = bytes * rm_tree_buffers(&shape);
    plan->gradients += gradients;
    plan->exchange += (int64_t)arena.used - gradients;
    plan->optimizer += 2 * (bytes / axis_size);
    return RINGMOE_OK;
}

/* What the threads touch of their scratch: as much as the largest product. */
static int64_t scratch_bytes(const rm_compute *compute, const ringmoe_model_config *config,
                             int64_t n_tokens)
{
    int64_t hidden = config->hidden_size, most = 0;
    int64_t query = (int64_t)config->num_attention_heads * config->head_dim;
    int64_t sizes[] = {
        rm_products_scratch(compute, n_tokens, config->vocab_size, hidden),
        rm_products_scratch(compute, n_tokens, query, hidden),
        rm_products_scratch(compute, n_tokens * config->num_experts_per_tok,
                            config->intermediate_size, hidden),
    };
    for (int i = 0; i < 3; i++)
        if (sizes[i] > most) most = sizes[i];
    return most;
}

static ringmoe_status plan_training(const ringmoe_model_config *config, ringmoe_mesh_dims dims,
                                    int n_microbatches, ringmoe_memory_plan *plan,
                                    rm_error *error)
{
    rm_parameter_table table;
    rm_placement placement = {.expert_ranks = dims.expert};
    RM_TRY(rm_parameter_table_create(config, &placement, &table, error));
    ringmoe_status status = RINGMOE_OK;
    for (int space = 0; space < RM_N_KINDS && status == RINGMOE_OK; space++)
        status = add_training(&table, space, dims, n_microbatches, plan, error);
    rm_parameter_table_free(&table);
    return status;
}

RINGMOE_API ringmoe_status ringmoe_model_memory_plan(
    ringmoe_context *context, const ringmoe_model_config *config, const ringmoe_mesh_dims *dims,
    ringmoe_precision precision, const ringmoe_batch_shape *batch, ringmoe_memory_plan *plan)
{
    rm_error *error = &context->error;
    if (!config || !batch || !plan)
        return rm_fail(
            error, RINGMOE_ERROR_ARGUMENT,
            "a memory plan needs a config, a batch and a place for the result; one of "
            "them is NULL");
    ringmoe_mesh_dims chosen = dims ? *dims : (ringmoe_mesh_dims){0};
    bool given = chosen.data > 0 && chosen.expert > 0;
    int64_t n_ranks = given ? (int64_t)chosen.data * chosen.expert : context->world.size;
    RM_TRY(rm_config_check(config, error));
    if (n_ranks > RM_MICROBATCHES_MOST)
        return rm_fail(error, RINGMOE_ERROR_LAYOUT, "%d x %d ranks are %lld; at most %d",
                       chosen.data, chosen.expert, (long long)n_ranks, RM_MICROBATCHES_MOST);
    RM_TRY(rm_mesh_choose((int)n_ranks, config->num_local_experts, &chosen, error));
    RM_TRY(check_batch(batch, chosen, error));
    rm_compute compute = context->compute;
    compute.precision = precision;
    rm_model_settings settings = {.use = RM_MODEL_TRAINING,
                                  .max_tokens = batch->seq_len * batch->microbatch};
    rm_placement placement = {.expert_ranks = chosen.expert};
    RM_TRY(rm_model_measure(&compute, config, &settings, &placement, plan, error));
    RM_TRY(plan_training(config, chosen, (int)batch->n_microbatches, plan, error));
    plan->activations += scratch_bytes(&compute, config, batch->seq_len * batch->microbatch);
    plan->total = plan->parameters + plan->packed + plan->gradients + plan->optimizer +
                  plan->activations + plan->exchange;
    return RINGMOE_OK;
}

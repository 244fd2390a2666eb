/* SPDX-License-Identifier: MIT
 *
 * Bytes of a model before it is made: the layout code on measuring arenas, and for training the
 * reduction trees, a rank's share of the optimizer's moments, the pipeline's buffers and the
 * threads' scratch; for each pipeline rank, since the plan is that of the rank that needs most.
 */
#include "format/config.h"
#include "model/state.h"
#include "pipeline/ring_plan.h"

ringmoe_status rm_model_measure(const rm_compute *compute, const ringmoe_model_config *config,
                                const rm_model_settings *settings,
                                const rm_placement *placement, const rm_shared *shared,
                                ringmoe_memory_plan *plan, rm_error *error)
{
    *plan = (ringmoe_memory_plan){0};
    ringmoe_model model;
    rm_shared exchange = *shared;
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
    if (batch->chunks < 0 || batch->recompute < RINGMOE_RECOMPUTE_NONE ||
        batch->recompute > RINGMOE_RECOMPUTE_FULL)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "chunks is %lld and recompute %lld; chunks must be at least 0 and "
                       "recompute one of ringmoe_recompute's values",
                       (long long)batch->chunks, (long long)batch->recompute);
    if (batch->reproducible && RM_INNER_BLOCKS % dims.tensor != 0)
        return rm_fail(error, RINGMOE_ERROR_LAYOUT,
                       "reproducible sums are made in %d fixed blocks, which %d tensor ranks "
                       "cannot share; use 1, 2 or 4, or leave reproducible off",
                       RM_INNER_BLOCKS, dims.tensor);
    RM_TRY(rm_schedule_check_name(batch->schedule, sizeof batch->schedule, error));
    if (batch->n_microbatches % ranks != 0)
        return rm_fail(error, RINGMOE_ERROR_LAYOUT,
                       "%lld microbatches do not divide over %lld ranks; make the global batch "
                       "a multiple of microbatch times ranks",
                       (long long)batch->n_microbatches, (long long)ranks);
    return RINGMOE_OK;
}

/* What the threads touch of their scratch: as much as the largest product. */
static int64_t scratch_bytes(const rm_compute *compute, const ringmoe_model_config *config,
                             int64_t n_tokens)
{
    int64_t hidden = config->hidden_size, most = 0;
    bool has_dense = rm_moe_layer_count(config) < config->num_hidden_layers;
    int64_t query = (int64_t)config->num_attention_heads * config->head_dim;
    int64_t sizes[] = {
        rm_products_scratch(compute, n_tokens, config->vocab_size, hidden),
        rm_products_scratch(compute, n_tokens, query, hidden),
        rm_products_scratch(compute, n_tokens * config->num_experts_per_tok,
                            config->intermediate_size, hidden),
        rm_products_scratch(compute, n_tokens, config->shared_expert_intermediate_size, hidden),
        rm_products_scratch(compute, has_dense ? n_tokens : 0, config->dense_intermediate_size,
                            hidden),
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i] > most) most = sizes[i];
    return most;
}

/* A layout to be planned, and one rank of it. */
typedef struct planned {
    const rm_compute *compute;
    const ringmoe_model_config *config;
    ringmoe_mesh_dims dims;
    const ringmoe_batch_shape *batch;
    const ringmoe_schedule *schedule;
    int n_chunks;
    rm_shared shared; /* for measuring the exchange */
    rm_model_settings settings;
    rm_placement placement;
} planned;

/* Adds what one space takes for training: `axis_size` ranks hold it, and a rank's tree takes
 * `n_sources` leaves at once (comm/tree.h). A tied head has no moments. */
static ringmoe_status add_space(const planned *work, const rm_parameter_table *table,
                                rm_space space, ringmoe_memory_plan *plan, rm_error *error)
{
    bool dense = space % RM_N_KINDS == RM_KIND_DENSE;
    int ranks = work->dims.data * work->dims.expert;
    int n_leaves = (int)work->batch->n_microbatches;
    const rm_parameter *head = rm_table_tied_head(table);
    rm_tree_shape shape = {.n_elements = table->space_elements[space],
                           .n_leaves = n_leaves,
                           .leaves_per_source = n_leaves / ranks,
                           .n_sources = dense ? 1 : work->dims.expert};
    rm_arena arena = {0};
    rm_tree *not_made;
    if (shape.n_elements == 0) return RINGMOE_OK;
    RM_TRY(rm_tree_layout(&shape, &arena, &not_made, error));
    if (arena.overflow)
        return rm_fail(error, RINGMOE_ERROR_MEMORY,
                       "the gradients of this model exceed the address space");
    int64_t bytes = shape.n_elements * (int64_t)sizeof(rm_real);
    int64_t gradients = bytes * rm_tree_buffers(&shape), updated = bytes;
    bool is_last = work->placement.pipeline_rank == work->dims.pipeline - 1;
    if (head && is_last && head->space == space)
        updated = head->offset * (int64_t)sizeof(rm_real);
    plan->gradients += gradients;
    plan->exchange += (int64_t)arena.used - gradients;
    plan->optimizer += 2 * (updated / (dense ? ranks : work->dims.data));
    return RINGMOE_OK;
}

/* Inputs of stages are kept by the pipeline as long as their microbatches; and each chunk has
 * an output and two gradients on their way. */
static int64_t pipeline_bytes(const planned *work)
{
    int64_t n_kept = 0, n_stages = work->placement.partition.n_stages;
    for (int chunk = 0; n_stages > 1 && chunk < work->n_chunks; chunk++)
        n_kept += work->settings.n_slots[chunk] + 3;
    return n_kept * work->settings.max_tokens * work->config->hidden_size *
           (int64_t)sizeof(rm_real);
}

/* The plan of the rank of work->placement. */
static ringmoe_status plan_rank(const planned *work, ringmoe_memory_plan *plan, rm_error *error)
{
    rm_parameter_table table;
    RM_TRY(rm_model_measure(work->compute, work->config, &work->settings, &work->placement,
                            &work->shared, plan, error));
    RM_TRY(rm_parameter_table_create(work->config, &work->placement, &table, error));
    ringmoe_status status = RINGMOE_OK;
    for (int space = 0; space < work->n_chunks * RM_N_KINDS && status == RINGMOE_OK; space++)
        status = add_space(work, &table, space, plan, error);
    rm_parameter_table_free(&table);
    plan->activations += scratch_bytes(work->compute, work->config, work->settings.max_tokens);
    plan->exchange += pipeline_bytes(work) +
                      rm_ring_plan_bytes(work->schedule, work->placement.pipeline_rank);
    plan->total = plan->parameters + plan->packed + plan->gradients + plan->optimizer +
                  plan->activations + plan->exchange;
    return status;
}

static void set_slots(planned *work)
{
    int rank = work->placement.pipeline_rank;
    bool is_split = rm_schedule_is_split(work->schedule, rank);
    for (int chunk = 0; chunk < work->n_chunks; chunk++)
        work->settings.n_slots[chunk] = ringmoe_schedule_slots(work->schedule, rank, chunk);
    work->settings.split_backward = is_split;
    if (is_split && work->settings.recompute == RINGMOE_RECOMPUTE_FULL)
        work->settings.recompute = RINGMOE_RECOMPUTE_SELECTIVE;
}

/* Of all pipeline ranks the one that needs most. The last tensor rank has the largest parts. */
static ringmoe_status plan_ranks(planned *work, ringmoe_memory_plan *plan, rm_error *error)
{
    *plan = (ringmoe_memory_plan){0};
    work->placement = (rm_placement){
        .partition = {.n_stages = work->dims.pipeline * work->n_chunks,
                      .n_pipeline = work->dims.pipeline},
        .expert_ranks = work->dims.expert,
        .tensor_ranks = work->dims.tensor,
        .tensor_rank = work->dims.tensor - 1,
    };
    for (int rank = 0; rank < work->dims.pipeline; rank++) {
        ringmoe_memory_plan own;
        work->placement.pipeline_rank = rank;
        set_slots(work);
        RM_TRY(plan_rank(work, &own, error));
        if (own.total > plan->total) *plan = own;
    }
    return RINGMOE_OK;
}

static ringmoe_status plan_layout(ringmoe_context *context, planned *work,
                                  ringmoe_memory_plan *plan)
{
    const ringmoe_batch_shape *batch = work->batch;
    const ringmoe_mesh_dims *dims = &work->dims;
    int64_t n_chunks = batch->chunks > 0 ? batch->chunks : rm_chunks_choose(work->config, dims);
    if (n_chunks > RM_MAX_CHUNKS || n_chunks * dims->pipeline > RM_MAX_STAGES)
        return rm_fail(&context->error, RINGMOE_ERROR_LAYOUT,
                       "%lld chunks on each of %d pipeline ranks; at most %d a rank and %d in "
                       "all",
                       (long long)n_chunks, dims->pipeline, RM_MAX_CHUNKS, RM_MAX_STAGES);
    const char *chosen = rm_schedule_choose(dims->pipeline, n_chunks);
    ringmoe_schedule *schedule;
    RM_TRY(ringmoe_schedule_create(
        context, batch->schedule[0] ? batch->schedule : chosen, dims->pipeline,
        (int)batch->n_microbatches / (dims->data * dims->expert), (int)n_chunks, &schedule));
    work->schedule = schedule;
    work->n_chunks = (int)n_chunks;
    ringmoe_status status = plan_ranks(work, plan, &context->error);
    ringmoe_schedule_destroy(&schedule);
    return status;
}

static ringmoe_status choose_dims(const ringmoe_context *context,
                                  const ringmoe_model_config *config, ringmoe_mesh_dims *dims,
                                  rm_error *error)
{
    const int sizes[] = {dims->pipeline > 0 ? dims->pipeline : 1,
                         dims->tensor > 0 ? dims->tensor : 1, dims->data, dims->expert};
    int64_t n_ranks = 1, most = RM_MICROBATCHES_MOST;
    bool given = dims->data > 0 && dims->expert > 0;
    for (int i = 0; given && i < 4 && n_ranks <= most; i++) n_ranks *= sizes[i];
    if (!given) n_ranks = context->world.size;
    if (n_ranks > most)
        return rm_fail(error, RINGMOE_ERROR_LAYOUT,
                       "%d x %d x %d x %d ranks are %lld or more; at most %lld", dims->pipeline,
                       dims->data, dims->expert, dims->tensor, (long long)n_ranks,
                       (long long)most);
    return rm_mesh_choose((int)n_ranks, config->num_local_experts, dims, error);
}

/* The fewest ranks of an expert axis that a rank finds on its node, itself among them. Of ranks
 * that are not there it is taken that they share one. */
static int count_near(const ringmoe_context *context, const ringmoe_mesh_dims *dims)
{
    int n_ranks = dims->pipeline * dims->data * dims->expert * dims->tensor;
    int fewest = dims->expert;
    if (context->exchange == RINGMOE_EXCHANGE_MESSAGES) return 1;
    if (n_ranks != context->world.size) return dims->expert;
    for (int rank = 0; rank < n_ranks; rank++) {
        int first = rank - rank / dims->tensor % dims->expert * dims->tensor, n_near = 0;
        for (int e = 0; e < dims->expert; e++)
            n_near += context->nodes[first + e * dims->tensor] == context->nodes[rank];
        if (n_near < fewest) fewest = n_near;
    }
    return fewest;
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
    rm_compute compute = context->compute;
    compute.precision = precision;
    planned work = {.compute = &compute, .config = config, .batch = batch};
    if (dims) work.dims = *dims;
    RM_TRY(rm_config_check(config, error));
    RM_TRY(choose_dims(context, config, &work.dims, error));
    work.shared = rm_shared_measuring(NULL, context->exchange == RINGMOE_EXCHANGE_TWO_LEVEL);
    work.shared.n_near = count_near(context, &work.dims);
    RM_TRY(check_batch(batch, work.dims, error));
    work.settings = (rm_model_settings){.use = RM_MODEL_TRAINING,
                                        .reproducible = batch->reproducible != 0,
                                        .max_tokens = batch->seq_len * batch->microbatch,
                                        .recompute = (ringmoe_recompute)batch->recompute,
                                        .shadows = batch->shadow != RINGMOE_SHADOW_OFF};
    return plan_layout(context, &work, plan);
}

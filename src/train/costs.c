/* SPDX-License-Identifier: MIT
 *
 * Every rank runs models of one layer by itself, of the sizes that it has a share of:
 *
 *   dense layer, tiny vocabulary                    -> dense
 *   MoE layer, tiny vocabulary                      -> moe
 *   one of these with the model's own vocabulary    -> head, by what it takes longer
 */
#include "train/costs.h"

#include <stdlib.h>

#include "base/clock.h"

enum { TINY_VOCABULARY = 16, MOST_TOKENS = 512, RUNS = 3 };

/* A model of one layer, with what a pass through it needs. */
typedef struct probe {
    ringmoe_mesh mesh; /* of this rank alone */
    ringmoe_model *model;
    int32_t *tokens;
    rm_real *gradients[RM_N_KINDS];
    rm_batch batch;
} probe;

static int share(int n, int ranks, int least)
{
    int part = n / ranks;
    return part > least ? part : least;
}

/* The layer as one rank of the mesh has it. */
static ringmoe_model_config config_of_probe(const ringmoe_mesh *mesh,
                                            const ringmoe_model_config *config, bool dense,
                                            int vocab_size)
{
    ringmoe_model_config layer = *config;
    int tensor = mesh->tensor.size;
    layer.num_hidden_layers = 1;
    layer.vocab_size = vocab_size;
    layer.num_key_value_heads = share(config->num_key_value_heads, tensor, 1);
    layer.num_attention_heads =
        layer.num_key_value_heads * (config->num_attention_heads / config->num_key_value_heads);
    /* Norms of whole rows, which cost next to nothing, do not fit a part of the heads. */
    if (config->qk_norm == RINGMOE_QK_NORM_ROW && tensor > 1) {
        layer.family = RINGMOE_FAMILY_MIXTRAL;
        layer.qk_norm = RINGMOE_QK_NORM_NONE;
        layer.clip_qkv = 0;
        layer.router_unnormalized = 0;
    }
    layer.dense_intermediate_size = share(config->dense_intermediate_size, tensor, 1);
    layer.intermediate_size = share(config->intermediate_size, tensor, 1);
    if (config->shared_expert_intermediate_size > 0)
        layer.shared_expert_intermediate_size =
            share(config->shared_expert_intermediate_size, tensor, 1);
    layer.is_dense_layer[0] = dense && config->num_local_experts > 0;
    if (dense)
        layer.num_local_experts = layer.num_experts_per_tok = 0;
    else
        layer.num_local_experts =
            share(config->num_local_experts, mesh->expert.size, config->num_experts_per_tok);
    return layer;
}

static ringmoe_status make_axes(ringmoe_mesh *mesh, rm_error *error)
{
    int rank = mesh->context->world.rank;
    rm_axis *axes[] = {&mesh->pipeline, &mesh->dense, &mesh->data, &mesh->expert,
                       &mesh->tensor};
    for (size_t i = 0; i < sizeof axes / sizeof *axes; i++) {
        RM_TRY(rm_axis_init(axes[i], MPI_COMM_NULL, rank, 1, error));
        rm_axis_join(axes[i], mesh->context);
    }
    return RINGMOE_OK;
}

static ringmoe_status make_batch(probe *work, const ringmoe_train_settings *settings,
                                 rm_error *error)
{
    int64_t n_sequences = MOST_TOKENS / settings->seq_len;
    if (n_sequences > settings->microbatch) n_sequences = settings->microbatch;
    if (n_sequences < 1) n_sequences = 1;
    int64_t n_tokens = n_sequences * settings->seq_len;
    work->tokens = malloc((size_t)n_tokens * sizeof *work->tokens);
    if (!work->tokens)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %lld tokens",
                       (long long)n_tokens);
    for (int64_t i = 0; i < n_tokens; i++) work->tokens[i] = (int32_t)(i * 7 % TINY_VOCABULARY);
    work->batch = (rm_batch){.tokens = work->tokens,
                             .targets = work->tokens,
                             .n_sequences = n_sequences,
                             .seq_len = settings->seq_len,
                             .scale = 1};
    return RINGMOE_OK;
}

static ringmoe_status make_model(probe *work, const ringmoe_model_config *config,
                                 const ringmoe_train_settings *settings, rm_error *error)
{
    rm_model_settings wanted = {.use = RM_MODEL_TRAINING,
                                .max_tokens = work->batch.n_sequences * work->batch.seq_len,
                                .recompute = (ringmoe_recompute)settings->recompute,
                                .reproducible = settings->reproducible};
    RM_TRY(rm_model_create(&work->mesh, config, &wanted, &work->model));
    rm_model_initialize(work->model, settings->seed);
    rm_model_pack(work->model);
    for (int kind = 0; kind < RM_N_KINDS; kind++) {
        int64_t n = rm_model_space_elements(work->model, kind);
        work->gradients[kind] = calloc((size_t)n + 1, sizeof(rm_real));
        if (!work->gradients[kind])
            return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %lld gradients",
                           (long long)n);
    }
    return RINGMOE_OK;
}

/* The fastest of a few runs; whatever else the machine does only makes one slower. */
static ringmoe_status time_passes(const probe *work, double *seconds)
{
    rm_sink dense = {work->gradients[RM_KIND_DENSE], false};
    rm_sink expert = {work->gradients[RM_KIND_EXPERT], false};
    rm_pass_result result;
    for (int run = 0; run <= RUNS; run++) {
        double start = rm_clock_seconds();
        RM_TRY(rm_model_train_pass(work->model, &work->batch, dense, &expert, NULL, NULL,
                                   &result));
        double taken = rm_clock_seconds() - start;
        if (run == 1 || (run > 1 && taken < *seconds)) *seconds = taken;
    }
    rm_progress_leave(&work->mesh.context->progress);
    return RINGMOE_OK;
}

static void free_probe(probe *work)
{
    ringmoe_model_destroy(&work->model);
    free(work->tokens);
    for (int kind = 0; kind < RM_N_KINDS; kind++) free(work->gradients[kind]);
}

static ringmoe_status time_layer(const ringmoe_mesh *mesh, const ringmoe_model_config *config,
                                 const ringmoe_train_settings *settings, bool dense,
                                 int vocab_size, double *seconds)
{
    rm_error *error = &mesh->context->error;
    probe work = {.mesh = {.context = mesh->context}};
    ringmoe_model_config layer = config_of_probe(mesh, config, dense, vocab_size);
    ringmoe_status status = make_axes(&work.mesh, error);
    if (status == RINGMOE_OK) status = make_batch(&work, settings, error);
    if (status == RINGMOE_OK) status = make_model(&work, &layer, settings, error);
    if (status == RINGMOE_OK) status = time_passes(&work, seconds);
    free_probe(&work);
    return status;
}

/* The head's with its layer's. */
static ringmoe_status time_all(const ringmoe_mesh *mesh, const ringmoe_model_config *config,
                               const ringmoe_train_settings *settings, rm_costs *costs)
{
    bool has[RM_N_KINDS] = {false};
    *costs = (rm_costs){0};
    for (int layer = 0; layer < config->num_hidden_layers; layer++)
        has[config->num_local_experts == 0 || config->is_dense_layer[layer] ? 0 : 1] = true;
    bool dense = has[0];
    int vocab_size = share(config->vocab_size, mesh->tensor.size, TINY_VOCABULARY);
    if (has[0])
        RM_TRY(time_layer(mesh, config, settings, true, TINY_VOCABULARY, &costs->dense));
    if (has[1]) RM_TRY(time_layer(mesh, config, settings, false, TINY_VOCABULARY, &costs->moe));
    return time_layer(mesh, config, settings, dense, vocab_size, &costs->head);
}

ringmoe_status rm_costs_measure(ringmoe_mesh *mesh, const ringmoe_model_config *config,
                                const ringmoe_train_settings *settings, rm_costs *costs)
{
    ringmoe_context *context = mesh->context;
    RM_TRY(rm_agree(&context->world, time_all(mesh, config, settings, costs), &context->error));
    double slowest[] = {costs->dense, costs->moe, costs->head};
    RM_TRY(rm_allreduce(&context->world, slowest, 3, MPI_DOUBLE, MPI_MAX, &context->error));
    /* The difference of the slowest: the largest difference would be some rank's mishap. */
    double alone = slowest[slowest[0] > 0 ? 0 : 1];
    double head = slowest[2] > alone ? slowest[2] - alone : 0;
    *costs = (rm_costs){slowest[0], slowest[1], head};
    return RINGMOE_OK;
}

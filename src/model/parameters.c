/* SPDX-License-Identifier: MIT
 *
 * The parameter table: every parameter of a model by its Hugging Face name, in one fixed order.
 *
 *   embedding | layer 0 | layer 1 | ... | final norm | head
 *   a layer:    norm, q k v (their biases, norms), o, norm, and gate up down or router,
 *               experts 0 .. n-1: gate down up, (shared expert, its switch)
 *
 * Offsets grow in that order without gaps: dense parameters in their stage's dense space, an
 * expert's in the expert space of the rank that holds it. Experts are split evenly, so the
 * expert spaces of all expert ranks have the same offsets. A rank of the tensor axis has its
 * rows or columns of a parameter there.
 */
#include "model/state.h"

#include <stdlib.h>

bool rm_layer_is_dense(const ringmoe_model_config *config, int layer)
{
    return config->num_local_experts == 0 || config->is_dense_layer[layer];
}

int rm_moe_layer_count(const ringmoe_model_config *config)
{
    int count = 0;
    for (int layer = 0; layer < config->num_hidden_layers; layer++)
        count += !rm_layer_is_dense(config, layer);
    return count;
}

rm_parameter_part rm_parameter_part_of(const rm_parameter *parameter, int tensor_ranks,
                                       int tensor_rank)
{
    rm_parameter_part part = {.n_rows = parameter->shape[0], .n_columns = parameter->shape[1]};
    if (parameter->slice == RM_SLICE_ROWS)
        part.n_rows = rm_split(part.n_rows, tensor_ranks, tensor_rank, &part.first_row);
    if (parameter->slice == RM_SLICE_COLUMNS)
        part.n_columns =
            rm_split(part.n_columns, tensor_ranks, tensor_rank, &part.first_column);
    part.n_elements = part.n_rows * part.n_columns;
    return part;
}

bool rm_parameter_has_master(const rm_parameter *parameter, const rm_placement *placement)
{
    bool has_other = parameter->is_matrix || parameter->role == RM_ROLE_EMBEDDING;
    return !has_other || !placement->packed_only;
}

/* The table being filled: the next entry, its stage, and the next free offset of each of the
 * stage's spaces. Stages come in order. */
typedef struct table_builder {
    const ringmoe_model_config *config;
    rm_parameter_table *table;
    int stage;
    int64_t offset[RM_N_KINDS];
} table_builder;

/* The stage's spaces have got all they get; those of the table's rank are noted. */
static void close_stage(table_builder *builder)
{
    const rm_placement *placement = &builder->table->placement;
    int n_pipeline = placement->partition.n_pipeline, chunk = builder->stage / n_pipeline;
    for (int kind = 0; kind < RM_N_KINDS; kind++) {
        if (builder->stage % n_pipeline == placement->pipeline_rank)
            builder->table->space_elements[chunk * RM_N_KINDS + kind] = builder->offset[kind];
        builder->offset[kind] = 0;
    }
}

static void enter_stage(table_builder *builder, int stage)
{
    for (; builder->stage < stage; builder->stage++) close_stage(builder);
}

/* Gives a parameter its place in its space. */
static void give_place(table_builder *builder, rm_parameter *parameter)
{
    const rm_placement *placement = &builder->table->placement;
    parameter->offset = builder->offset[parameter->kind];
    builder->offset[parameter->kind] +=
        rm_parameter_part_of(parameter, placement->tensor_ranks, placement->tensor_rank)
            .n_elements;
}

/* What is read as it is and not multiplied by, though it has two dimensions. */
static bool is_table(rm_role role)
{
    return role == RM_ROLE_EMBEDDING || role == RM_ROLE_SHARED_SWITCH;
}

static bool is_bias(rm_role role)
{
    return role == RM_ROLE_QUERY_BIAS || role == RM_ROLE_KEY_BIAS || role == RM_ROLE_VALUE_BIAS;
}

/* Where the next parameters are. */
typedef struct table_place {
    rm_kind kind;
    int layer, expert, expert_rank; /* -1: none */
} table_place;

/* Appends a parameter; with columns 0 a vector. A first pass only counts, without a table. */
static void append(table_builder *builder, table_place at, rm_role role, rm_slice slice,
                   int64_t rows, int64_t columns)
{
    rm_parameter_table *table = builder->table;
    const rm_placement *placement = &table->placement;
    const rm_family *family = rm_family_of(builder->config->family);
    bool vector = columns == 0;
    int index = table->n_parameters++;
    if (!table->parameters) return;
    rm_parameter *parameter = &table->parameters[index];
    *parameter = (rm_parameter){
        .role = role,
        .layer = at.layer,
        .expert = at.expert,
        .n_dims = vector ? 1 : 2,
        .shape = {rows, vector ? 1 : columns},
        .n_elements = rows * (vector ? 1 : columns),
        .stage = builder->stage,
        .kind = at.kind,
        .space = builder->stage / placement->partition.n_pipeline * RM_N_KINDS + at.kind,
        .expert_rank = at.expert_rank,
        .slice = slice,
        .is_matrix = !vector && !is_table(role),
        .tied = role == RM_ROLE_HEAD && builder->config->tie_word_embeddings,
        .decay = !vector,
        .initial = !vector         ? RM_INITIAL_NORMAL
                   : is_bias(role) ? RM_INITIAL_0
                                   : RM_INITIAL_1,
    };
    rm_family_tensor_name(family, role, at.layer, at.expert, parameter->name);
    if (rm_parameter_has_master(parameter, placement)) give_place(builder, parameter);
}

static void append_attention(table_builder *builder, table_place at)
{
    const ringmoe_model_config *config = builder->config;
    int64_t d = config->hidden_size;
    int64_t query = (int64_t)config->num_attention_heads * config->head_dim;
    int64_t key = (int64_t)config->num_key_value_heads * config->head_dim;
    append(builder, at, RM_ROLE_ATTENTION_NORM, RM_SLICE_NONE, d, 0);
    append(builder, at, RM_ROLE_QUERY, RM_SLICE_ROWS, query, d);
    append(builder, at, RM_ROLE_KEY, RM_SLICE_ROWS, key, d);
    append(builder, at, RM_ROLE_VALUE, RM_SLICE_ROWS, key, d);
    if (config->qkv_bias) {
        append(builder, at, RM_ROLE_QUERY_BIAS, RM_SLICE_ROWS, query, 0);
        append(builder, at, RM_ROLE_KEY_BIAS, RM_SLICE_ROWS, key, 0);
        append(builder, at, RM_ROLE_VALUE_BIAS, RM_SLICE_ROWS, key, 0);
    }
    if (config->qk_norm == RINGMOE_QK_NORM_HEAD) {
        append(builder, at, RM_ROLE_QUERY_NORM, RM_SLICE_NONE, config->head_dim, 0);
        append(builder, at, RM_ROLE_KEY_NORM, RM_SLICE_NONE, config->head_dim, 0);
    }
    if (config->qk_norm == RINGMOE_QK_NORM_ROW) {
        append(builder, at, RM_ROLE_QUERY_NORM, RM_SLICE_ROWS, query, 0);
        append(builder, at, RM_ROLE_KEY_NORM, RM_SLICE_ROWS, key, 0);
    }
    append(builder, at, RM_ROLE_OUTPUT, RM_SLICE_COLUMNS, d, query);
    append(builder, at, RM_ROLE_FFN_NORM, RM_SLICE_NONE, d, 0);
}

/* gate, up, down of a dense layer and of a shared expert. */
static void append_ffn(table_builder *builder, table_place at, rm_role gate, int64_t d_ff)
{
    int64_t d = builder->config->hidden_size;
    append(builder, at, gate, RM_SLICE_ROWS, d_ff, d);
    append(builder, at, gate + 1, RM_SLICE_ROWS, d_ff, d);
    append(builder, at, gate + 2, RM_SLICE_COLUMNS, d, d_ff);
}

static void append_experts(table_builder *builder, table_place at)
{
    const ringmoe_model_config *config = builder->config;
    int64_t d = config->hidden_size, d_ff = config->intermediate_size;
    int n_local = config->num_local_experts / builder->table->placement.expert_ranks;
    int64_t first_offset = builder->offset[RM_KIND_EXPERT];
    at.kind = RM_KIND_EXPERT;
    for (at.expert = 0; at.expert < config->num_local_experts; at.expert++) {
        if (at.expert % n_local == 0) builder->offset[RM_KIND_EXPERT] = first_offset;
        at.expert_rank = at.expert / n_local;
        append(builder, at, RM_ROLE_EXPERT_GATE, RM_SLICE_ROWS, d_ff, d);
        append(builder, at, RM_ROLE_EXPERT_DOWN, RM_SLICE_COLUMNS, d, d_ff);
        append(builder, at, RM_ROLE_EXPERT_UP, RM_SLICE_ROWS, d_ff, d);
    }
}

static void append_moe(table_builder *builder, table_place at)
{
    const ringmoe_model_config *config = builder->config;
    append(builder, at, RM_ROLE_ROUTER, RM_SLICE_NONE, config->num_local_experts,
           config->hidden_size);
    append_experts(builder, at);
    if (config->shared_expert_intermediate_size == 0) return;
    append_ffn(builder, at, RM_ROLE_SHARED_GATE, config->shared_expert_intermediate_size);
    append(builder, at, RM_ROLE_SHARED_SWITCH, RM_SLICE_NONE, 1, config->hidden_size);
}

static void append_all(table_builder *builder)
{
    const ringmoe_model_config *config = builder->config;
    const rm_partition *partition = &builder->table->placement.partition;
    int64_t d = config->hidden_size, vocab = config->vocab_size;
    table_place at = {.kind = RM_KIND_DENSE, .layer = -1, .expert = -1, .expert_rank = -1};
    append(builder, at, RM_ROLE_EMBEDDING, RM_SLICE_ROWS, vocab, d);
    for (at.layer = 0; at.layer < config->num_hidden_layers; at.layer++) {
        enter_stage(builder, rm_stage_of_layer(partition, at.layer));
        append_attention(builder, at);
        if (rm_layer_is_dense(config, at.layer))
            append_ffn(builder, at, RM_ROLE_GATE, config->dense_intermediate_size);
        else
            append_moe(builder, at);
    }
    at.layer = -1;
    enter_stage(builder, partition->n_stages - 1);
    append(builder, at, RM_ROLE_FINAL_NORM, RM_SLICE_NONE, d, 0);
    append(builder, at, RM_ROLE_HEAD, RM_SLICE_ROWS, vocab, d);
    close_stage(builder);
}

/* Of the whole table, in double, where nothing wraps. */
static double count_entries(const ringmoe_model_config *config)
{
    enum { MOST_BESIDE_EXPERTS = 20 };
    return 3 + (double)config->num_hidden_layers *
                   (MOST_BESIDE_EXPERTS + 3 * (double)config->num_local_experts);
}

ringmoe_status rm_parameter_table_create(const ringmoe_model_config *config,
                                         const rm_placement *placement,
                                         rm_parameter_table *table, rm_error *error)
{
    *table = (rm_parameter_table){.placement = *placement};
    rm_placement_complete(config, &table->placement);
    RM_TRY(rm_placement_check(config, &table->placement, error));
    if (count_entries(config) <= INT32_MAX) {
        append_all(&(table_builder){.config = config, .table = table});
        table->parameters = calloc((size_t)table->n_parameters, sizeof *table->parameters);
    }
    if (!table->parameters)
        return rm_fail(error, RINGMOE_ERROR_MEMORY,
                       "no memory for a table of %.0f parameters; use a smaller model",
                       count_entries(config));
    table->n_parameters = 0;
    append_all(&(table_builder){.config = config, .table = table});
    return RINGMOE_OK;
}

const rm_parameter *rm_table_tied_head(const rm_parameter_table *table)
{
    const rm_parameter *head = &table->parameters[table->n_parameters - 1];
    return head->tied ? head : NULL;
}

void rm_parameter_table_free(rm_parameter_table *table)
{
    free(table->parameters);
    *table = (rm_parameter_table){0};
}

static int64_t count_attention(const ringmoe_model_config *config)
{
    int64_t d = config->hidden_size, head = config->head_dim;
    int64_t query = config->num_attention_heads * head,
            key = config->num_key_value_heads * head;
    int64_t norms[] = {[RINGMOE_QK_NORM_NONE] = 0,
                       [RINGMOE_QK_NORM_HEAD] = 2 * head,
                       [RINGMOE_QK_NORM_ROW] = query + key};
    int64_t biases = config->qkv_bias ? query + 2 * key : 0;
    return 2 * d + 2 * (query + key) * d + norms[config->qk_norm] + biases;
}

/* Parameters of the whole model with `experts` experts counted in each MoE layer. */
static int64_t count_with_experts(const ringmoe_model_config *config, int64_t experts)
{
    int64_t d = config->hidden_size, shared = config->shared_expert_intermediate_size;
    int64_t n_moe = rm_moe_layer_count(config), n_layers = config->num_hidden_layers;
    int64_t dense = 3 * d * config->dense_intermediate_size;
    int64_t moe = config->num_local_experts * d + experts * 3 * d * config->intermediate_size;
    if (shared > 0) moe += 3 * d * shared + d;
    int64_t ends = (config->tie_word_embeddings ? 1 : 2) * (int64_t)config->vocab_size * d + d;
    return ends + n_layers * count_attention(config) + (n_layers - n_moe) * dense + n_moe * moe;
}

RINGMOE_API int64_t ringmoe_model_config_parameters(const ringmoe_model_config *config)
{
    return count_with_experts(config, config->num_local_experts);
}

RINGMOE_API int64_t ringmoe_model_config_active_parameters(const ringmoe_model_config *config)
{
    return count_with_experts(config, config->num_experts_per_tok);
}

/* SPDX-License-Identifier: MIT
 *
 * The parameter table: every parameter of a model by its Hugging Face name, in one fixed order.
 *
 *   embedding | layer 0 | layer 1 | ... | final norm | head
 *   a layer:    norm, q k v o, norm, gate up down or router and experts 0 .. n-1: w1 w2 w3
 *
 * Offsets grow in that order without gaps: dense parameters in their stage's dense space, an
 * expert's in the expert space of the rank that holds it. Experts are split evenly, so the
 * expert spaces of all expert ranks have the same offsets. A rank of the tensor axis has its
 * rows or columns of a parameter there.
 */
#include "model/state.h"

#include <stdarg.h>
#include <stdio.h>
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

/* What has two dimensions is multiplied by, but for some that are read as they are. */
static void read_in_place(table_builder *builder, rm_parameter *parameter)
{
    parameter->is_matrix = false;
    if (builder->table->placement.packed_only) give_place(builder, parameter);
}

/* Appends a parameter; with rows 0 a norm's vector of ones. */
static __attribute__((format(printf, 6, 7))) rm_parameter *append(table_builder *builder,
                                                                  rm_kind kind, rm_slice slice,
                                                                  int64_t rows, int64_t columns,
                                                                  const char *format, ...)
{
    rm_parameter_table *table = builder->table;
    const rm_placement *placement = &table->placement;
    rm_parameter *parameter = &table->parameters[table->n_parameters++];
    bool norm = rows == 0;
    *parameter = (rm_parameter){
        .n_dims = norm ? 1 : 2,
        .shape = {norm ? columns : rows, norm ? 1 : columns},
        .n_elements = (norm ? 1 : rows) * columns,
        .stage = builder->stage,
        .kind = kind,
        .space = builder->stage / placement->partition.n_pipeline * RM_N_KINDS + kind,
        .expert_rank = -1,
        .slice = slice,
        .is_matrix = !norm,
        .decay = !norm,
        .ones = norm,
    };
    if (norm || !placement->packed_only) give_place(builder, parameter);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(parameter->name, sizeof parameter->name, format, arguments);
    va_end(arguments);
    return parameter;
}

static void append_norm(table_builder *builder, const char *name, int layer)
{
    append(builder, RM_KIND_DENSE, RM_SLICE_NONE, 0, builder->config->hidden_size,
           "model.layers.%d.%s.weight", layer, name);
}

static void append_dense(table_builder *builder, rm_slice slice, int64_t rows, int64_t columns,
                         const char *name, int layer)
{
    append(builder, RM_KIND_DENSE, slice, rows, columns, "model.layers.%d.%s.weight", layer,
           name);
}

static void append_attention(table_builder *builder, int layer)
{
    const ringmoe_model_config *config = builder->config;
    int64_t d = config->hidden_size;
    int64_t query = (int64_t)config->num_attention_heads * config->head_dim;
    int64_t key = (int64_t)config->num_key_value_heads * config->head_dim;
    append_norm(builder, "input_layernorm", layer);
    append_dense(builder, RM_SLICE_ROWS, query, d, "self_attn.q_proj", layer);
    append_dense(builder, RM_SLICE_ROWS, key, d, "self_attn.k_proj", layer);
    append_dense(builder, RM_SLICE_ROWS, key, d, "self_attn.v_proj", layer);
    append_dense(builder, RM_SLICE_COLUMNS, d, query, "self_attn.o_proj", layer);
    append_norm(builder, "post_attention_layernorm", layer);
}

static void append_dense_ffn(table_builder *builder, int layer)
{
    int64_t d = builder->config->hidden_size, d_ff = builder->config->dense_intermediate_size;
    append_dense(builder, RM_SLICE_ROWS, d_ff, d, "mlp.gate_proj", layer);
    append_dense(builder, RM_SLICE_ROWS, d_ff, d, "mlp.up_proj", layer);
    append_dense(builder, RM_SLICE_COLUMNS, d, d_ff, "mlp.down_proj", layer);
}

static void append_moe(table_builder *builder, int layer)
{
    const ringmoe_model_config *config = builder->config;
    int64_t d = config->hidden_size, d_ff = config->intermediate_size;
    int n_local = config->num_local_experts / builder->table->placement.expert_ranks;
    append_dense(builder, RM_SLICE_NONE, config->num_local_experts, d, "block_sparse_moe.gate",
                 layer);
    int64_t first_offset = builder->offset[RM_KIND_EXPERT];
    for (int expert = 0; expert < config->num_local_experts; expert++) {
        if (expert % n_local == 0) builder->offset[RM_KIND_EXPERT] = first_offset;
        for (int which = 1; which <= 3; which++) {
            bool down = which == 2;
            append(builder, RM_KIND_EXPERT, down ? RM_SLICE_COLUMNS : RM_SLICE_ROWS,
                   down ? d : d_ff, down ? d_ff : d,
                   "model.layers.%d.block_sparse_moe.experts.%d.w%d.weight", layer, expert,
                   which)
                ->expert_rank = expert / n_local;
        }
    }
}

static void append_all(table_builder *builder)
{
    const ringmoe_model_config *config = builder->config;
    const rm_partition *partition = &builder->table->placement.partition;
    int64_t d = config->hidden_size, vocab = config->vocab_size;
    read_in_place(builder, append(builder, RM_KIND_DENSE, RM_SLICE_ROWS, vocab, d,
                                  "model.embed_tokens.weight"));
    for (int layer = 0; layer < config->num_hidden_layers; layer++) {
        enter_stage(builder, rm_stage_of_layer(partition, layer));
        append_attention(builder, layer);
        if (rm_layer_is_dense(config, layer))
            append_dense_ffn(builder, layer);
        else
            append_moe(builder, layer);
    }
    enter_stage(builder, partition->n_stages - 1);
    append(builder, RM_KIND_DENSE, RM_SLICE_NONE, 0, d, "model.norm.weight");
    append(builder, RM_KIND_DENSE, RM_SLICE_ROWS, vocab, d, "lm_head.weight")->tied =
        config->tie_word_embeddings;
    close_stage(builder);
}

static int64_t count_entries(const ringmoe_model_config *config)
{
    int64_t count = 3;
    for (int layer = 0; layer < config->num_hidden_layers; layer++)
        count +=
            6 +
            (rm_layer_is_dense(config, layer) ? 3 : 1 + 3 * (int64_t)config->num_local_experts);
    return count;
}

ringmoe_status rm_parameter_table_create(const ringmoe_model_config *config,
                                         const rm_placement *placement,
                                         rm_parameter_table *table, rm_error *error)
{
    *table = (rm_parameter_table){.placement = *placement};
    rm_placement_complete(config, &table->placement);
    RM_TRY(rm_placement_check(config, &table->placement, error));
    int64_t n = count_entries(config);
    table->parameters = n <= INT32_MAX ? calloc((size_t)n, sizeof *table->parameters) : NULL;
    if (!table->parameters)
        return rm_fail(error, RINGMOE_ERROR_MEMORY,
                       "no memory for a table of %lld parameters; use a smaller model",
                       (long long)n);
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

/* Parameters of the whole model with `experts` experts counted in each MoE layer. */
static int64_t count_with_experts(const ringmoe_model_config *config, int64_t experts)
{
    int64_t d = config->hidden_size;
    int64_t heads = 2 * (int64_t)config->num_attention_heads + 2 * config->num_key_value_heads;
    int64_t n_moe = rm_moe_layer_count(config), n_layers = config->num_hidden_layers;
    int64_t attention = 2 * d + heads * config->head_dim * d;
    int64_t dense = 3 * d * config->dense_intermediate_size;
    int64_t moe = config->num_local_experts * d + experts * 3 * d * config->intermediate_size;
    int64_t ends = (config->tie_word_embeddings ? 1 : 2) * (int64_t)config->vocab_size * d + d;
    return ends + n_layers * attention + (n_layers - n_moe) * dense + n_moe * moe;
}

RINGMOE_API int64_t ringmoe_model_config_parameters(const ringmoe_model_config *config)
{
    return count_with_experts(config, config->num_local_experts);
}

RINGMOE_API int64_t ringmoe_model_config_active_parameters(const ringmoe_model_config *config)
{
    return count_with_experts(config, config->num_experts_per_tok);
}

/* SPDX-License-Identifier: MIT
 *
 * The parameter table: every parameter of a model by its Hugging Face name, in one fixed order.
 *
 *   embedding | layer 0: norm q k v o norm (gate up down | router, experts 0 .. n-1: w1 w2 w3)
 * | layer 1 ... | final norm | head (unless tied)
 *
 * Offsets grow in that order without gaps: dense parameters in the dense space, an expert's in
 * the expert space of the rank that holds it. Experts are split evenly, so the expert spaces of
 * all ranks have the same offsets.
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

/* The table being filled: the next entry and the next free offset of each space. */
typedef struct table_builder {
    rm_parameter *next;
    int64_t offset[RM_N_SPACES];
} table_builder;

/* Appends a matrix [rows][columns], or with rows 0 a norm's vector of ones. */
static __attribute__((format(printf, 5, 6))) rm_parameter *append(table_builder *builder,
                                                                  rm_space space, int64_t rows,
                                                                  int64_t columns,
                                                                  const char *format, ...)
{
    rm_parameter *parameter = builder->next++;
    bool norm = rows == 0;
    *parameter = (rm_parameter){
        .n_dims = norm ? 1 : 2,
        .shape = {norm ? columns : rows, norm ? 1 : columns},
        .n_elements = (norm ? 1 : rows) * columns,
        .space = space,
        .expert_rank = -1,
        .offset = builder->offset[space],
        .decay = !norm,
        .ones = norm,
    };
    builder->offset[space] += parameter->n_elements;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(parameter->name, sizeof parameter->name, format, arguments);
    va_end(arguments);
    return parameter;
}

static void append_attention(table_builder *builder, const ringmoe_model_config *config,
                             int layer)
{
    int64_t d = config->hidden_size;
    int64_t query = (int64_t)config->num_attention_heads * config->head_dim;
    int64_t key = (int64_t)config->num_key_value_heads * config->head_dim;
    append(builder, RM_SPACE_DENSE, 0, d, "model.layers.%d.input_layernorm.weight", layer);
    append(builder, RM_SPACE_DENSE, query, d, "model.layers.%d.self_attn.q_proj.weight", layer);
    append(builder, RM_SPACE_DENSE, key, d, "model.layers.%d.self_attn.k_proj.weight", layer);
    append(builder, RM_SPACE_DENSE, key, d, "model.layers.%d.self_attn.v_proj.weight", layer);
    append(builder, RM_SPACE_DENSE, d, query, "model.layers.%d.self_attn.o_proj.weight", layer);
    append(builder, RM_SPACE_DENSE, 0, d, "model.layers.%d.post_attention_layernorm.weight",
           layer);
}

static void append_dense_ffn(table_builder *builder, const ringmoe_model_config *config,
                             int layer)
{
    int64_t d = config->hidden_size, d_ff = config->dense_intermediate_size;
    append(builder, RM_SPACE_DENSE, d_ff, d, "model.layers.%d.mlp.gate_proj.weight", layer);
    append(builder, RM_SPACE_DENSE, d_ff, d, "model.layers.%d.mlp.up_proj.weight", layer);
    append(builder, RM_SPACE_DENSE, d, d_ff, "model.layers.%d.mlp.down_proj.weight", layer);
}

static void append_moe(table_builder *builder, const ringmoe_model_config *config,
                       int expert_ranks, int layer)
{
    int64_t d = config->hidden_size, d_ff = config->intermediate_size;
    int n_local = config->num_local_experts / expert_ranks;
    char moe[64];
    snprintf(moe, sizeof moe, "model.layers.%d.block_sparse_moe", layer);
    append(builder, RM_SPACE_DENSE, config->num_local_experts, d, "%s.gate.weight", moe);
    int64_t first_offset = builder->offset[RM_SPACE_EXPERT];
    for (int expert = 0; expert < config->num_local_experts; expert++) {
        if (expert % n_local == 0) builder->offset[RM_SPACE_EXPERT] = first_offset;
        for (int which = 1; which <= 3; which++) {
            bool down = which == 2;
            append(builder, RM_SPACE_EXPERT, down ? d : d_ff, down ? d_ff : d,
                   "%s.experts.%d.w%d.weight", moe, expert, which)
                ->expert_rank = expert / n_local;
        }
    }
}

static int64_t count_entries(const ringmoe_model_config *config)
{
    int64_t count = config->tie_word_embeddings ? 2 : 3;
    for (int layer = 0; layer < config->num_hidden_layers; layer++)
        count +=
            6 +
            (rm_layer_is_dense(config, layer) ? 3 : 1 + 3 * (int64_t)config->num_local_experts);
    return count;
}

ringmoe_status rm_parameter_table_create(const ringmoe_model_config *config, int expert_ranks,
                                         rm_parameter_table *table, rm_error *error)
{
    *table = (rm_parameter_table){0};
    if (expert_ranks < 1 || config->num_local_experts % expert_ranks != 0)
        return rm_fail(error, RINGMOE_ERROR_LAYOUT,
                       "%d experts cannot be split over %d expert ranks; choose a number of "
                       "ranks that divides the experts",
                       config->num_local_experts, expert_ranks);
    int64_t n = count_entries(config);
    table->parameters = n <= INT32_MAX ? calloc((size_t)n, sizeof *table->parameters) : NULL;
    if (!table->parameters)
        return rm_fail(error, RINGMOE_ERROR_MEMORY,
                       "no memory for a table of %lld parameters; use a smaller model",
                       (long long)n);
    table->n_parameters = (int)n;
    table_builder builder = {.next = table->parameters};
    append(&builder, RM_SPACE_DENSE, config->vocab_size, config->hidden_size,
           "model.embed_tokens.weight");
    for (int layer = 0; layer < config->num_hidden_layers; layer++) {
        append_attention(&builder, config, layer);
        if (rm_layer_is_dense(config, layer))
            append_dense_ffn(&builder, config, layer);
        else
            append_moe(&builder, config, expert_ranks, layer);
    }
    append(&builder, RM_SPACE_DENSE, 0, config->hidden_size, "model.norm.weight");
    if (!config->tie_word_embeddings)
        append(&builder, RM_SPACE_DENSE, config->vocab_size, config->hidden_size,
               "lm_head.weight");
    for (int space = 0; space < RM_N_SPACES; space++)
        table->space_elements[space] = builder.offset[space];
    return RINGMOE_OK;
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

/* SPDX-License-Identifier: MIT
 *
 * Presets and the rules a configuration must keep. The ranges of single fields are in
 * config_fields.c, the file format in config_read.c and config_write.c.
 */
#include "format/config.h"

#include <string.h>

#include "comm/context.h"
#include "format/config_fields.h"
#include "format/config_ids.h"
#include "format/config_rope.h"

/* More parameters than this are a mistake in the file, not a model. */
static const double max_parameters = 0x1p48;

typedef struct preset {
    const char *name;
    ringmoe_family family;
    int hidden, layers, heads, kv_heads, experts, expert_size;
} preset;

/* All: bytes as vocabulary, tied embeddings, top-2. About 1.0 M, 30 M and 150 M parameters. */
static const preset presets[] = {
    {"tiny", RINGMOE_FAMILY_MIXTRAL, 128, 4, 4, 2, 4, 128},
    {"small", RINGMOE_FAMILY_MIXTRAL, 384, 6, 6, 2, 8, 512},
    {"base", RINGMOE_FAMILY_MIXTRAL, 768, 8, 12, 4, 8, 928},
    {"tiny-olmoe", RINGMOE_FAMILY_OLMOE, 128, 4, 4, 2, 4, 128},
    {"tiny-qwen2_moe", RINGMOE_FAMILY_QWEN2_MOE, 128, 4, 4, 2, 4, 128},
    {"tiny-qwen3_moe", RINGMOE_FAMILY_QWEN3_MOE, 128, 4, 4, 2, 4, 128},
    {"tiny-llama", RINGMOE_FAMILY_LLAMA, 128, 4, 4, 2, 0, 256},
    {"tiny-qwen3", RINGMOE_FAMILY_QWEN3, 128, 4, 4, 2, 0, 256},
};
enum { N_PRESETS = sizeof presets / sizeof *presets };

const char *ringmoe_family_name(int family)
{
    const rm_family *row = rm_family_of(family);
    return row ? row->model_type : NULL;
}

const char *const *ringmoe_model_preset_names(void)
{
    static const char *const names[] = {"tiny",       "small",          "base",
                                        "tiny-olmoe", "tiny-qwen2_moe", "tiny-qwen3_moe",
                                        "tiny-llama", "tiny-qwen3",     NULL};
    return names;
}

static void fill_preset(const preset *from, ringmoe_model_config *config)
{
    const rm_family *family = rm_family_of((int)from->family);
    memset(config, 0, sizeof *config);
    config->family = (int)from->family;
    config->qk_norm = (int)family->qk_norm;
    for (int i = 0; i < rm_n_config_fields; i++) {
        rm_config_field field = rm_config_field_in(family, &rm_config_fields[i]);
        rm_config_field_set(&field, config, field.fallback);
    }
    config->vocab_size = 256;
    config->hidden_size = from->hidden;
    config->head_dim = from->hidden / from->heads;
    config->intermediate_size = from->expert_size;
    config->num_hidden_layers = from->layers;
    config->num_attention_heads = from->heads;
    config->num_key_value_heads = from->kv_heads;
    config->num_local_experts = from->experts;
    config->max_position_embeddings = 1024;
    config->tie_word_embeddings = 1;
    config->rope_theta = 10000;
    if (family->has_experts) {
        config->num_experts_per_tok = 2;
        config->router_aux_loss_coef = 0.01;
    }
    if (from->family == RINGMOE_FAMILY_QWEN2_MOE)
        config->shared_expert_intermediate_size = from->expert_size;
    rm_config_derive(config);
}

ringmoe_status rm_config_preset(const char *name, ringmoe_model_config *config, rm_error *error)
{
    for (int i = 0; name && i < N_PRESETS; i++) {
        if (strcmp(name, presets[i].name) != 0) continue;
        fill_preset(&presets[i], config);
        return RINGMOE_OK;
    }
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                   "no preset is called \"%s\"; there are tiny, small and base, and tiny "
                   "with a family, as in tiny-qwen3_moe",
                   name ? name : "");
}

/* What the family has no key for could not be written to its file. */
static ringmoe_status check_field(const rm_family *family, const rm_config_field *general,
                                  const ringmoe_model_config *config, rm_error *error)
{
    rm_config_field field = rm_config_field_in(family, general);
    double value = rm_config_field_get(&field, config);
    if (!field.key && field.presence == RM_FIELD_OPTIONAL && value != field.fallback)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "%s is %.10g; models of the family %s have no such setting",
                       general->key, value, family->model_type);
    if (value == 0 && field.kind == RM_FIELD_LIMIT) return RINGMOE_OK;
    if (!field.key) field.key = general->key;
    return rm_config_field_check(&field, value, error);
}

static ringmoe_status check_heads(const ringmoe_model_config *config, rm_error *error)
{
    if (config->num_attention_heads % config->num_key_value_heads != 0)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "num_key_value_heads is %d; it must divide num_attention_heads (%d)",
                       config->num_key_value_heads, config->num_attention_heads);
    if (config->head_dim % 2 != 0)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "head_dim is %d; it must be even, since rotary positions turn pairs",
                       config->head_dim);
    if (config->qk_norm == RINGMOE_QK_NORM_ROW &&
        (int64_t)config->num_attention_heads * config->head_dim != config->hidden_size)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "head_dim is %d; times num_attention_heads (%d) it must be hidden_size "
                       "(%d), for which the norms of whole rows are made",
                       config->head_dim, config->num_attention_heads, config->hidden_size);
    return RINGMOE_OK;
}

/* The family allows no other kind of norm, and may have to have a shared expert. */
static ringmoe_status check_family(const ringmoe_model_config *config, rm_error *error)
{
    const rm_family *family = rm_family_of(config->family);
    if (!family)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "family is %d; it must be one of ringmoe_family's values",
                       config->family);
    const rm_family_key *shared = rm_family_key_of(family, "shared_expert_intermediate_size");
    if (shared && shared->key && config->shared_expert_intermediate_size == 0)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "%s is 0; models of the family %s have a shared expert", shared->key,
                       family->model_type);
    if (config->qk_norm == (int)family->qk_norm) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "qk_norm is %d; in the family %s it is %d",
                   config->qk_norm, family->model_type, (int)family->qk_norm);
}

static ringmoe_status check_layers(const ringmoe_model_config *config, rm_error *error)
{
    int n_experts = config->num_local_experts, k = config->num_experts_per_tok;
    if (n_experts > 0 && (k < 1 || k > n_experts))
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "num_experts_per_tok is %d; it must be 1..num_local_experts (%d)", k,
                       n_experts);
    int most = rm_family_of(config->family)->has_experts ? 1 : 0;
    for (int i = 0; i < config->num_hidden_layers; i++)
        if (config->is_dense_layer[i] < 0 || config->is_dense_layer[i] > most)
            return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                           "is_dense_layer[%d] is %d; it must be 0%s", i,
                           config->is_dense_layer[i],
                           most ? " or 1" : ", since all layers of this family are dense");
    return RINGMOE_OK;
}

/* In double, where nothing wraps; the exact count is the model's. */
static double parameter_estimate(const ringmoe_model_config *config)
{
    double hidden = config->hidden_size, head = config->head_dim;
    double attention =
        2 * hidden * head * (config->num_attention_heads + (double)config->num_key_value_heads);
    double experts =
        config->num_local_experts * hidden * (1 + 3.0 * config->intermediate_size) +
        3 * hidden * config->shared_expert_intermediate_size;
    double dense = 3 * hidden * config->dense_intermediate_size;
    double total = config->vocab_size * hidden * (config->tie_word_embeddings ? 1 : 2);
    for (int i = 0; i < config->num_hidden_layers; i++) {
        bool is_dense = config->is_dense_layer[i] || !config->num_local_experts;
        total += attention + (is_dense ? dense : experts) + 2 * hidden;
    }
    return total;
}

ringmoe_status rm_config_check(const ringmoe_model_config *config, rm_error *error)
{
    RM_TRY(check_family(config, error));
    for (int i = 0; i < rm_n_config_fields; i++)
        RM_TRY(check_field(rm_family_of(config->family), &rm_config_fields[i], config, error));
    RM_TRY(check_heads(config, error));
    RM_TRY(rm_rope_check(config, error));
    RM_TRY(rm_config_ids_check(config, error));
    RM_TRY(check_layers(config, error));
    double parameters = parameter_estimate(config);
    if (parameters > max_parameters)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "the sizes make a model of %.3g parameters, more than the %.3g allowed; "
                       "check hidden_size (%d), intermediate_size (%d), num_local_experts (%d) "
                       "and num_hidden_layers (%d)",
                       parameters, max_parameters, config->hidden_size,
                       config->intermediate_size, config->num_local_experts,
                       config->num_hidden_layers);
    return RINGMOE_OK;
}

static rm_error *error_of(ringmoe_context *context)
{
    return context ? &context->error : NULL;
}

ringmoe_status ringmoe_model_config_preset(ringmoe_context *context, const char *name,
                                           ringmoe_model_config *config)
{
    return rm_config_preset(name, config, error_of(context));
}

ringmoe_status ringmoe_model_config_read(ringmoe_context *context, const char *path,
                                         ringmoe_model_config *config)
{
    return rm_config_read(path, config, error_of(context));
}

ringmoe_status ringmoe_model_config_check(ringmoe_context *context,
                                          const ringmoe_model_config *config)
{
    return rm_config_check(config, error_of(context));
}

/* SPDX-License-Identifier: MIT */
#include "format/config_fields.h"

#include <limits.h>
#include <stddef.h>

#define AT(member) #member, offsetof(ringmoe_model_config, member)
#define SMALLEST 1e-30

/* clang-format off */
const rm_config_field rm_config_fields[] = {
    {AT(vocab_size),              RM_FIELD_INT,    RM_FIELD_REQUIRED, 1, 1 << 24, 0, false, NULL},
    {AT(hidden_size),             RM_FIELD_INT,    RM_FIELD_REQUIRED, 1, 65536, 0, false, NULL},
    {AT(intermediate_size),       RM_FIELD_INT,    RM_FIELD_REQUIRED, 1, 1 << 20, 0, false, NULL},
    {AT(dense_intermediate_size), RM_FIELD_INT,    RM_FIELD_DERIVED,  1, 1 << 26, 0, true, NULL},
    {AT(num_hidden_layers),       RM_FIELD_INT,    RM_FIELD_REQUIRED, 1, RINGMOE_MAX_LAYERS, 0, false, NULL},
    {AT(num_attention_heads),     RM_FIELD_INT,    RM_FIELD_REQUIRED, 1, 65536, 0, false, NULL},
    {AT(num_key_value_heads),     RM_FIELD_INT,    RM_FIELD_DERIVED,  1, 65536, 0, false, NULL},
    {AT(head_dim),                RM_FIELD_INT,    RM_FIELD_DERIVED,  2, 1024, 0, false, NULL},
    {AT(num_local_experts),       RM_FIELD_INT,    RM_FIELD_REQUIRED, 0, 65536, 0, false, NULL},
    {AT(num_experts_per_tok),     RM_FIELD_INT,    RM_FIELD_OPTIONAL, 0, 65536, 0, false, NULL},
    {AT(max_position_embeddings), RM_FIELD_INT,    RM_FIELD_OPTIONAL, 1, 1 << 24, 4096, false, NULL},
    {AT(tie_word_embeddings),     RM_FIELD_BOOL,   RM_FIELD_OPTIONAL, 0, 1, 0, false, NULL},
    {AT(rope_theta),              RM_FIELD_DOUBLE, RM_FIELD_OPTIONAL, 1, 1e12, 1e6, false, NULL},
    {AT(rms_norm_eps),            RM_FIELD_DOUBLE, RM_FIELD_OPTIONAL, SMALLEST, 1, 1e-5, false, NULL},
    {AT(initializer_range),       RM_FIELD_DOUBLE, RM_FIELD_OPTIONAL, 0, 10, 0.02, false, NULL},
    {AT(router_aux_loss_coef),    RM_FIELD_DOUBLE, RM_FIELD_OPTIONAL, 0, 1000, 0.001, false, NULL},
    {AT(router_z_loss_coef),      RM_FIELD_DOUBLE, RM_FIELD_OPTIONAL, 0, 1000, 0, true, NULL},
    {AT(router_bias_rate),        RM_FIELD_DOUBLE, RM_FIELD_OPTIONAL, 0, 1, 0, true, NULL},
    {AT(capacity_factor),         RM_FIELD_DOUBLE, RM_FIELD_OPTIONAL, 0, 65536, 0, true, NULL},
    {AT(router_jitter_noise),     RM_FIELD_DOUBLE, RM_FIELD_OPTIONAL, 0, 0.999, 0, true, NULL},
    {"router_balance_scope", offsetof(ringmoe_model_config, router_balance_global),
                                  RM_FIELD_SCOPE,  RM_FIELD_OPTIONAL, 0, 1, 0, true, NULL},
    {AT(qkv_bias),                RM_FIELD_BOOL,   RM_FIELD_OPTIONAL, 0, 1, 0, false, NULL},
    {AT(clip_qkv),                RM_FIELD_LIMIT,  RM_FIELD_OPTIONAL, SMALLEST, 1e30, 0, false, NULL},
    {AT(router_unnormalized),     RM_FIELD_NOT,    RM_FIELD_OPTIONAL, 0, 1, 0, false, NULL},
    {AT(shared_expert_intermediate_size),
                                  RM_FIELD_INT,    RM_FIELD_OPTIONAL, 0, 1 << 20, 0, false, NULL},
};
/* clang-format on */
const int rm_n_config_fields = (int)(sizeof rm_config_fields / sizeof *rm_config_fields);

rm_config_field rm_config_field_in(const rm_family *family, const rm_config_field *field)
{
    const rm_family_key *own = rm_family_key_of(family, field->key);
    rm_config_field result = *field;
    if (!own) return result;
    result.key = own->key;
    result.alias = own->alias;
    result.fallback = own->fallback;
    result.presence = own->presence;
    result.ours = false;
    return result;
}

static bool is_double(const rm_config_field *field)
{
    return field->kind == RM_FIELD_DOUBLE || field->kind == RM_FIELD_LIMIT;
}

double rm_config_field_get(const rm_config_field *field, const ringmoe_model_config *config)
{
    const char *at = (const char *)config + field->offset;
    return is_double(field) ? *(const double *)at : *(const int *)at;
}

const char *rm_config_field_word(const rm_config_field *field, double value)
{
    static const char *const words[] = {"microbatch", "global"};
    bool named = field->kind == RM_FIELD_SCOPE && (value == 0 || value == 1);
    return named ? words[(int)value] : NULL;
}

void rm_config_field_set(const rm_config_field *field, ringmoe_model_config *config,
                         double value)
{
    char *at = (char *)config + field->offset;
    if (is_double(field))
        *(double *)at = value;
    else
        *(int *)at = (int)value;
}

ringmoe_status rm_config_field_check(const rm_config_field *field, double value,
                                     rm_error *error)
{
    /* Written so that a NaN fails. */
    if (value >= field->minimum && value <= field->maximum) return RINGMOE_OK;
    if (is_double(field))
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "%s is %.10g; it must be %.10g..%.10g",
                       field->key, value, field->minimum, field->maximum);
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "%s is %.0f; it must be %.0f..%.0f",
                   field->key, value, field->minimum, field->maximum);
}

/* The inner size of a dense layer that computes as much as the experts a token goes to. */
static int dense_size(const ringmoe_model_config *config)
{
    int k = config->num_experts_per_tok > 0 ? config->num_experts_per_tok : 1;
    int64_t size = (int64_t)config->intermediate_size * k;
    return size > INT_MAX ? INT_MAX : (int)size;
}

/* The size of an expert where there are none: as a dense layer's. */
static int expert_size(const ringmoe_model_config *config)
{
    const int most = 1 << 20;
    int size = config->dense_intermediate_size;
    return size > most ? most : size;
}

void rm_config_derive(ringmoe_model_config *config)
{
    if (!config->num_key_value_heads) config->num_key_value_heads = config->num_attention_heads;
    if (!config->head_dim && config->num_attention_heads > 0 &&
        config->hidden_size % config->num_attention_heads == 0)
        config->head_dim = config->hidden_size / config->num_attention_heads;
    if (!config->dense_intermediate_size) config->dense_intermediate_size = dense_size(config);
    if (!config->intermediate_size) config->intermediate_size = expert_size(config);
}

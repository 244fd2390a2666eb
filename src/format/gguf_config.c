/* SPDX-License-Identifier: MIT
 *
 * The keys of an architecture begin with its name: "qwen3moe.block_count". A table says which
 * field each is, for both directions.
 */
#include "format/gguf_config.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/config.h"
#include "format/config_fields.h"
#include "format/config_ids.h"
#include "format/gguf_rope.h"
#include "format/printable.h"

#define AT(member) offsetof(ringmoe_model_config, member)

typedef struct architecture {
    const char *name;
    ringmoe_family family;
    bool has_experts;
    bool is_unnormalized;   /* weights of the chosen experts, always so there */
    size_t feed_forward;    /* the field that feed_forward_length is */
    bool has_expert_length; /* experts have a length of their own */
    bool has_shared_expert;
    bool is_simple; /* heads divide the features among them, and the head is not tied */
} architecture;

static const architecture architectures[] = {
    {"llama", RINGMOE_FAMILY_MIXTRAL, true, false, AT(intermediate_size), false, false, false},
    {"llama", RINGMOE_FAMILY_LLAMA, false, false, AT(dense_intermediate_size), false, false,
     false},
    {"olmoe", RINGMOE_FAMILY_OLMOE, true, true, AT(intermediate_size), false, false, true},
    {"qwen2moe", RINGMOE_FAMILY_QWEN2_MOE, true, true, AT(dense_intermediate_size), true, true,
     true},
    {"qwen3moe", RINGMOE_FAMILY_QWEN3_MOE, true, false, AT(dense_intermediate_size), true,
     false, false},
    {"qwen3", RINGMOE_FAMILY_QWEN3, false, false, AT(dense_intermediate_size), false, false,
     false},
};
enum { N_ARCHITECTURES = sizeof architectures / sizeof *architectures };

typedef enum key_use {
    KEY_REQUIRED,
    KEY_OPTIONAL, /* gets `fallback` */
    KEY_SAME,     /* may be there, and says what the field says */
    KEY_FIXED,    /* may be there, and is `fallback` */
    KEY_OF_ROPE,  /* gguf_rope.c has it */
} key_use;

typedef enum key_scope {
    OF_ALL,
    OF_EXPERTS,
    OF_EXPERT_LENGTH,
    OF_SHARED_EXPERT,
    OF_FEED_FORWARD, /* offset is the architecture's */
} key_scope;

typedef struct key_row {
    const char *name; /* behind the architecture and a dot */
    size_t offset;
    bool is_double;
    key_use use;
    key_scope scope;
    double fallback;
} key_row;

/* In this order they are written. */
static const key_row keys[] = {
    {"vocab_size", AT(vocab_size), false, KEY_SAME, OF_ALL, 0},
    {"context_length", AT(max_position_embeddings), false, KEY_REQUIRED, OF_ALL, 0},
    {"embedding_length", AT(hidden_size), false, KEY_REQUIRED, OF_ALL, 0},
    {"block_count", AT(num_hidden_layers), false, KEY_REQUIRED, OF_ALL, 0},
    {"feed_forward_length", 0, false, KEY_REQUIRED, OF_FEED_FORWARD, 0},
    {"attention.head_count", AT(num_attention_heads), false, KEY_REQUIRED, OF_ALL, 0},
    {"attention.head_count_kv", AT(num_key_value_heads), false, KEY_OPTIONAL, OF_ALL, 0},
    {"attention.key_length", AT(head_dim), false, KEY_OPTIONAL, OF_ALL, 0},
    {"attention.value_length", AT(head_dim), false, KEY_SAME, OF_ALL, 0},
    {"attention.layer_norm_rms_epsilon", AT(rms_norm_eps), true, KEY_REQUIRED, OF_ALL, 0},
    {"rope.freq_base", AT(rope_theta), true, KEY_OPTIONAL, OF_ALL, 10000},
    {"rope.dimension_count", AT(head_dim), false, KEY_SAME, OF_ALL, 0},
    {"expert_count", AT(num_local_experts), false, KEY_REQUIRED, OF_EXPERTS, 0},
    {"expert_used_count", AT(num_experts_per_tok), false, KEY_REQUIRED, OF_EXPERTS, 0},
    {"expert_feed_forward_length", AT(intermediate_size), false, KEY_REQUIRED, OF_EXPERT_LENGTH,
     0},
    {"expert_shared_feed_forward_length", AT(shared_expert_intermediate_size), false,
     KEY_REQUIRED, OF_SHARED_EXPERT, 0},
    {"expert_weights_scale", 0, true, KEY_FIXED, OF_EXPERTS, 1},
    {"expert_gating_func", 0, false, KEY_FIXED, OF_EXPERTS, 1},
    {RM_GGUF_ROPE_TYPE, 0, false, KEY_OF_ROPE, OF_ALL, 0},
    {RM_GGUF_ROPE_FACTOR, 0, true, KEY_OF_ROPE, OF_ALL, 0},
};
enum { N_KEYS = sizeof keys / sizeof *keys, KEY_BYTES = 96 };

static bool applies(const architecture *arch, const key_row *row)
{
    return row->scope == OF_ALL || row->scope == OF_FEED_FORWARD ||
           (row->scope == OF_EXPERTS && arch->has_experts) ||
           (row->scope == OF_EXPERT_LENGTH && arch->has_expert_length) ||
           (row->scope == OF_SHARED_EXPERT && arch->has_shared_expert);
}

static void *field_of(const architecture *arch, const key_row *row,
                      ringmoe_model_config *config)
{
    return (char *)config + (row->scope == OF_FEED_FORWARD ? arch->feed_forward : row->offset);
}

static double field_value(const architecture *arch, const key_row *row,
                          const ringmoe_model_config *config)
{
    const void *field = field_of(arch, row, (ringmoe_model_config *)config);
    return row->is_double ? *(const double *)field : *(const int *)field;
}

/* --- reading --- */

static ringmoe_status refuse(const char *key, const char *must, rm_error *error)
{
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "key %.100s: must be %s", key, must);
}

static ringmoe_status read_number(const rm_gguf_value *value, const char *key, bool is_double,
                                  double *number, rm_error *error)
{
    int64_t whole;
    if (is_double && !value->is_array && rm_gguf_number(value, 0, number)) {
        if (value->type == RM_GGUF_F32) *number = rm_gguf_decimal(*number);
        return RINGMOE_OK;
    }
    if (is_double) return refuse(key, "a number", error);
    if (value->is_array || !rm_gguf_integer(value, 0, &whole) || whole < 0 || whole > INT32_MAX)
        return refuse(key, "a whole number, 0..2147483647", error);
    *number = (double)whole;
    return RINGMOE_OK;
}

/* The row's key, if the file has it. */
static const rm_gguf_value *find_key(const rm_gguf *file, const architecture *arch,
                                     const key_row *row, char key[KEY_BYTES])
{
    snprintf(key, KEY_BYTES, "%s.%s", arch->name, row->name);
    return rm_gguf_find(file, key);
}

static ringmoe_status read_key(const rm_gguf *file, const architecture *arch,
                               const key_row *row, ringmoe_model_config *config,
                               rm_error *error)
{
    char key[KEY_BYTES];
    const rm_gguf_value *value = find_key(file, arch, row, key);
    double number = row->fallback;
    void *field = field_of(arch, row, config);
    if (!value && row->use == KEY_REQUIRED)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "key %s: is missing", key);
    if (value) RM_TRY(read_number(value, key, row->is_double, &number, error));
    if (row->is_double)
        *(double *)field = number;
    else
        *(int *)field = (int)number;
    return RINGMOE_OK;
}

static ringmoe_status check_key(const rm_gguf *file, const architecture *arch,
                                const key_row *row, const ringmoe_model_config *config,
                                rm_error *error)
{
    char key[KEY_BYTES], must[64];
    const rm_gguf_value *value = find_key(file, arch, row, key);
    double number, expected = row->fallback;
    if (!value) return RINGMOE_OK;
    if (row->use == KEY_SAME) expected = field_value(arch, row, config);
    RM_TRY(read_number(value, key, row->is_double, &number, error));
    snprintf(must, sizeof must, "%.10g in a model of this kind", expected);
    return number == expected ? RINGMOE_OK : refuse(key, must, error);
}

/* Whether a text is that word. */
static bool says(const rm_gguf_text *text, const char *word)
{
    return (size_t)text->length == strlen(word) &&
           !memcmp(text->bytes, word, (size_t)text->length);
}

/* Keys of the architecture that no row knows. */
static ringmoe_status check_unknown(const rm_gguf *file, const architecture *arch,
                                    rm_error *error)
{
    int length = (int)strlen(arch->name);
    for (int i = 0; i < rm_gguf_value_count(file); i++) {
        const rm_gguf_text *key = &rm_gguf_value_at(file, i)->key;
        rm_gguf_text rest = {key->bytes + length + 1, key->length - length - 1};
        bool is_known = false;
        if (rest.length < 0 || memcmp(key->bytes, arch->name, (size_t)length) != 0 ||
            key->bytes[length] != '.')
            continue;
        for (int row = 0; row < N_KEYS; row++)
            is_known |= (applies(arch, &keys[row]) || keys[row].scope == OF_EXPERTS) &&
                        says(&rest, keys[row].name);
        if (!is_known)
            return rm_fail(error, RINGMOE_ERROR_FORMAT,
                           "key %.*s: is not known here and might change the arithmetic",
                           key->length < 100 ? (int)key->length : 100, key->bytes);
    }
    return RINGMOE_OK;
}

static ringmoe_status find_architecture(const rm_gguf *file, const architecture **found,
                                        rm_error *error)
{
    const rm_gguf_value *value = rm_gguf_find(file, "general.architecture");
    const rm_gguf_value *experts = rm_gguf_find(file, "llama.expert_count");
    int64_t n_experts = 0;
    bool has_experts = experts && !(rm_gguf_integer(experts, 0, &n_experts) && n_experts == 0);
    *found = NULL;
    if (!value || value->type != RM_GGUF_STRING || value->is_array)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "key general.architecture: is missing or no text");
    for (int i = 0; i < N_ARCHITECTURES && !*found; i++)
        if (says(&value->texts[0], architectures[i].name) &&
            (strcmp(architectures[i].name, "llama") != 0 ||
             architectures[i].has_experts == has_experts))
            *found = &architectures[i];
    if (*found) return RINGMOE_OK;
    int length = value->texts[0].length < 60 ? (int)value->texts[0].length : 60;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "key general.architecture: %.*s is not known here; llama, olmoe, qwen2moe, "
                   "qwen3moe and qwen3 are",
                   length, value->texts[0].bytes);
}

static const rm_tensor *find_tensor(const rm_gguf *file, const char *name)
{
    for (int i = 0; i < rm_gguf_count(file); i++)
        if (!strcmp(rm_gguf_tensor(file, i)->name, name)) return rm_gguf_tensor(file, i);
    return NULL;
}

/* What the tensors tell: the vocabulary, a head of its own, biases. */
static ringmoe_status read_tensors(const rm_gguf *file, const architecture *arch,
                                   ringmoe_model_config *config, rm_error *error)
{
    const rm_tensor *embedding = find_tensor(file, "token_embd.weight");
    if (!embedding || embedding->n_dims != 2 || embedding->shape[0] > INT32_MAX)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "tensor token_embd.weight: is missing or no matrix");
    config->vocab_size = (int)embedding->shape[0];
    config->tie_word_embeddings = find_tensor(file, "output.weight") == NULL;
    config->qkv_bias = arch->family == RINGMOE_FAMILY_QWEN2_MOE &&
                       find_tensor(file, "blk.0.attn_q.bias") != NULL;
    return RINGMOE_OK;
}

/* Everything of which GGUF says nothing. */
static void set_defaults(const architecture *arch, ringmoe_model_config *config)
{
    const rm_family *family = rm_family_of(arch->family);
    memset(config, 0, sizeof *config);
    for (int i = 0; i < rm_n_config_fields; i++) {
        rm_config_field field = rm_config_field_in(family, &rm_config_fields[i]);
        rm_config_field_set(&field, config, field.fallback);
    }
    config->family = arch->family;
    config->qk_norm = family->qk_norm;
    config->router_unnormalized = arch->is_unnormalized;
}

/* The tokenizer's keys say these of the model as well. */
static ringmoe_status read_ids(const rm_gguf *file, ringmoe_model_config *config,
                               rm_error *error)
{
    for (int i = 0; i < RM_N_ID_KEYS; i++) {
        const rm_gguf_value *value = rm_gguf_find(file, rm_id_keys[i].gguf);
        double number;
        if (!value) continue;
        RM_TRY(read_number(value, rm_id_keys[i].gguf, false, &number, error));
        *rm_config_ids_in(config, &rm_id_keys[i]) = (ringmoe_token_ids){1, {(int)number}};
    }
    return RINGMOE_OK;
}

static ringmoe_status read_config(const rm_gguf *file, ringmoe_model_config *config,
                                  rm_error *error)
{
    const architecture *arch;
    RM_TRY(find_architecture(file, &arch, error));
    RM_TRY(check_unknown(file, arch, error));
    set_defaults(arch, config);
    RM_TRY(read_tensors(file, arch, config, error));
    for (int i = 0; i < N_KEYS; i++)
        if (applies(arch, &keys[i]) && keys[i].use <= KEY_OPTIONAL)
            RM_TRY(read_key(file, arch, &keys[i], config, error));
    rm_config_derive(config);
    for (int i = 0; i < N_KEYS; i++)
        if (applies(arch, &keys[i]) && (keys[i].use == KEY_SAME || keys[i].use == KEY_FIXED))
            RM_TRY(check_key(file, arch, &keys[i], config, error));
    RM_TRY(rm_gguf_rope_read(file, arch->name, config, error));
    RM_TRY(read_ids(file, config, error));
    return rm_config_check(config, error);
}

ringmoe_status rm_gguf_config(const rm_gguf *file, ringmoe_model_config *config,
                              rm_error *error)
{
    rm_error why = {""};
    if (read_config(file, config, &why) == RINGMOE_OK) return RINGMOE_OK;
    rm_text_make_printable(why.text);
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: %s", rm_gguf_path(file), why.text);
}

ringmoe_status rm_gguf_config_read(const char *path, ringmoe_model_config *config,
                                   rm_error *error)
{
    rm_gguf *file;
    RM_TRY(rm_gguf_open(path, &file, error));
    ringmoe_status status = rm_gguf_config(file, config, error);
    rm_gguf_close(&file);
    return status;
}

/* --- writing --- */

static ringmoe_status lacks(const char *setting, rm_error *error)
{
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                   "llama.cpp has nothing for this model's %s: it cannot be a GGUF file",
                   setting);
}

/* llama.cpp would compute something else. */
static ringmoe_status check_settings(const architecture *arch,
                                     const ringmoe_model_config *config, rm_error *error)
{
    int n_dense = 0;
    for (int i = 0; i < config->num_hidden_layers; i++) n_dense += config->is_dense_layer[i];
    if (arch->has_experts && n_dense > 0)
        return lacks("layers without experts (mlp_only_layers)", error);
    if (arch->has_experts && config->num_local_experts == 0)
        return lacks("layers, which are all without experts", error);
    if (config->rope_type == RINGMOE_ROPE_LLAMA3 && strcmp(arch->name, "llama") != 0)
        return lacks("rope_type llama3", error);
    if (config->clip_qkv != 0) return lacks("clip_qkv", error);
    if (config->capacity_factor != 0) return lacks("capacity_factor", error);
    if (config->router_bias_rate != 0) return lacks("router_bias_rate", error);
    if (arch->has_experts && (config->router_unnormalized != 0) != arch->is_unnormalized)
        return lacks("norm_topk_prob", error);
    if (!arch->is_simple) return RINGMOE_OK;
    if (config->tie_word_embeddings) return lacks("tie_word_embeddings", error);
    if (config->head_dim * config->num_attention_heads != config->hidden_size)
        return lacks("head_dim", error);
    if (arch->family == RINGMOE_FAMILY_OLMOE &&
        config->num_key_value_heads != config->num_attention_heads)
        return lacks("num_key_value_heads", error);
    return RINGMOE_OK;
}

ringmoe_status rm_gguf_put_config(rm_gguf_writer *writer, const ringmoe_model_config *config,
                                  rm_error *error)
{
    const architecture *arch = architectures;
    while (arch->family != (ringmoe_family)config->family) arch++;
    RM_TRY(check_settings(arch, config, error));
    rm_gguf_put_text(writer, "general.architecture", arch->name);
    for (int i = 0; i < N_KEYS; i++) {
        char key[KEY_BYTES];
        if (!applies(arch, &keys[i]) || keys[i].use >= KEY_FIXED) continue;
        snprintf(key, sizeof key, "%s.%s", arch->name, keys[i].name);
        double value = field_value(arch, &keys[i], config);
        if (keys[i].is_double)
            rm_gguf_put_f32(writer, key, value);
        else
            rm_gguf_put_u32(writer, key, (uint32_t)value);
    }
    rm_gguf_rope_put(writer, arch->name, config);
    return RINGMOE_OK;
}

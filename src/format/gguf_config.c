/* SPDX-License-Identifier: MIT
 *
 * A configuration from the keys of a GGUF file. gguf_keys.h has their table.
 */
#include "format/gguf_config.h"

#include <stdio.h>
#include <string.h>

#include "format/config.h"
#include "format/config_fields.h"
#include "format/config_ids.h"
#include "format/gguf_keys.h"
#include "format/gguf_rope.h"
#include "format/printable.h"

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
static const rm_gguf_value *find_key(const rm_gguf *file, const rm_gguf_architecture *arch,
                                     const rm_gguf_key *row, char key[RM_GGUF_KEY_BYTES])
{
    snprintf(key, RM_GGUF_KEY_BYTES, "%s.%s", arch->name, row->name);
    return rm_gguf_find(file, key);
}

static ringmoe_status read_key(const rm_gguf *file, const rm_gguf_architecture *arch,
                               const rm_gguf_key *row, ringmoe_model_config *config,
                               rm_error *error)
{
    char key[RM_GGUF_KEY_BYTES];
    const rm_gguf_value *value = find_key(file, arch, row, key);
    double number = row->fallback;
    void *field = rm_gguf_key_field(arch, row, config);
    if (!value && row->use == RM_GGUF_KEY_REQUIRED)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "key %s: is missing", key);
    if (value) RM_TRY(read_number(value, key, row->is_double, &number, error));
    if (row->is_double)
        *(double *)field = number;
    else
        *(int *)field = (int)number;
    return RINGMOE_OK;
}

static ringmoe_status check_key(const rm_gguf *file, const rm_gguf_architecture *arch,
                                const rm_gguf_key *row, const ringmoe_model_config *config,
                                rm_error *error)
{
    char key[RM_GGUF_KEY_BYTES], must[64];
    const rm_gguf_value *value = find_key(file, arch, row, key);
    double number, expected = row->fallback;
    if (!value) return RINGMOE_OK;
    if (row->use == RM_GGUF_KEY_SAME) expected = rm_gguf_key_value(arch, row, config);
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
static ringmoe_status check_unknown(const rm_gguf *file, const rm_gguf_architecture *arch,
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
        for (int row = 0; row < rm_gguf_n_keys; row++)
            is_known |= (rm_gguf_key_applies(arch, &rm_gguf_keys[row]) ||
                         rm_gguf_keys[row].scope == RM_GGUF_OF_EXPERTS) &&
                        says(&rest, rm_gguf_keys[row].name);
        if (!is_known)
            return rm_fail(error, RINGMOE_ERROR_FORMAT,
                           "key %.*s: is not known here and might change the arithmetic",
                           key->length < 100 ? (int)key->length : 100, key->bytes);
    }
    return RINGMOE_OK;
}

static ringmoe_status find_architecture(const rm_gguf *file, const rm_gguf_architecture **found,
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
    for (int i = 0; i < rm_gguf_n_architectures && !*found; i++)
        if (says(&value->texts[0], rm_gguf_architectures[i].name) &&
            (strcmp(rm_gguf_architectures[i].name, "llama") != 0 ||
             rm_gguf_architectures[i].has_experts == has_experts))
            *found = &rm_gguf_architectures[i];
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
static ringmoe_status read_tensors(const rm_gguf *file, const rm_gguf_architecture *arch,
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
static void set_defaults(const rm_gguf_architecture *arch, ringmoe_model_config *config)
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
    const rm_gguf_architecture *arch;
    RM_TRY(find_architecture(file, &arch, error));
    RM_TRY(check_unknown(file, arch, error));
    set_defaults(arch, config);
    RM_TRY(read_tensors(file, arch, config, error));
    for (int i = 0; i < rm_gguf_n_keys; i++)
        if (rm_gguf_key_applies(arch, &rm_gguf_keys[i]) &&
            rm_gguf_keys[i].use <= RM_GGUF_KEY_OPTIONAL)
            RM_TRY(read_key(file, arch, &rm_gguf_keys[i], config, error));
    rm_config_derive(config);
    for (int i = 0; i < rm_gguf_n_keys; i++)
        if (rm_gguf_key_applies(arch, &rm_gguf_keys[i]) &&
            (rm_gguf_keys[i].use == RM_GGUF_KEY_SAME ||
             rm_gguf_keys[i].use == RM_GGUF_KEY_FIXED))
            RM_TRY(check_key(file, arch, &rm_gguf_keys[i], config, error));
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

/* SPDX-License-Identifier: MIT */
#include "format/config_ids.h"

#include <limits.h>
#include <stddef.h>

#include "format/config_values.h"

#define AT(member) offsetof(ringmoe_model_config, member)

const rm_id_key rm_id_keys[RM_N_ID_KEYS] = {
    {"bos_token_id", "tokenizer.ggml.bos_token_id", AT(bos_token_id)},
    {"eos_token_id", "tokenizer.ggml.eos_token_id", AT(eos_token_id)},
    {"pad_token_id", "tokenizer.ggml.padding_token_id", AT(pad_token_id)},
};

ringmoe_token_ids *rm_config_ids_in(ringmoe_model_config *config, const rm_id_key *key)
{
    return (ringmoe_token_ids *)((char *)config + key->offset);
}

/* Ids that no vocabulary has are in some models' files, -1 for none among them. */
static bool read_id(const json_t *json, int *id)
{
    json_int_t number = json_integer_value(json);
    *id = (int)number;
    return json_is_integer(json) && number >= -1 && number <= INT_MAX;
}

static bool read_ids(const json_t *json, ringmoe_token_ids *ids)
{
    size_t n = json_is_array(json) ? json_array_size(json) : 1;
    if (n > RINGMOE_MAX_TOKEN_IDS) return false;
    for (size_t i = 0; i < n; i++)
        if (!read_id(json_is_array(json) ? json_array_get(json, i) : json, &ids->ids[i]))
            return false;
    ids->n = (int)n;
    return true;
}

ringmoe_status rm_config_ids_read(const json_t *root, ringmoe_model_config *config,
                                  rm_error *error)
{
    for (int i = 0; i < RM_N_ID_KEYS; i++) {
        const json_t *json = rm_value_of(root, rm_id_keys[i].key);
        if (json && !read_ids(json, rm_config_ids_in(config, &rm_id_keys[i])))
            return rm_value_refuse(error, rm_id_keys[i].key, json,
                                   "null, an id, or a list of at most 8 ids");
    }
    return RINGMOE_OK;
}

ringmoe_status rm_config_ids_check(const ringmoe_model_config *config, rm_error *error)
{
    for (int i = 0; i < RM_N_ID_KEYS; i++) {
        int n = rm_config_ids_in((ringmoe_model_config *)config, &rm_id_keys[i])->n;
        if (n < 0 || n > RINGMOE_MAX_TOKEN_IDS)
            return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "%s has %d ids; it may have 0..%d",
                           rm_id_keys[i].key, n, RINGMOE_MAX_TOKEN_IDS);
    }
    return RINGMOE_OK;
}

void rm_config_ids_write(FILE *out, const ringmoe_model_config *config)
{
    for (int i = 0; i < RM_N_ID_KEYS; i++) {
        const ringmoe_token_ids *ids =
            rm_config_ids_in((ringmoe_model_config *)config, &rm_id_keys[i]);
        fprintf(out, ",\n  \"%s\": %s", rm_id_keys[i].key,
                ids->n > 1 ? "[" : (ids->n ? "" : "null"));
        for (int at = 0; at < ids->n; at++) fprintf(out, at > 0 ? ", %d" : "%d", ids->ids[at]);
        if (ids->n > 1) fputs("]", out);
    }
}

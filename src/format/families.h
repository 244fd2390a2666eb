/* SPDX-License-Identifier: MIT
 *
 * The families of models that Hugging Face's config.json names by model_type, as rows of a
 * table: what their architectures are called, under which keys they keep the fields of
 * ringmoe_model_config, which switches they fix, and what their tensors are called. Only
 * reading, checking and writing a configuration and naming parameters look at it; everything
 * that computes reads the switches.
 *
 * To add a family: a value of ringmoe_family, its row, a line in tests/unit/test_families.c,
 * and a case in tests/golden/make_golden.py. What none of the switches expresses needs a new
 * one first.
 */
#ifndef RM_FAMILIES_H
#define RM_FAMILIES_H

#include <stdbool.h>

#include <ringmoe/model.h>

/* What a parameter is to its model. */
typedef enum rm_role {
    RM_ROLE_EMBEDDING,
    RM_ROLE_ATTENTION_NORM,
    RM_ROLE_QUERY,
    RM_ROLE_KEY,
    RM_ROLE_VALUE,
    RM_ROLE_QUERY_BIAS,
    RM_ROLE_KEY_BIAS,
    RM_ROLE_VALUE_BIAS,
    RM_ROLE_QUERY_NORM,
    RM_ROLE_KEY_NORM,
    RM_ROLE_OUTPUT,
    RM_ROLE_FFN_NORM,
    RM_ROLE_GATE, /* of a dense layer, with the next two */
    RM_ROLE_UP,
    RM_ROLE_DOWN,
    RM_ROLE_ROUTER,
    RM_ROLE_EXPERT_GATE,
    RM_ROLE_EXPERT_UP,
    RM_ROLE_EXPERT_DOWN,
    RM_ROLE_SHARED_GATE,
    RM_ROLE_SHARED_UP,
    RM_ROLE_SHARED_DOWN,
    RM_ROLE_SHARED_SWITCH, /* [1][d]: the shared expert's output times sigmoid(w x) */
    RM_ROLE_FINAL_NORM,
    RM_ROLE_HEAD,
    RM_N_ROLES
} rm_role;

#define RM_NAME_BYTES 96

typedef enum rm_field_presence {
    RM_FIELD_REQUIRED, /* must be in the file */
    RM_FIELD_OPTIONAL, /* gets its default */
    RM_FIELD_DERIVED,  /* gets a default made of other fields (rm_config_derive) */
} rm_field_presence;

/* Where a family differs from config_fields.c: a field of ringmoe_model_config and its key. */
typedef struct rm_family_key {
    const char *field;
    const char *key;   /* in the file; NULL: the family has no such setting */
    const char *alias; /* another key with the same meaning, which is read; NULL: none */
    rm_field_presence presence;
    double fallback; /* of an optional one; without a key the value it must have */
} rm_family_key;

enum { RM_FAMILY_KEYS_MOST = 24, RM_FAMILY_WRITTEN = 3 };

typedef struct rm_family {
    const char *model_type, *architecture;
    bool has_experts;
    ringmoe_qk_norm qk_norm;
    bool has_sparse_step;        /* keys decoder_sparse_step and mlp_only_layers are its own */
    bool window_has_switch;      /* sliding_window counts only with use_sliding_window */
    const char *experts;         /* where router and experts are in a layer; NULL: none */
    const char *expert_parts[3]; /* gate, up, down */
    const char *written[RM_FAMILY_WRITTEN];  /* further keys with the values they have here */
    rm_family_key keys[RM_FAMILY_KEYS_MOST]; /* those with a field */
} rm_family;

/* The row of a value of ringmoe_family; NULL: there is none. */
const rm_family *rm_family_of(int family);
/* The value for a model_type; -1: it is not known. */
int rm_family_find(const char *model_type);
/* For messages. */
#define RM_FAMILY_NAMES                                                                        \
    "\"mixtral\", \"olmoe\", \"qwen2_moe\", \"qwen3_moe\", \"llama\" or \"qwen3\""
/* How the family keeps a field; NULL: as config_fields.c says. */
const rm_family_key *rm_family_key_of(const rm_family *family, const char *field);

/* Everything but embedding, final norm and head. */
bool rm_role_has_layer(rm_role role);
/* The tensor's name in the family's files. layer and expert count where the role has them. */
void rm_family_tensor_name(const rm_family *family, rm_role role, int layer, int expert,
                           char name[RM_NAME_BYTES]);

#endif

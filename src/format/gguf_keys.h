/* SPDX-License-Identifier: MIT
 *
 * llama.cpp's keys of a model as a table: which field of ringmoe_model_config each is, in which
 * architectures. Reading and writing them are loops over it. The keys of an architecture begin
 * with its name: "qwen3moe.block_count".
 */
#ifndef RM_GGUF_KEYS_H
#define RM_GGUF_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include <ringmoe/model.h>

typedef struct rm_gguf_architecture {
    const char *name;
    ringmoe_family family;
    bool has_experts;
    bool is_unnormalized;   /* weights of the chosen experts, always so there */
    size_t feed_forward;    /* the field that feed_forward_length is */
    bool has_expert_length; /* experts have a length of their own */
    bool has_shared_expert;
    bool is_simple; /* heads divide the features among them, and the head is not tied */
} rm_gguf_architecture;

typedef enum rm_gguf_key_use {
    RM_GGUF_KEY_REQUIRED,
    RM_GGUF_KEY_OPTIONAL, /* gets `fallback` */
    RM_GGUF_KEY_SAME,     /* may be there, and says what the field says */
    RM_GGUF_KEY_FIXED,    /* may be there, and is `fallback` */
    RM_GGUF_KEY_OF_ROPE,  /* gguf_rope.c has it */
} rm_gguf_key_use;

typedef enum rm_gguf_key_scope {
    RM_GGUF_OF_ALL,
    RM_GGUF_OF_EXPERTS,
    RM_GGUF_OF_EXPERT_LENGTH,
    RM_GGUF_OF_SHARED_EXPERT,
    RM_GGUF_OF_FEED_FORWARD, /* offset is the architecture's */
} rm_gguf_key_scope;

typedef struct rm_gguf_key {
    const char *name; /* behind the architecture and a dot */
    size_t offset;
    bool is_double;
    rm_gguf_key_use use;
    rm_gguf_key_scope scope;
    double fallback;
} rm_gguf_key;

extern const rm_gguf_architecture rm_gguf_architectures[];
extern const int rm_gguf_n_architectures;
/* In this order they are written. */
extern const rm_gguf_key rm_gguf_keys[];
extern const int rm_gguf_n_keys;

/* Of a key with its architecture. */
enum { RM_GGUF_KEY_BYTES = 96 };

/* Whether models of the architecture have the key. */
bool rm_gguf_key_applies(const rm_gguf_architecture *arch, const rm_gguf_key *row);
void *rm_gguf_key_field(const rm_gguf_architecture *arch, const rm_gguf_key *row,
                        ringmoe_model_config *config);
double rm_gguf_key_value(const rm_gguf_architecture *arch, const rm_gguf_key *row,
                         const ringmoe_model_config *config);

#endif

/* SPDX-License-Identifier: MIT */
#include "convert/tokenizer_keys.h"

#include <ringmoe/tokenizer.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "format/config_ids.h"

#define KEY(name) "tokenizer.ggml." name
enum { PADDING_BYTES = 24 };

/* The lists of a tokenizer with as many tokens as the model has. */
typedef struct padded_lists {
    const char **tokens;
    int32_t *types;
    float *scores;
    char (*names)[PADDING_BYTES]; /* of tokens that only the model has */
} padded_lists;

static void free_lists(padded_lists *lists)
{
    free(lists->tokens);
    free(lists->types);
    free(lists->scores);
    free(lists->names);
}

/* A spelling that no token has. */
static void name_padding(const ringmoe_tokenizer *tokenizer, int id, char name[PADDING_BYTES])
{
    static const char marks[] = "____";
    for (int n = 0; n < (int)sizeof marks; n++) {
        snprintf(name, PADDING_BYTES, "[PAD%.*s%d]", n, marks, id);
        if (ringmoe_tokenizer_find(tokenizer, name) < 0) return;
    }
}

static ringmoe_status pad_lists(const ringmoe_tokenizer *tokenizer,
                                const ringmoe_tokenizer_parts *parts, int vocab_size,
                                padded_lists *lists, rm_error *error)
{
    size_t n = (size_t)vocab_size;
    *lists = (padded_lists){.tokens = calloc(n, sizeof *lists->tokens),
                            .types = calloc(n, sizeof *lists->types),
                            .scores = calloc(n, sizeof *lists->scores),
                            .names = calloc(n, sizeof *lists->names)};
    if (!lists->tokens || !lists->types || !lists->scores || !lists->names)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a list of %d tokens",
                       vocab_size);
    for (int i = 0; i < vocab_size; i++) {
        bool is_own = i < parts->n_tokens;
        if (!is_own) name_padding(tokenizer, i, lists->names[i]);
        lists->tokens[i] = is_own ? parts->tokens[i] : lists->names[i];
        lists->types[i] = !is_own        ? RINGMOE_TOKEN_UNUSED
                          : parts->types ? parts->types[i]
                                         : RINGMOE_TOKEN_NORMAL;
        lists->scores[i] = is_own && parts->scores ? parts->scores[i] : 0;
    }
    return RINGMOE_OK;
}

static void put_id(rm_gguf_writer *writer, const char *key, int id)
{
    if (id >= 0) rm_gguf_put_u32(writer, key, (uint32_t)id);
}

/* The ids that config.json names too, which count where the tokenizer names none. */
static void put_common_ids(const ringmoe_model_config *config, const int own[RM_N_ID_KEYS],
                           rm_gguf_writer *writer)
{
    for (int i = 0; i < RM_N_ID_KEYS; i++) {
        const ringmoe_token_ids *ids =
            rm_config_ids_in((ringmoe_model_config *)config, &rm_id_keys[i]);
        bool has_one = ids->n > 0 && ids->ids[0] < config->vocab_size;
        put_id(writer, rm_id_keys[i].gguf, own[i] >= 0 || !has_one ? own[i] : ids->ids[0]);
    }
}

static void put_parts(const ringmoe_tokenizer_parts *parts, const padded_lists *lists,
                      const ringmoe_model_config *config, rm_gguf_writer *writer)
{
    int vocab_size = config->vocab_size;
    bool is_bytes = parts->kind == RINGMOE_TOKENIZER_BYTES;
    rm_gguf_put_text(writer, KEY("model"), is_bytes ? "gpt2" : "llama");
    if (is_bytes) rm_gguf_put_text(writer, KEY("pre"), parts->pattern);
    rm_gguf_put_texts(writer, KEY("tokens"), lists->tokens, vocab_size);
    rm_gguf_put_numbers(writer, KEY("token_type"), RM_GGUF_I32, lists->types, vocab_size);
    if (is_bytes)
        rm_gguf_put_texts(writer, KEY("merges"), parts->merges, parts->n_merges);
    else
        rm_gguf_put_numbers(writer, KEY("scores"), RM_GGUF_F32, lists->scores, vocab_size);
    put_common_ids(config, (const int[]){parts->bos, parts->eos, parts->padding}, writer);
    put_id(writer, KEY("unknown_token_id"), parts->unknown);
    rm_gguf_put_bool(writer, KEY("add_bos_token"), parts->adds_bos);
    rm_gguf_put_bool(writer, KEY("add_eos_token"), parts->adds_eos);
    if (!is_bytes) rm_gguf_put_bool(writer, KEY("add_space_prefix"), parts->adds_blank);
    if (parts->chat_template)
        rm_gguf_put_text(writer, "tokenizer.chat_template", parts->chat_template);
}

static ringmoe_status put_tokenizer(ringmoe_context *context, const char *folder,
                                    ringmoe_tokenizer *tokenizer,
                                    const ringmoe_model_config *config, rm_gguf_writer *writer)
{
    ringmoe_tokenizer_parts parts;
    padded_lists lists;
    int vocab_size = config->vocab_size;
    RM_TRY(ringmoe_tokenizer_describe(tokenizer, &parts));
    if (parts.n_tokens > vocab_size)
        return rm_fail(&context->error, RINGMOE_ERROR_FORMAT,
                       "%s: its tokenizer has %d tokens, its model only %d", folder,
                       parts.n_tokens, vocab_size);
    if (parts.kind == RINGMOE_TOKENIZER_BYTES && !parts.pattern)
        return rm_fail(&context->error, RINGMOE_ERROR_FORMAT,
                       "%s: llama.cpp has no name for the pattern by which its tokenizer cuts "
                       "text into words",
                       folder);
    ringmoe_status status = pad_lists(tokenizer, &parts, vocab_size, &lists, &context->error);
    if (status == RINGMOE_OK) put_parts(&parts, &lists, config, writer);
    free_lists(&lists);
    return status;
}

static ringmoe_status find_tokenizer(const char *folder, bool *is_there, rm_error *error)
{
    char *path = rm_path_join(folder, "tokenizer.json");
    if (!path)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its name", folder);
    *is_there = access(path, F_OK) == 0;
    free(path);
    return RINGMOE_OK;
}

ringmoe_status rm_tokenizer_put_keys(ringmoe_context *context, const char *folder,
                                     const ringmoe_model_config *config, rm_gguf_writer *writer)
{
    ringmoe_tokenizer *tokenizer = NULL;
    bool is_there = false;
    if (folder) RM_TRY(find_tokenizer(folder, &is_there, &context->error));
    if (!is_there) {
        rm_gguf_put_text(writer, KEY("model"), "none");
        put_common_ids(config, (const int[]){-1, -1, -1}, writer);
        return RINGMOE_OK;
    }
    ringmoe_status status = ringmoe_tokenizer_open(context, folder, &tokenizer);
    if (status == RINGMOE_OK)
        status = put_tokenizer(context, folder, tokenizer, config, writer);
    ringmoe_tokenizer_destroy(&tokenizer);
    return status;
}

void rm_tokenizer_copy_keys(const rm_gguf *file, rm_gguf_writer *writer)
{
    static const char prefix[] = "tokenizer.";
    bool has_one = false;
    for (int i = 0; i < rm_gguf_value_count(file); i++) {
        const rm_gguf_value *value = rm_gguf_value_at(file, i);
        if (value->key.length < (int64_t)sizeof prefix ||
            memcmp(value->key.bytes, prefix, sizeof prefix - 1) != 0)
            continue;
        rm_gguf_put_value(writer, value);
        has_one = true;
    }
    if (!has_one) rm_gguf_put_text(writer, KEY("model"), "none");
}

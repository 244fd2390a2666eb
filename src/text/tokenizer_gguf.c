/* SPDX-License-Identifier: MIT
 *
 * The tokenizer of a GGUF file, from its keys tokenizer.ggml.*.
 */
#include "text/tokenizer_gguf.h"

#include <stdlib.h>
#include <string.h>

#include "format/gguf.h"
#include "format/printable.h"

/* What the parts point to while a tokenizer is made of them. */
typedef struct gguf_lists {
    const rm_gguf *file;
    rm_text_pool texts;
    const char **tokens, **merges;
    int32_t *types;
    float *scores;
    bool has_memory;
} gguf_lists;

/* In new memory that ends with NUL; NULL without memory, or with a NUL in it. */
static const char *text_of(gguf_lists *lists, rm_gguf_text text)
{
    const char *copy = rm_text_pool_add(&lists->texts, text.bytes, text.length);
    if (!copy) lists->has_memory = false;
    return copy && (int64_t)strlen(copy) == text.length ? copy : NULL;
}

static const rm_gguf_value *find(const gguf_lists *lists, const char *key, bool is_array)
{
    const rm_gguf_value *value = rm_gguf_find(lists->file, key);
    return value && value->is_array == is_array ? value : NULL;
}

static const char *find_text(gguf_lists *lists, const char *key)
{
    const rm_gguf_value *value = find(lists, key, false);
    return value && value->texts ? text_of(lists, value->texts[0]) : NULL;
}

static int find_integer(const gguf_lists *lists, const char *key, int otherwise)
{
    const rm_gguf_value *value = find(lists, key, false);
    int64_t number;
    if (!value || !rm_gguf_integer(value, 0, &number)) return otherwise;
    return number >= 0 && number < INT32_MAX ? (int)number : -1;
}

/* FORMAT: the key is missing, no list of strings, or too long. */
static ringmoe_status read_texts(gguf_lists *lists, const char *key, const char ***texts,
                                 int *n, rm_error *error)
{
    const rm_gguf_value *value = find(lists, key, true);
    if (!value || !value->texts || value->n > RM_MOST_TOKENS)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "%s is missing, no list of strings, or longer than %d", key,
                       RM_MOST_TOKENS);
    *n = (int)value->n;
    *texts = calloc((size_t)value->n + 1, sizeof **texts);
    if (!*texts) lists->has_memory = false;
    for (int64_t i = 0; lists->has_memory && i < value->n; i++)
        (*texts)[i] = text_of(lists, value->texts[i]);
    if (lists->has_memory) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %s", key);
}

/* Types and scores are as many as tokens, or not there. */
static ringmoe_status read_numbers(gguf_lists *lists, int n, rm_error *error)
{
    const rm_gguf_value *types = find(lists, "tokenizer.ggml.token_type", true);
    const rm_gguf_value *scores = find(lists, "tokenizer.ggml.scores", true);
    if ((types && types->n != n) || (scores && scores->n != n))
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "tokenizer.ggml.token_type or .scores: not one for each of %d tokens",
                       n);
    if (types) lists->types = malloc((size_t)n * sizeof *lists->types + 1);
    if (scores) lists->scores = malloc((size_t)n * sizeof *lists->scores + 1);
    if ((types && !lists->types) || (scores && !lists->scores))
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %d tokens", n);
    for (int i = 0; i < n; i++) {
        int64_t type = 0;
        double score = 0;
        if ((types && !rm_gguf_integer(types, i, &type)) ||
            (scores && !rm_gguf_number(scores, i, &score)))
            return rm_fail(error, RINGMOE_ERROR_FORMAT,
                           "tokenizer.ggml.token_type or .scores: no number for token %d", i);
        if (types) lists->types[i] = (int32_t)type;
        if (scores) lists->scores[i] = (float)score;
    }
    return RINGMOE_OK;
}

static ringmoe_status read_parts(gguf_lists *lists, ringmoe_tokenizer_parts *parts,
                                 rm_error *error)
{
    const char *model = find_text(lists, "tokenizer.ggml.model");
    bool is_bytes = model && strcmp(model, "gpt2") == 0;
    if (!model || strcmp(model, "none") == 0)
        return rm_fail(error, RINGMOE_ERROR_STATE, "the file has no tokenizer");
    if (!is_bytes && strcmp(model, "llama") != 0)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "tokenizer.ggml.model is %.40s: gpt2 and llama can be read", model);
    parts->kind = is_bytes ? RINGMOE_TOKENIZER_BYTES : RINGMOE_TOKENIZER_CHARACTERS;
    RM_TRY(read_texts(lists, "tokenizer.ggml.tokens", &lists->tokens, &parts->n_tokens, error));
    RM_TRY(read_numbers(lists, parts->n_tokens, error));
    if (is_bytes)
        RM_TRY(read_texts(lists, "tokenizer.ggml.merges", &lists->merges, &parts->n_merges,
                          error));
    parts->pattern = find_text(lists, "tokenizer.ggml.pre");
    parts->tokens = lists->tokens;
    parts->merges = lists->merges;
    parts->types = lists->types;
    parts->scores = lists->scores;
    parts->bos = find_integer(lists, "tokenizer.ggml.bos_token_id", -1);
    parts->eos = find_integer(lists, "tokenizer.ggml.eos_token_id", -1);
    parts->unknown = find_integer(lists, "tokenizer.ggml.unknown_token_id", -1);
    parts->padding = find_integer(lists, "tokenizer.ggml.padding_token_id", -1);
    /* What llama.cpp takes for granted where the key is missing. */
    bool adds_bos = !is_bytes || (parts->pattern && rm_pattern_begins_with_bos(parts->pattern));
    parts->adds_bos = find_integer(lists, "tokenizer.ggml.add_bos_token", adds_bos);
    parts->adds_eos = find_integer(lists, "tokenizer.ggml.add_eos_token", 0);
    parts->adds_blank = find_integer(lists, "tokenizer.ggml.add_space_prefix", 1);
    parts->chat_template = find_text(lists, "tokenizer.chat_template");
    return RINGMOE_OK;
}

ringmoe_status rm_tokenizer_from_gguf(ringmoe_context *context, const char *path,
                                      ringmoe_tokenizer **tokenizer, rm_error *error)
{
    rm_gguf *file;
    rm_error why = {""};
    gguf_lists lists = {.has_memory = true};
    ringmoe_tokenizer_parts parts;
    ringmoe_tokenizer_parts_default(&parts);
    *tokenizer = NULL;
    RM_TRY(rm_gguf_open(path, &file, error));
    lists.file = file;
    ringmoe_status status = read_parts(&lists, &parts, &why);
    if (status == RINGMOE_OK)
        status = rm_tokenizer_from_parts(context, &parts, tokenizer, &why);
    rm_text_pool_free(&lists.texts);
    free(lists.tokens);
    free(lists.merges);
    free(lists.types);
    free(lists.scores);
    rm_gguf_close(&file);
    rm_text_make_printable(why.text);
    return status == RINGMOE_OK ? status : rm_fail(error, status, "%s: %s", path, why.text);
}

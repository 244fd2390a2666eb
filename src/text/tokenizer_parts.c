/* SPDX-License-Identifier: MIT
 *
 * A tokenizer from lists, as GGUF has them. Where there are scores instead of merges, each way
 * to put a token together from two others is a merge, in the order of the tokens' scores
 * (sentencepiece merges by the score of what two neighbours would become).
 */
#include "text/tokenizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "comm/context.h"
#include "format/printable.h"

void ringmoe_tokenizer_parts_default(ringmoe_tokenizer_parts *parts)
{
    *parts = (ringmoe_tokenizer_parts){.bos = -1, .eos = -1, .unknown = -1, .padding = -1};
}

static ringmoe_status check_id(int id, const char *what, int n_tokens, rm_error *error)
{
    if (id >= -1 && id < n_tokens) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "the %s token's id is %d; it must be below %d, or -1: none", what, id,
                   n_tokens);
}

static ringmoe_status check(const ringmoe_tokenizer_parts *parts, rm_error *error)
{
    bool is_bytes = parts->kind == RINGMOE_TOKENIZER_BYTES;
    if (!is_bytes && parts->kind != RINGMOE_TOKENIZER_CHARACTERS)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "kind is %d, which is none",
                       (int)parts->kind);
    if (parts->n_tokens < 1 || parts->n_tokens > RM_MOST_TOKENS || !parts->tokens)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "n_tokens is %d; it must be from 1 to %d, with a list of them",
                       parts->n_tokens, RM_MOST_TOKENS);
    if (is_bytes && (!parts->merges || !parts->pattern))
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "a tokenizer over bytes without merges, or without the name of the "
                       "pattern by which text is cut into words");
    if (!is_bytes && !parts->scores)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "a tokenizer over characters without scores");
    RM_TRY(check_id(parts->bos, "bos", parts->n_tokens, error));
    RM_TRY(check_id(parts->eos, "eos", parts->n_tokens, error));
    RM_TRY(check_id(parts->unknown, "unknown", parts->n_tokens, error));
    return check_id(parts->padding, "padding", parts->n_tokens, error);
}

static int type_of(const ringmoe_tokenizer_parts *parts, int id)
{
    return parts->types ? parts->types[id] : RINGMOE_TOKEN_NORMAL;
}

static bool is_special(int type)
{
    return type == RINGMOE_TOKEN_CONTROL || type == RINGMOE_TOKEN_UNKNOWN;
}

static bool is_added(int type)
{
    return is_special(type) || type == RINGMOE_TOKEN_ADDED;
}

/* The tokens that text is made of, then those that are found as a whole; unused ones and texts
 * that another id has too stay out. */
static ringmoe_status spell(ringmoe_tokenizer *tokenizer, const ringmoe_tokenizer_parts *parts,
                            bool wants_added, rm_error *error)
{
    for (int id = 0; id < parts->n_tokens; id++) {
        const char *text = parts->tokens[id];
        int type = type_of(parts, id);
        if (!text || !*text || type == RINGMOE_TOKEN_UNUSED || is_added(type) != wants_added)
            continue;
        int64_t bytes = (int64_t)strlen(text);
        if (type < RINGMOE_TOKEN_NORMAL || type > RINGMOE_TOKEN_BYTE)
            return rm_fail(error, RINGMOE_ERROR_FORMAT,
                           "token %d is of type %d; %d to %d are possible", id, type,
                           RINGMOE_TOKEN_NORMAL, RINGMOE_TOKEN_BYTE);
        if (rm_utf8_valid(text, bytes) < bytes)
            return rm_fail(error, RINGMOE_ERROR_FORMAT, "token %d is not UTF-8", id);
        if (rm_text_map_find(&tokenizer->spelled, text, bytes) >= 0) continue;
        RM_TRY(rm_tokenizer_spell(tokenizer, id, text, bytes, (ringmoe_token_type)type, error));
        rm_added_token token = {.id = id, .is_special = is_special(type)};
        if (wants_added) RM_TRY(rm_tokenizer_add(tokenizer, token, false, error));
    }
    return RINGMOE_OK;
}

/* --- over bytes
 * ------------------------------------------------------------------------------- */

/* Other names that are in use for the same. */
static const char *usual_name(const char *name)
{
    static const char *const others[][2] = {{"gpt2", "gpt-2"},
                                            {"llama3", "llama-bpe"},
                                            {"llama-v3", "llama-bpe"},
                                            {"dolma", "olmo"}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(name, others[i][0]) == 0) return others[i][1];
    return name;
}

bool rm_pattern_begins_with_bos(const char *name)
{
    return strcmp(usual_name(name), "llama-bpe") == 0;
}

static ringmoe_status set_pattern(ringmoe_tokenizer *tokenizer, const char *name,
                                  rm_error *error)
{
    const rm_named_pattern *row = rm_named_patterns;
    while (row->name && strcmp(row->name, usual_name(name)) != 0) row++;
    if (!row->name)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "the pattern %.40s, by which text is to be cut into words, is not known "
                       "here: gpt-2, olmo, qwen2 and llama-bpe are",
                       name);
    tokenizer->pattern_name = row->name;
    tokenizer->takes_whole_words = row->takes_whole_words;
    if (row->is_composed)
        tokenizer->changes[tokenizer->n_changes++] =
            (rm_change){.kind = RM_CHANGE_FORM, .form = RM_NFC};
    return rm_tokenizer_add_pattern(tokenizer, row->text, false, (rm_cut){0}, error);
}

static ringmoe_status read_merges(ringmoe_tokenizer *tokenizer,
                                  const ringmoe_tokenizer_parts *parts, rm_error *error)
{
    for (int i = 0; i < parts->n_merges; i++) {
        const char *left = parts->merges[i], *blank = left ? strchr(left, ' ') : NULL;
        if (!blank)
            return rm_fail(error, RINGMOE_ERROR_FORMAT, "merge %d is not a pair of tokens", i);
        RM_TRY(rm_tokenizer_merge(tokenizer, left, blank - left, blank + 1,
                                  (int64_t)strlen(blank + 1), error));
    }
    return RINGMOE_OK;
}

/* --- over characters
 * --------------------------------------------------------------------------- */

/* The ways to cut a token in two take time that grows with its length squared. */
enum { MOST_SCORED_BYTES = 1024 };

typedef struct scored {
    float score;
    int32_t id;
} scored;

static int compare_scores(const void *a, const void *b)
{
    const scored *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

/* All the ways to cut a token in two. */
static ringmoe_status add_merges_of(ringmoe_tokenizer *tokenizer, const rm_token *token,
                                    int32_t rank, rm_error *error)
{
    const rm_text_map *words = &tokenizer->words;
    if (token->n_spelling > MOST_SCORED_BYTES)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "a token of %d bytes: at most %d are possible with scores",
                       token->n_spelling, MOST_SCORED_BYTES);
    for (int32_t cut = 0;;) {
        cut += rm_utf8_length((unsigned char)token->spelling[cut]);
        if (cut >= token->n_spelling) return RINGMOE_OK;
        const char *right = token->spelling + cut;
        int32_t n_right = token->n_spelling - cut;
        if (rm_text_map_find(words, token->spelling, cut) < 0 ||
            rm_text_map_find(words, right, n_right) < 0)
            continue;
        RM_TRY(rm_tokenizer_merge(tokenizer, token->spelling, cut, right, n_right, error));
        tokenizer->merge_list[tokenizer->n_merges - 1].rank = rank;
    }
}

static ringmoe_status make_merges(ringmoe_tokenizer *tokenizer,
                                  const ringmoe_tokenizer_parts *parts, rm_error *error)
{
    int64_t n = 0;
    scored *list = malloc((size_t)parts->n_tokens * sizeof *list);
    if (!list) return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the merges");
    for (int id = 0; id < parts->n_tokens; id++)
        if (tokenizer->tokens[id].spelling && type_of(parts, id) == RINGMOE_TOKEN_NORMAL &&
            !isnan(parts->scores[id]))
            list[n++] = (scored){parts->scores[id], id};
    qsort(list, (size_t)n, sizeof *list, compare_scores);
    ringmoe_status status = RINGMOE_OK;
    int32_t rank = 0;
    for (int64_t i = 0; status == RINGMOE_OK && i < n; i++) {
        if (i > 0 && list[i].score != list[i - 1].score) rank = (int32_t)i;
        status = add_merges_of(tokenizer, &tokenizer->tokens[list[i].id], rank, error);
    }
    free(list);
    return status;
}

static void set_blanks(ringmoe_tokenizer *tokenizer, const ringmoe_tokenizer_parts *parts)
{
    if (parts->adds_blank) {
        tokenizer->changes[tokenizer->n_changes++] = (rm_change){
            .kind = RM_CHANGE_PREPEND, .to = RM_BLANK_MARK, .n_to = RM_BLANK_MARK_BYTES};
        tokenizer->first_blank = RM_BLANK_GOES;
    }
    tokenizer->changes[tokenizer->n_changes++] = (rm_change){.kind = RM_CHANGE_REPLACE,
                                                             .from = " ",
                                                             .n_from = 1,
                                                             .to = RM_BLANK_MARK,
                                                             .n_to = RM_BLANK_MARK_BYTES};
    tokenizer->falls_back = tokenizer->fuses_unknown = true;
}

/* --- the whole
 * --------------------------------------------------------------------------------- */

/* The id, if a token has it. */
static int known(const ringmoe_tokenizer *tokenizer, int id)
{
    return ringmoe_tokenizer_spelling(tokenizer, id) ? id : -1;
}

static ringmoe_status set_rest(ringmoe_tokenizer *tokenizer,
                               const ringmoe_tokenizer_parts *parts, rm_error *error)
{
    bool is_bytes = parts->kind == RINGMOE_TOKENIZER_BYTES;
    rm_decoding decoding = {
        .byte_level = is_bytes, .marks_to_blanks = !is_bytes, .byte_tokens = !is_bytes};
    tokenizer->bos = known(tokenizer, parts->bos);
    tokenizer->eos = known(tokenizer, parts->eos);
    tokenizer->unknown_name = known(tokenizer, parts->unknown);
    if (!is_bytes) tokenizer->unknown = tokenizer->unknown_name;
    tokenizer->padding = known(tokenizer, parts->padding);
    if (parts->adds_bos && tokenizer->bos >= 0)
        tokenizer->before[tokenizer->n_before++] = tokenizer->bos;
    if (parts->adds_eos && tokenizer->eos >= 0)
        tokenizer->after[tokenizer->n_after++] = tokenizer->eos;
    if (parts->chat_template) {
        const char *text = parts->chat_template;
        tokenizer->chat_template =
            rm_text_pool_add(&tokenizer->texts, text, (int64_t)strlen(text));
        if (!tokenizer->chat_template)
            return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the chat template");
    }
    RM_TRY(rm_tokenizer_finish_merges(tokenizer, error));
    RM_TRY(rm_tokenizer_decode(tokenizer, decoding, error));
    return rm_encoder_create(tokenizer, &tokenizer->encoder, error);
}

static ringmoe_status make(ringmoe_tokenizer *tokenizer, const ringmoe_tokenizer_parts *parts,
                           rm_error *error)
{
    bool is_bytes = parts->kind == RINGMOE_TOKENIZER_BYTES;
    tokenizer->kind = parts->kind;
    RM_TRY(rm_tokenizer_reserve(tokenizer, parts->n_tokens, error));
    RM_TRY(spell(tokenizer, parts, false, error));
    RM_TRY(spell(tokenizer, parts, true, error));
    RM_TRY(rm_tokenizer_index(tokenizer, error));
    if (is_bytes)
        RM_TRY(set_pattern(tokenizer, parts->pattern, error));
    else
        set_blanks(tokenizer, parts);
    RM_TRY(is_bytes ? read_merges(tokenizer, parts, error)
                    : make_merges(tokenizer, parts, error));
    return set_rest(tokenizer, parts, error);
}

ringmoe_status rm_tokenizer_from_parts(ringmoe_context *context,
                                       const ringmoe_tokenizer_parts *parts,
                                       ringmoe_tokenizer **tokenizer, rm_error *error)
{
    *tokenizer = NULL;
    RM_TRY(check(parts, error));
    ringmoe_tokenizer *made = rm_tokenizer_new(context);
    if (!made) return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the tokenizer");
    ringmoe_status status = make(made, parts, error);
    if (status != RINGMOE_OK) ringmoe_tokenizer_destroy(&made);
    *tokenizer = made;
    return status;
}

ringmoe_status ringmoe_tokenizer_create(ringmoe_context *context,
                                        const ringmoe_tokenizer_parts *parts,
                                        ringmoe_tokenizer **tokenizer)
{
    ringmoe_status status =
        rm_tokenizer_from_parts(context, parts, tokenizer, context ? &context->error : NULL);
    if (context) rm_text_make_printable(context->error.text);
    /* There is no file that could be malformed. */
    return status == RINGMOE_ERROR_FORMAT ? RINGMOE_ERROR_ARGUMENT : status;
}

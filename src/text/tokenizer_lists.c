/* SPDX-License-Identifier: MIT
 *
 * A tokenizer as lists: the other way round than tokenizer_parts.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/context.h"
#include "text/tokenizer_lists.h"

struct rm_tokenizer_lists {
    ringmoe_tokenizer_parts parts;
    const char **tokens, **merges;
    int32_t *types;
    float *scores;
    rm_text_pool texts;
};

void rm_tokenizer_lists_free(rm_tokenizer_lists **lists)
{
    rm_tokenizer_lists *old = *lists;
    if (!old) return;
    rm_text_pool_free(&old->texts);
    free(old->tokens);
    free(old->merges);
    free(old->types);
    free(old->scores);
    free(old);
    *lists = NULL;
}

/* A spelling that no token has: "[unused7]", or with more lines before the number. */
static const char *name_unused(const ringmoe_tokenizer *tokenizer, int id, rm_text_pool *texts)
{
    static const char lines[] = "________";
    char name[40];
    int bytes = 0;
    for (int n = 0; n < (int)sizeof lines; n++) {
        bytes = snprintf(name, sizeof name, "[unused%.*s%d]", n, lines, id);
        if (ringmoe_tokenizer_find(tokenizer, name) < 0) break;
    }
    return rm_text_pool_add(texts, name, bytes);
}

static bool list_tokens(const ringmoe_tokenizer *tokenizer, rm_tokenizer_lists *lists)
{
    size_t n = (size_t)tokenizer->n_tokens;
    lists->tokens = calloc(n, sizeof *lists->tokens);
    lists->types = calloc(n, sizeof *lists->types);
    if (!lists->tokens || !lists->types) return false;
    for (int id = 0; id < tokenizer->n_tokens; id++) {
        const rm_token *token = &tokenizer->tokens[id];
        lists->types[id] = token->type;
        lists->tokens[id] = token->spelling;
        if (token->spelling) continue;
        lists->tokens[id] = name_unused(tokenizer, id, &lists->texts);
        if (!lists->tokens[id]) return false;
    }
    return true;
}

/* "left right" */
static bool list_merges(const ringmoe_tokenizer *tokenizer, rm_tokenizer_lists *lists)
{
    rm_bytes text = {0};
    bool done = true;
    lists->merges = calloc((size_t)tokenizer->n_merges + 1, sizeof *lists->merges);
    for (int64_t i = 0; lists->merges && done && i < tokenizer->n_merges; i++) {
        const rm_token *left = &tokenizer->tokens[tokenizer->merge_list[i].left];
        const rm_token *right = &tokenizer->tokens[tokenizer->merge_list[i].right];
        text.count = 0;
        done = rm_bytes_add(&text, left->spelling, left->n_spelling) &&
               rm_bytes_add(&text, " ", 1) &&
               rm_bytes_add(&text, right->spelling, right->n_spelling);
        if (done) lists->merges[i] = rm_text_pool_add(&lists->texts, text.data, text.count);
        done = done && lists->merges[i];
    }
    rm_bytes_free(&text);
    return lists->merges && done;
}

/* The earlier a token can be made, the higher its score; what no merge makes is last. */
static bool list_scores(const ringmoe_tokenizer *tokenizer, rm_tokenizer_lists *lists)
{
    int n = tokenizer->n_tokens;
    lists->scores = malloc((size_t)n * sizeof *lists->scores);
    if (!lists->scores) return false;
    for (int id = 0; id < n; id++)
        lists->scores[id] = tokenizer->tokens[id].type == RINGMOE_TOKEN_NORMAL
                                ? -(float)(tokenizer->n_merges + 1)
                                : 0;
    for (int64_t i = tokenizer->n_merges - 1; i >= 0; i--)
        lists->scores[tokenizer->merge_list[i].id] = -(float)tokenizer->merge_list[i].rank;
    return true;
}

static void fill(const ringmoe_tokenizer *tokenizer, rm_tokenizer_lists *lists)
{
    bool is_bytes = tokenizer->kind == RINGMOE_TOKENIZER_BYTES;
    bool frames = tokenizer->n_before > 0 && tokenizer->bos >= 0;
    ringmoe_tokenizer_parts *parts = &lists->parts;
    ringmoe_tokenizer_parts_default(parts);
    parts->kind = tokenizer->kind;
    parts->pattern = is_bytes ? tokenizer->pattern_name : NULL;
    parts->n_tokens = tokenizer->n_tokens;
    parts->tokens = lists->tokens;
    parts->types = lists->types;
    parts->scores = lists->scores;
    parts->merges = lists->merges;
    parts->n_merges = is_bytes ? (int)tokenizer->n_merges : 0;
    parts->bos = tokenizer->bos;
    parts->eos = tokenizer->eos;
    parts->unknown = ringmoe_tokenizer_unknown(tokenizer);
    parts->padding = tokenizer->padding;
    parts->adds_bos = frames && tokenizer->before[0] == tokenizer->bos;
    parts->adds_eos = tokenizer->n_after > 0 && tokenizer->after[0] == tokenizer->eos;
    parts->chat_template = tokenizer->chat_template;
    for (int i = 0; !is_bytes && i < tokenizer->n_changes; i++)
        if (tokenizer->changes[i].kind == RM_CHANGE_PREPEND) parts->adds_blank = 1;
    for (int i = 0; !is_bytes && i < tokenizer->n_cuts; i++)
        if (tokenizer->cuts[i].front != RM_FRONT_NEVER) parts->adds_blank = 1;
}

/* What lists have a place for, of a tokenizer over characters. */
static bool has_plain_blanks(const ringmoe_tokenizer *tokenizer)
{
    bool fits = tokenizer->falls_back && !tokenizer->takes_whole_words;
    for (int i = 0; i < tokenizer->n_changes; i++) {
        const rm_change *change = &tokenizer->changes[i];
        bool is_front = change->kind == RM_CHANGE_PREPEND;
        bool is_blank = change->kind == RM_CHANGE_REPLACE && strcmp(change->from, " ") == 0;
        fits = fits && (is_front || is_blank) && strcmp(change->to, RM_BLANK_MARK) == 0;
    }
    for (int i = 0; i < tokenizer->n_cuts; i++)
        fits = fits && tokenizer->cuts[i].kind == RM_CUT_BLANKS;
    return fits && tokenizer->n_changes + tokenizer->n_cuts > 0;
}

static ringmoe_status check_fit(const ringmoe_tokenizer *tokenizer, rm_error *error)
{
    bool bos_fits = tokenizer->n_before == 0 ||
                    (tokenizer->n_before == 1 && tokenizer->before[0] == tokenizer->bos);
    bool eos_fits = tokenizer->n_after == 0 ||
                    (tokenizer->n_after == 1 && tokenizer->after[0] == tokenizer->eos);
    if (!bos_fits || !eos_fits)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "this tokenizer puts more around a text than lists (and GGUF) can say: "
                       "one token that begins it and one that ends it");
    if (tokenizer->kind == RINGMOE_TOKENIZER_BYTES || has_plain_blanks(tokenizer))
        return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "this tokenizer does more to a text than lists (and GGUF) can say of one "
                   "over characters: blanks become U+2581, unknown characters bytes");
}

ringmoe_status ringmoe_tokenizer_describe(ringmoe_tokenizer *tokenizer,
                                          ringmoe_tokenizer_parts *parts)
{
    rm_error *error = tokenizer->context ? &tokenizer->context->error : NULL;
    if (!tokenizer->lists) {
        RM_TRY(check_fit(tokenizer, error));
        rm_tokenizer_lists *lists = calloc(1, sizeof *lists);
        bool done =
            lists && list_tokens(tokenizer, lists) &&
            (tokenizer->kind == RINGMOE_TOKENIZER_BYTES ? list_merges(tokenizer, lists)
                                                        : list_scores(tokenizer, lists));
        if (!done) {
            rm_tokenizer_lists_free(&lists);
            return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the tokenizer's lists");
        }
        fill(tokenizer, lists);
        tokenizer->lists = lists;
    }
    *parts = tokenizer->lists->parts;
    return RINGMOE_OK;
}

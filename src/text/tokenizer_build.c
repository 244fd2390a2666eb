/* SPDX-License-Identifier: MIT
 *
 * The steps by which a tokenizer comes to be, whether from a file or from lists.
 */
#include <stdlib.h>
#include <string.h>

#include "format/printable.h"
#include "text/tokenizer_encode.h"

static ringmoe_status fail_memory(rm_error *error)
{
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the tokenizer");
}

/* A spelling as a message shows it. */
typedef struct shown {
    char text[48];
} shown;

static shown show(const char *text, int64_t bytes)
{
    shown result;
    int64_t most = (int64_t)sizeof result.text - 1, n = bytes < most ? bytes : most;
    memcpy(result.text, text, (size_t)n);
    result.text[n] = '\0';
    rm_text_make_printable(result.text);
    return result;
}

ringmoe_status rm_tokenizer_reserve(ringmoe_tokenizer *tokenizer, int64_t ids, rm_error *error)
{
    if (ids < 1 || ids > RM_MOST_TOKENS)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "a vocabulary with ids up to %lld: 0 to %d are possible",
                       (long long)ids - 1, RM_MOST_TOKENS - 1);
    tokenizer->tokens = calloc((size_t)ids, sizeof *tokenizer->tokens);
    if (!tokenizer->tokens) return fail_memory(error);
    tokenizer->n_tokens = (int)ids;
    for (int i = 0; i < tokenizer->n_tokens; i++)
        tokenizer->tokens[i].type = RINGMOE_TOKEN_UNUSED;
    return rm_text_map_init(&tokenizer->spelled, ids, error);
}

ringmoe_status rm_tokenizer_spell(ringmoe_tokenizer *tokenizer, int64_t id, const char *text,
                                  int64_t bytes, ringmoe_token_type type, rm_error *error)
{
    if (id < 0 || id >= tokenizer->n_tokens || bytes > INT32_MAX / 2)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "token %s: its id %lld is out of range",
                       show(text, bytes).text, (long long)id);
    rm_token *token = &tokenizer->tokens[id];
    if (token->spelling)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "tokens %s and %s have the same id %lld",
                       show(token->spelling, token->n_spelling).text, show(text, bytes).text,
                       (long long)id);
    token->spelling = rm_text_pool_add(&tokenizer->texts, text, bytes);
    if (!token->spelling) return fail_memory(error);
    token->n_spelling = (int32_t)bytes;
    token->type = type;
    if (rm_text_map_put(&tokenizer->spelled, token->spelling, bytes, (int32_t)id))
        return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "token %s has two ids", show(text, bytes).text);
}

/* --- what the model looks up ---------------------------------------------------------------
 */

/* Bytes of a byte-level spelling, in `texts`; NULL with OK: it is none. */
static ringmoe_status spelled_bytes(ringmoe_tokenizer *tokenizer, const rm_token *token,
                                    const char **bytes, int64_t *n, rm_error *error)
{
    char *room = rm_text_pool_add(&tokenizer->texts, token->spelling, token->n_spelling);
    *bytes = NULL;
    if (!room) return fail_memory(error);
    *n = rm_byte_level_decode(token->spelling, token->n_spelling, room);
    if (*n >= 0) *bytes = room;
    return RINGMOE_OK;
}

static ringmoe_status index_bytes(ringmoe_tokenizer *tokenizer, rm_error *error)
{
    for (int id = 0; id < tokenizer->n_tokens; id++) {
        const char *bytes;
        int64_t n;
        if (!tokenizer->tokens[id].spelling) continue;
        RM_TRY(spelled_bytes(tokenizer, &tokenizer->tokens[id], &bytes, &n, error));
        if (bytes) rm_text_map_put(&tokenizer->words, bytes, n, id);
        if (bytes && n == 1) tokenizer->byte_ids[(unsigned char)*bytes] = id;
    }
    return RINGMOE_OK;
}

static void index_characters(ringmoe_tokenizer *tokenizer)
{
    for (int id = 0; id < tokenizer->n_tokens; id++) {
        const rm_token *token = &tokenizer->tokens[id];
        if (!token->spelling) continue;
        int byte = rm_byte_token(token->spelling, token->n_spelling);
        rm_text_map_put(&tokenizer->words, token->spelling, token->n_spelling, id);
        if (byte >= 0) tokenizer->byte_ids[byte] = id;
        if (token->n_spelling == 1)
            tokenizer->ascii_ids[(unsigned char)*token->spelling & 127] = id;
    }
}

ringmoe_status rm_tokenizer_index(ringmoe_tokenizer *tokenizer, rm_error *error)
{
    for (int i = 0; i < 256; i++) tokenizer->byte_ids[i] = -1;
    for (int i = 0; i < 128; i++) tokenizer->ascii_ids[i] = -1;
    RM_TRY(rm_text_map_init(&tokenizer->words, tokenizer->n_tokens, error));
    if (tokenizer->kind == RINGMOE_TOKENIZER_BYTES) return index_bytes(tokenizer, error);
    index_characters(tokenizer);
    return RINGMOE_OK;
}

/* --- merges ----------------------------------------------------------------------------------
 */

static ringmoe_status keep_merge(ringmoe_tokenizer *tokenizer, rm_merge merge, rm_error *error)
{
    if (tokenizer->n_merges == tokenizer->merge_room) {
        int64_t room = tokenizer->merge_room ? 2 * tokenizer->merge_room : 1024;
        rm_merge *list = realloc(tokenizer->merge_list, (size_t)room * sizeof *list);
        if (!list) return fail_memory(error);
        tokenizer->merge_list = list;
        tokenizer->merge_room = room;
    }
    tokenizer->merge_list[tokenizer->n_merges++] = merge;
    return RINGMOE_OK;
}

ringmoe_status rm_tokenizer_merge(ringmoe_tokenizer *tokenizer, const char *left,
                                  int64_t n_left, const char *right, int64_t n_right,
                                  rm_error *error)
{
    const rm_text_map *spelled = &tokenizer->spelled;
    char *whole = malloc((size_t)(n_left + n_right + 1));
    if (!whole) return fail_memory(error);
    memcpy(whole, left, (size_t)n_left);
    memcpy(whole + n_left, right, (size_t)n_right);
    rm_merge merge = {.left = rm_text_map_find(spelled, left, n_left),
                      .right = rm_text_map_find(spelled, right, n_right),
                      .rank = (int32_t)tokenizer->n_merges,
                      .id = rm_text_map_find(spelled, whole, n_left + n_right)};
    free(whole);
    if (merge.left >= 0 && merge.right >= 0 && merge.id >= 0)
        return keep_merge(tokenizer, merge, error);
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "merge %lld, %s and %s: one of them, or both together, are no token",
                   (long long)tokenizer->n_merges, show(left, n_left).text,
                   show(right, n_right).text);
}

static bool begins_with_mark(const rm_token *token)
{
    return token->n_spelling >= RM_BLANK_MARK_BYTES &&
           !memcmp(token->spelling, RM_BLANK_MARK, RM_BLANK_MARK_BYTES);
}

static bool ends_with_mark(const rm_token *token)
{
    int32_t before = token->n_spelling - RM_BLANK_MARK_BYTES;
    return before >= 0 && !memcmp(token->spelling + before, RM_BLANK_MARK, RM_BLANK_MARK_BYTES);
}

/* Every cut has a known character behind it, so unknown ones do not reach across it either. */
static bool may_cut_at_blanks(const ringmoe_tokenizer *tokenizer)
{
    if (tokenizer->kind != RINGMOE_TOKENIZER_CHARACTERS || tokenizer->takes_whole_words ||
        rm_text_map_find(&tokenizer->words, RM_BLANK_MARK, RM_BLANK_MARK_BYTES) < 0)
        return false;
    for (int64_t i = 0; i < tokenizer->n_merges; i++) {
        const rm_merge *merge = &tokenizer->merge_list[i];
        if (!ends_with_mark(&tokenizer->tokens[merge->left]) &&
            begins_with_mark(&tokenizer->tokens[merge->right]))
            return false;
    }
    return true;
}

ringmoe_status rm_tokenizer_finish_merges(ringmoe_tokenizer *tokenizer, rm_error *error)
{
    RM_TRY(rm_merges_init(&tokenizer->merges, tokenizer->n_merges, error));
    for (int64_t i = 0; i < tokenizer->n_merges; i++)
        rm_merges_put(&tokenizer->merges, tokenizer->merge_list[i]);
    tokenizer->cuts_at_blanks = may_cut_at_blanks(tokenizer);
    return RINGMOE_OK;
}

/* --- tokens that are looked for, and what ids become
 * ------------------------------------------ */

ringmoe_status rm_tokenizer_add(ringmoe_tokenizer *tokenizer, rm_added_token token,
                                bool is_normalized, rm_error *error)
{
    const rm_token *spelled = &tokenizer->tokens[token.id];
    stretch text = {spelled->spelling, spelled->n_spelling, true, false};
    if (!is_normalized)
        return rm_added_tokens_add(&tokenizer->raw, text.text, text.bytes, token, error);
    rm_bytes buffers[2] = {{0}, {0}};
    ringmoe_status status = rm_tokenizer_change(tokenizer, buffers, &text, error);
    if (status == RINGMOE_OK)
        status =
            rm_added_tokens_add(&tokenizer->normalized, text.text, text.bytes, token, error);
    rm_bytes_free(&buffers[0]);
    rm_bytes_free(&buffers[1]);
    return status;
}

/* In place, with blanks for their marks. */
static int64_t marks_to_blanks(char *text, int64_t n)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++) {
        bool is_mark = n - i >= RM_BLANK_MARK_BYTES &&
                       !memcmp(text + i, RM_BLANK_MARK, RM_BLANK_MARK_BYTES);
        text[kept++] = is_mark ? ' ' : text[i];
        if (is_mark) i += RM_BLANK_MARK_BYTES - 1;
    }
    return kept;
}

static void decode_token(rm_token *token, rm_decoding decoding, char *bytes)
{
    int byte = decoding.byte_tokens ? rm_byte_token(token->spelling, token->n_spelling) : -1;
    int64_t n = -1;
    if (byte >= 0) {
        *bytes = (char)byte;
        n = 1;
    }
    if (n < 0 && decoding.byte_level)
        n = rm_byte_level_decode(token->spelling, token->n_spelling, bytes);
    if (n < 0) {
        n = token->n_spelling;
        memcpy(bytes, token->spelling, (size_t)n);
        if (decoding.marks_to_blanks) n = marks_to_blanks(bytes, n);
    }
    token->bytes = bytes;
    token->n_bytes = (int32_t)n;
}

ringmoe_status rm_tokenizer_decode(ringmoe_tokenizer *tokenizer, rm_decoding decoding,
                                   rm_error *error)
{
    for (int id = 0; id < tokenizer->n_tokens; id++) {
        rm_token *token = &tokenizer->tokens[id];
        if (!token->spelling) continue;
        char *bytes = rm_text_pool_add(&tokenizer->texts, token->spelling, token->n_spelling);
        if (!bytes) return fail_memory(error);
        decode_token(token, decoding, bytes);
    }
    return RINGMOE_OK;
}

ringmoe_status rm_tokenizer_add_pattern(ringmoe_tokenizer *tokenizer, const char *text,
                                        bool is_literal, rm_cut cut, rm_error *error)
{
    if (tokenizer->n_cuts == RM_MOST_STEPS)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "pre_tokenizer: more than %d steps are not done", RM_MOST_STEPS);
    int64_t bytes = (int64_t)strlen(text);
    cut.kind = RM_CUT_PATTERN;
    cut.is_literal = is_literal;
    cut.text = rm_text_pool_add(&tokenizer->texts, text, bytes);
    if (!cut.text) return fail_memory(error);
    RM_TRY(rm_pattern_compile(text, bytes, is_literal, &cut.pattern, error));
    tokenizer->cuts[tokenizer->n_cuts++] = cut;
    return RINGMOE_OK;
}

/* SPDX-License-Identifier: MIT
 *
 * A learned vocabulary as lists, and as the tokenizer that these make.
 */
#include "text/learned_tokenizer.h"

#include <stdlib.h>
#include <string.h>

typedef struct learned_lists {
    const char **tokens, **merges;
    int32_t *types;
    rm_text_pool texts;
    rm_bytes spelling; /* of one token, or of a merge's two */
} learned_lists;

static bool add_spelling(learned_lists *lists, const rm_learned_token *token)
{
    for (int64_t i = 0; i < token->n; i++) {
        char character[2];
        int n = rm_byte_level_encode((unsigned char)token->bytes[i], character);
        if (!rm_bytes_add(&lists->spelling, character, n)) return false;
    }
    return true;
}

static const char *keep_spelling(learned_lists *lists)
{
    return rm_text_pool_add(&lists->texts, lists->spelling.data, lists->spelling.count);
}

static bool list_tokens(const rm_vocabulary *vocabulary, const char *const *special,
                        learned_lists *lists)
{
    size_t n = (size_t)vocabulary->n_tokens;
    lists->tokens = calloc(n, sizeof *lists->tokens);
    lists->types = calloc(n, sizeof *lists->types);
    bool done = lists->tokens && lists->types;
    for (int id = 0; done && id < vocabulary->n_tokens; id++) {
        bool is_special = id < vocabulary->n_special;
        lists->spelling.count = 0;
        lists->types[id] = is_special ? RINGMOE_TOKEN_CONTROL : RINGMOE_TOKEN_NORMAL;
        done = is_special || add_spelling(lists, &vocabulary->tokens[id]);
        if (done) lists->tokens[id] = is_special ? special[id] : keep_spelling(lists);
        done = done && lists->tokens[id];
    }
    return done;
}

static bool list_merges(const rm_vocabulary *vocabulary, learned_lists *lists)
{
    lists->merges = calloc((size_t)vocabulary->n_merges + 1, sizeof *lists->merges);
    bool done = lists->merges != NULL;
    for (int64_t i = 0; done && i < vocabulary->n_merges; i++) {
        const rm_merge *merge = &vocabulary->merges[i];
        lists->spelling.count = 0;
        done = add_spelling(lists, &vocabulary->tokens[merge->left]) &&
               rm_bytes_add(&lists->spelling, " ", 1) &&
               add_spelling(lists, &vocabulary->tokens[merge->right]);
        if (done) lists->merges[i] = keep_spelling(lists);
        done = done && lists->merges[i];
    }
    return done;
}

ringmoe_status rm_learned_tokenizer(const rm_vocabulary *vocabulary, const char *const *special,
                                    const char *pattern, int end, ringmoe_tokenizer **tokenizer,
                                    rm_error *error)
{
    learned_lists lists = {0};
    ringmoe_tokenizer_parts parts;
    ringmoe_status status;
    *tokenizer = NULL;
    ringmoe_tokenizer_parts_default(&parts);
    if (list_tokens(vocabulary, special, &lists) && list_merges(vocabulary, &lists)) {
        parts.kind = RINGMOE_TOKENIZER_BYTES;
        parts.pattern = pattern;
        parts.n_tokens = vocabulary->n_tokens;
        parts.tokens = lists.tokens;
        parts.types = lists.types;
        parts.n_merges = (int)vocabulary->n_merges;
        parts.merges = lists.merges;
        parts.eos = end;
        status = rm_tokenizer_from_parts(NULL, &parts, tokenizer, error);
    } else {
        status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the learned tokens");
    }
    rm_text_pool_free(&lists.texts);
    rm_bytes_free(&lists.spelling);
    free(lists.tokens);
    free(lists.merges);
    free(lists.types);
    return status == RINGMOE_ERROR_FORMAT ? RINGMOE_ERROR_ARGUMENT : status;
}

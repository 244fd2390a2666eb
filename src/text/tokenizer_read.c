/* SPDX-License-Identifier: MIT
 *
 * tokenizer.json: the model and the added tokens; its other parts are read by the files that
 * tokenizer_json.h names.
 */
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer_json.h"

static const rm_json_limits limits = {
    .bytes = (int64_t)1 << 28, .values = (int64_t)1 << 24, .depth = 64};

/* Raises *most above an id. */
static ringmoe_status count_id(const json_t *id, int64_t *most, rm_error *error)
{
    json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
    if (value < 0 || value >= RM_MOST_TOKENS)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "an id of vocab or of added_tokens is %lld or no integer; 0 to %d are "
                       "possible",
                       (long long)value, RM_MOST_TOKENS - 1);
    if (value >= *most) *most = value + 1;
    return RINGMOE_OK;
}

/* Above the largest id of the vocabulary and of the added tokens. */
static ringmoe_status count_ids(const json_t *vocab, const json_t *added, int64_t *most,
                                rm_error *error)
{
    const char *key;
    size_t i;
    json_t *value;
    *most = 0;
    json_object_foreach((json_t *)vocab, key, value) RM_TRY(count_id(value, most, error));
    json_array_foreach(added, i, value)
        RM_TRY(count_id(json_object_get(value, "id"), most, error));
    return RINGMOE_OK;
}

static ringmoe_status read_vocabulary(ringmoe_tokenizer *tokenizer, const json_t *vocab,
                                      const char *unknown, rm_error *error)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)vocab, key, value)
    {
        int64_t bytes = (int64_t)strlen(key);
        bool is_byte =
            tokenizer->kind == RINGMOE_TOKENIZER_CHARACTERS && rm_byte_token(key, bytes) >= 0;
        bool is_unknown = unknown && strcmp(key, unknown) == 0;
        RM_TRY(rm_tokenizer_spell(tokenizer, json_integer_value(value), key, bytes,
                                  is_unknown ? RINGMOE_TOKEN_UNKNOWN
                                  : is_byte  ? RINGMOE_TOKEN_BYTE
                                             : RINGMOE_TOKEN_NORMAL,
                                  error));
    }
    return rm_tokenizer_index(tokenizer, error);
}

/* "left right", or ["left", "right"]. */
static ringmoe_status read_merge(ringmoe_tokenizer *tokenizer, const json_t *merge,
                                 rm_error *error)
{
    const char *left = json_string_value(merge), *right = NULL;
    const char *blank = left ? strchr(left, ' ') : NULL;
    int64_t n_left = blank ? blank - left : 0;
    if (blank && !strchr(blank + 1, ' ')) right = blank + 1;
    if (json_array_size(merge) == 2) {
        left = json_string_value(json_array_get(merge, 0));
        right = json_string_value(json_array_get(merge, 1));
        n_left = left ? (int64_t)strlen(left) : 0;
    }
    if (!left || !right)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "model: merge %lld is not a pair of tokens",
                       (long long)tokenizer->n_merges);
    return rm_tokenizer_merge(tokenizer, left, n_left, right, (int64_t)strlen(right), error);
}

static ringmoe_status read_merges(ringmoe_tokenizer *tokenizer, const json_t *merges,
                                  rm_error *error)
{
    size_t i;
    json_t *merge;
    if (!json_is_array(merges))
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "model: merges must be a list");
    json_array_foreach(merges, i, merge) RM_TRY(read_merge(tokenizer, merge, error));
    return rm_tokenizer_finish_merges(tokenizer, error);
}

static ringmoe_status read_switches(ringmoe_tokenizer *tokenizer, const json_t *model,
                                    rm_error *error)
{
    static const char where[] = "model";
    RM_TRY(rm_only_keys(model, where,
                        "|type|dropout|unk_token|continuing_subword_prefix|end_of_word_suffix|"
                        "fuse_unk|byte_fallback|ignore_merges|vocab|merges|",
                        error));
    RM_TRY(rm_is_nothing(model, where, "dropout", error));
    RM_TRY(rm_is_nothing(model, where, "continuing_subword_prefix", error));
    RM_TRY(rm_is_nothing(model, where, "end_of_word_suffix", error));
    RM_TRY(rm_flag(model, where, "fuse_unk", false, &tokenizer->fuses_unknown, error));
    RM_TRY(rm_flag(model, where, "byte_fallback", false, &tokenizer->falls_back, error));
    RM_TRY(rm_flag(model, where, "ignore_merges", false, &tokenizer->takes_whole_words, error));
    if (tokenizer->falls_back && tokenizer->kind == RINGMOE_TOKENIZER_BYTES)
        return rm_not_done(where, "byte_fallback after ByteLevel",
                           json_object_get(model, "type"), error);
    return RINGMOE_OK;
}

static ringmoe_status read_model(ringmoe_tokenizer *tokenizer, const json_t *model,
                                 const json_t *added, rm_error *error)
{
    const char *type, *unknown;
    int64_t n_ids;
    const json_t *vocab = json_object_get(model, "vocab");
    if (!json_is_object(model) || !json_is_object(vocab))
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "model with its vocab is missing: is this a tokenizer.json?");
    RM_TRY(rm_text(model, "model", "type", false, &type, error));
    if (type && strcmp(type, "BPE") != 0)
        return rm_not_done("model", "type", json_object_get(model, "type"), error);
    RM_TRY(read_switches(tokenizer, model, error));
    RM_TRY(rm_text(model, "model", "unk_token", false, &unknown, error));
    RM_TRY(count_ids(vocab, added, &n_ids, error));
    RM_TRY(rm_tokenizer_reserve(tokenizer, n_ids, error));
    RM_TRY(read_vocabulary(tokenizer, vocab, unknown, error));
    if (unknown)
        tokenizer->unknown =
            rm_text_map_find(&tokenizer->spelled, unknown, (int64_t)strlen(unknown));
    if (unknown && tokenizer->unknown < 0)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "model: unk_token is not in vocab");
    return read_merges(tokenizer, json_object_get(model, "merges"), error);
}

/* --- added tokens ----------------------------------------------------------------------------
 */

static const char in_added[] = "added_tokens";

/* Gives the token its id. One that is not in vocab gets the next free one there, whatever the
 * file says: a file that says another is refused, since the library would not give it. */
static ringmoe_status spell_added(ringmoe_tokenizer *tokenizer, const char *content, int32_t id,
                                  bool is_special, int64_t *next, rm_error *error)
{
    int64_t bytes = (int64_t)strlen(content);
    int32_t there = rm_text_map_find(&tokenizer->spelled, content, bytes);
    ringmoe_token_type type = is_special ? RINGMOE_TOKEN_CONTROL : RINGMOE_TOKEN_ADDED;
    if (there >= 0 && there != id)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: id %d has another id, %d, in vocab",
                       in_added, id, there);
    if (there < 0 && *next != id)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "%s: %.40s has id %d, but tokens that are not in vocab get the ids "
                       "behind it in their order, this one %lld: put it into vocab with its id",
                       in_added, content, id, (long long)*next);
    if (there < 0) {
        ++*next;
        return rm_tokenizer_spell(tokenizer, id, content, bytes, type, error);
    }
    if (tokenizer->tokens[id].type != RINGMOE_TOKEN_UNKNOWN) tokenizer->tokens[id].type = type;
    return RINGMOE_OK;
}

/* An entry of added_tokens. */
typedef struct added_entry {
    const char *content;
    rm_added_token token;
    bool is_normalized;
} added_entry;

static ringmoe_status read_entry(const ringmoe_tokenizer *tokenizer, const json_t *from,
                                 added_entry *entry, rm_error *error)
{
    rm_added_token *token = &entry->token;
    RM_TRY(rm_only_keys(from, in_added,
                        "|id|content|single_word|lstrip|rstrip|normalized|special|", error));
    RM_TRY(rm_text(from, in_added, "content", true, &entry->content, error));
    RM_TRY(rm_is_nothing(from, in_added, "single_word", error));
    RM_TRY(rm_flag(from, in_added, "lstrip", false, &token->takes_left, error));
    RM_TRY(rm_flag(from, in_added, "rstrip", false, &token->takes_right, error));
    RM_TRY(rm_flag(from, in_added, "special", false, &token->is_special, error));
    RM_TRY(rm_flag(from, in_added, "normalized", !token->is_special, &entry->is_normalized,
                   error));
    json_int_t id = json_integer_value(json_object_get(from, "id"));
    if (id < 0 || id >= tokenizer->n_tokens)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: an entry without an id", in_added);
    token->id = (int32_t)id;
    return RINGMOE_OK;
}

static ringmoe_status spell_all_added(ringmoe_tokenizer *tokenizer, const json_t *added,
                                      int64_t next, rm_error *error)
{
    size_t i;
    json_t *from;
    json_array_foreach(added, i, from)
    {
        added_entry entry = {0};
        RM_TRY(read_entry(tokenizer, from, &entry, error));
        if (*entry.content)
            RM_TRY(spell_added(tokenizer, entry.content, entry.token.id, entry.token.is_special,
                               &next, error));
    }
    return RINGMOE_OK;
}

/* Special ones first: of two with the same text the first is found. */
static ringmoe_status read_all_added(ringmoe_tokenizer *tokenizer, const json_t *added,
                                     int64_t n_vocab, rm_error *error)
{
    size_t i;
    json_t *from;
    RM_TRY(spell_all_added(tokenizer, added, n_vocab, error));
    for (int special = 1; special >= 0; special--) json_array_foreach(added, i, from)
        {
            added_entry entry = {0};
            RM_TRY(read_entry(tokenizer, from, &entry, error));
            if (entry.token.is_special == special && *entry.content)
                RM_TRY(rm_tokenizer_add(tokenizer, entry.token, entry.is_normalized, error));
        }
    return RINGMOE_OK;
}

/* --- the whole
 * -------------------------------------------------------------------------------- */

/* GGUF's name for how words are cut, if that says all that is done to a text. */
static void find_name(ringmoe_tokenizer *tokenizer)
{
    const char *text = NULL;
    bool is_composed = false, is_known = tokenizer->kind == RINGMOE_TOKENIZER_BYTES;
    for (int i = 0; i < tokenizer->n_changes; i++) {
        const rm_change *change = &tokenizer->changes[i];
        is_known = is_known && change->kind == RM_CHANGE_FORM && change->form == RM_NFC;
        is_composed = true;
    }
    for (int i = 0; i < tokenizer->n_cuts; i++) {
        const rm_cut *cut = &tokenizer->cuts[i];
        if (cut->kind == RM_CUT_BYTES) {
            is_known = is_known && cut->front == RM_FRONT_NEVER;
            continue;
        }
        is_known = is_known && cut->kind == RM_CUT_PATTERN && !text && !cut->inverted &&
                   !cut->is_literal && cut->matches == RM_MATCHES_STAY;
        text = cut->text;
    }
    if (!is_known || !text) return;
    for (const rm_named_pattern *row = rm_named_patterns; row->name; row++)
        if (strcmp(row->text, text) == 0 && row->is_composed == is_composed &&
            row->takes_whole_words == tokenizer->takes_whole_words)
            tokenizer->pattern_name = row->name;
}

static ringmoe_status read_parts(ringmoe_tokenizer *tokenizer, const json_t *root,
                                 rm_error *error)
{
    const json_t *added = json_object_get(root, in_added);
    const json_t *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    RM_TRY(rm_only_keys(root, "tokenizer.json",
                        "|version|truncation|padding|added_tokens|normalizer|pre_tokenizer|"
                        "post_processor|decoder|model|",
                        error));
    tokenizer->kind = RINGMOE_TOKENIZER_CHARACTERS;
    RM_TRY(rm_read_pre_tokenizer(tokenizer, json_object_get(root, "pre_tokenizer"), error));
    RM_TRY(rm_read_normalizer(tokenizer, json_object_get(root, "normalizer"), error));
    RM_TRY(read_model(tokenizer, json_object_get(root, "model"), added, error));
    RM_TRY(read_all_added(tokenizer, added, (int64_t)json_object_size(vocab), error));
    RM_TRY(rm_read_post_processor(tokenizer, json_object_get(root, "post_processor"), error));
    RM_TRY(rm_read_decoder(tokenizer, json_object_get(root, "decoder"), error));
    find_name(tokenizer);
    RM_TRY(rm_read_tokenizer_config(tokenizer, error));
    if (tokenizer->bos < 0 && tokenizer->n_before == 1) tokenizer->bos = tokenizer->before[0];
    return RINGMOE_OK;
}

ringmoe_status rm_tokenizer_read(ringmoe_tokenizer *tokenizer, rm_error *error)
{
    json_t *root = NULL;
    const rm_tokenizer_file *file = &tokenizer->files[0];
    if (file->bytes > limits.bytes)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "has %lld bytes, more than a tokenizer has",
                       (long long)file->bytes);
    RM_TRY(rm_json_parse(file->content, file->bytes, &limits, &root, error));
    ringmoe_status status = read_parts(tokenizer, root, error);
    json_decref(root);
    return status;
}

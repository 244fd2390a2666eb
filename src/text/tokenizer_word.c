/* SPDX-License-Identifier: MIT
 *
 * The ids of a word: from the words seen lately, as a whole, or by merging its characters.
 */
#include <string.h>
#include <xxhash.h>

#include "text/tokenizer_encode.h"

/* The unknown characters since the last known one; several may become one id. */
typedef struct unknown_run {
    bool is_there;
} unknown_run;

static void put(rm_encoder *encoder, int32_t id)
{
    encoder->ids[encoder->n_ids++] = id;
}

static void put_unknown(rm_encoder *encoder, unknown_run *run)
{
    if (run->is_there) put(encoder, encoder->tokenizer->unknown);
    run->is_there = false;
}

/* A character by its bytes, if all of them have ids. What was unknown before comes behind them:
 * the library that made the vocabularies does so too. */
static bool put_bytes(rm_encoder *encoder, const unsigned char *text, int n)
{
    const int32_t *ids = encoder->tokenizer->byte_ids;
    for (int i = 0; i < n; i++)
        if (ids[text[i]] < 0) return false;
    for (int i = 0; i < n; i++) put(encoder, ids[text[i]]);
    return true;
}

static void put_character(rm_encoder *encoder, const char *text, int n, int32_t id,
                          unknown_run *run)
{
    const ringmoe_tokenizer *tokenizer = encoder->tokenizer;
    if (id >= 0) {
        put_unknown(encoder, run);
        put(encoder, id);
        return;
    }
    if (tokenizer->falls_back && put_bytes(encoder, (const unsigned char *)text, n)) return;
    if (tokenizer->unknown < 0) return;
    if (!tokenizer->fuses_unknown) put_unknown(encoder, run);
    run->is_there = true;
}

static int32_t id_of_character(const ringmoe_tokenizer *tokenizer, const char *text, int n)
{
    return n == 1 ? tokenizer->ascii_ids[(unsigned char)text[0]]
                  : rm_text_map_find(&tokenizer->words, text, n);
}

/* Every character as an id, or as those of its bytes. */
static void put_characters(rm_encoder *encoder, const char *text, int64_t bytes)
{
    const ringmoe_tokenizer *tokenizer = encoder->tokenizer;
    unknown_run run = {false};
    if (tokenizer->kind == RINGMOE_TOKENIZER_BYTES)
        for (int64_t i = 0; i < bytes; i++)
            put_character(encoder, text + i, 1, tokenizer->byte_ids[(unsigned char)text[i]],
                          &run);
    else
        for (int64_t i = 0, n; i < bytes; i += n) {
            n = rm_utf8_length((unsigned char)text[i]);
            put_character(encoder, text + i, (int)n,
                          id_of_character(tokenizer, text + i, (int)n), &run);
        }
    put_unknown(encoder, &run);
}

static ringmoe_status merge_word(rm_encoder *encoder, const char *text, int64_t bytes)
{
    const ringmoe_tokenizer *tokenizer = encoder->tokenizer;
    RM_TRY(rm_encoder_reserve(encoder, bytes));
    if (tokenizer->takes_whole_words) {
        int32_t id = rm_text_map_find(&tokenizer->words, text, bytes);
        if (id >= 0) {
            put(encoder, id);
            return RINGMOE_OK;
        }
    }
    int64_t first = encoder->n_ids;
    put_characters(encoder, text, bytes);
    int64_t n = encoder->n_ids - first;
    RM_TRY(rm_merges_apply(&tokenizer->merges, &encoder->space, encoder->ids + first, &n,
                           encoder->error));
    encoder->n_ids = first + n;
    return RINGMOE_OK;
}

ringmoe_status rm_encoder_word(rm_encoder *encoder, const char *text, int64_t bytes)
{
    if (encoder->words)
        return rm_word_counts_add(encoder->words, text, bytes, 1)
                   ? RINGMOE_OK
                   : rm_encoder_fail_memory(encoder->error);
    if (bytes > RM_CACHED_BYTES) return merge_word(encoder, text, bytes);
    uint64_t hash = XXH3_64bits(text, (size_t)bytes);
    rm_cached_word *word = &encoder->cache[hash & (RM_CACHED_WORDS - 1)];
    if (word->n_bytes == bytes && !memcmp(word->bytes, text, (size_t)bytes)) {
        RM_TRY(rm_encoder_reserve(encoder, RM_CACHED_IDS));
        memcpy(encoder->ids + encoder->n_ids, word->ids, sizeof word->ids);
        encoder->n_ids += word->n_ids;
        return RINGMOE_OK;
    }
    int64_t first = encoder->n_ids;
    RM_TRY(merge_word(encoder, text, bytes));
    int64_t n = encoder->n_ids - first;
    if (n > RM_CACHED_IDS) return RINGMOE_OK;
    word->n_bytes = (uint8_t)bytes;
    word->n_ids = (uint8_t)n;
    memcpy(word->bytes, text, (size_t)bytes);
    if (n > 0) memcpy(word->ids, encoder->ids + first, (size_t)n * sizeof *word->ids);
    return RINGMOE_OK;
}

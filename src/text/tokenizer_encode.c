/* SPDX-License-Identifier: MIT
 *
 * A text on its way to ids (the drawing is in tokenizer.h). Stretches and words are places in
 * the text or in the encoder's buffers; each stage hands them on to the next one by a call.
 */
#include "text/tokenizer_encode.h"

#include <stdlib.h>
#include <string.h>

ringmoe_status rm_encoder_create(const ringmoe_tokenizer *tokenizer, rm_encoder **encoder,
                                 rm_error *error)
{
    rm_encoder *made = calloc(1, sizeof *made);
    *encoder = made;
    if (made) {
        made->tokenizer = tokenizer;
        made->matcher = rm_matcher_create();
        made->cache = calloc(RM_CACHED_WORDS, sizeof *made->cache);
    }
    if (made && made->matcher && made->cache) return RINGMOE_OK;
    rm_encoder_destroy(encoder);
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory to encode text");
}

void rm_encoder_destroy(rm_encoder **encoder)
{
    rm_encoder *old = *encoder;
    if (!old) return;
    rm_matcher_free(&old->matcher);
    rm_merge_space_free(&old->space);
    rm_bytes_free(&old->repaired);
    for (int i = 0; i < 2; i++) rm_bytes_free(&old->changed[i]);
    for (int i = 0; i < RM_MOST_STEPS; i++) rm_bytes_free(&old->cut[i]);
    free(old->cache);
    free(old->ids);
    free(old);
    *encoder = NULL;
}

void rm_encoder_count_words(rm_encoder *encoder, rm_word_counts *words)
{
    encoder->words = words;
}

ringmoe_status rm_encoder_fail_memory(rm_error *error)
{
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the tokens of a text");
}

ringmoe_status rm_encoder_reserve(rm_encoder *encoder, int64_t n)
{
    if (encoder->room - encoder->n_ids >= n) return RINGMOE_OK;
    int64_t room = 2 * encoder->room + n + 256;
    int32_t *ids = realloc(encoder->ids, (size_t)room * sizeof *ids);
    if (!ids) return rm_encoder_fail_memory(encoder->error);
    encoder->ids = ids;
    encoder->room = room;
    return RINGMOE_OK;
}

static ringmoe_status put_ids(rm_encoder *encoder, const int32_t *ids, int n)
{
    RM_TRY(rm_encoder_reserve(encoder, n));
    for (int i = 0; i < n; i++) encoder->ids[encoder->n_ids++] = ids[i];
    return RINGMOE_OK;
}

/* --- changes ----------------------------------------------------------------------------- */

static bool replace(const rm_change *change, stretch from, rm_bytes *to)
{
    const char *at = from.text, *end = at + from.bytes, *found;
    while ((found = memmem(at, (size_t)(end - at), change->from, (size_t)change->n_from))) {
        if (!rm_bytes_add(to, at, found - at) || !rm_bytes_add(to, change->to, change->n_to))
            return false;
        at = found + change->n_from;
    }
    return rm_bytes_add(to, at, end - at);
}

static bool apply(const rm_change *change, stretch from, rm_bytes *to)
{
    if (change->kind == RM_CHANGE_FORM)
        return rm_unicode_normalize(from.text, from.bytes, change->form, to);
    if (change->kind == RM_CHANGE_REPLACE) return replace(change, from, to);
    return rm_bytes_add(to, change->to, change->n_to) &&
           rm_bytes_add(to, from.text, from.bytes);
}

static bool leaves_alone(const rm_change *change, stretch text)
{
    if (change->kind == RM_CHANGE_FORM)
        return rm_unicode_is_plain(text.text, text.bytes, change->form);
    return change->kind == RM_CHANGE_REPLACE &&
           !memmem(text.text, (size_t)text.bytes, change->from, (size_t)change->n_from);
}

/* Two buffers take turns. */
ringmoe_status rm_tokenizer_change(const ringmoe_tokenizer *tokenizer, rm_bytes buffers[2],
                                   stretch *text, rm_error *error)
{
    for (int i = 0, turn = 0; i < tokenizer->n_changes && text->bytes > 0; i++) {
        const rm_change *change = &tokenizer->changes[i];
        if (leaves_alone(change, *text)) continue;
        if (change->kind == RM_CHANGE_PREPEND && text->goes_on) continue;
        rm_bytes *to = &buffers[turn];
        to->count = 0;
        if (!apply(change, *text, to)) return rm_encoder_fail_memory(error);
        text->text = to->data;
        text->bytes = to->count;
        turn = !turn;
    }
    return RINGMOE_OK;
}

/* --- tokens in the text ------------------------------------------------------------------- */

typedef ringmoe_status (*stretch_function)(rm_encoder *encoder, stretch text);

static ringmoe_status put_stretch(rm_encoder *encoder, stretch text, int64_t begin, int64_t end,
                                  stretch_function next)
{
    stretch part = {text.text + begin, end - begin, text.is_first && begin == 0,
                    text.goes_on && begin == 0};
    return begin < end ? next(encoder, part) : RINGMOE_OK;
}

/* Puts tokens out as they come and hands on what lies between them. */
static ringmoe_status find_tokens(rm_encoder *encoder, const rm_added_tokens *added,
                                  stretch text, stretch_function next)
{
    int64_t done = 0, begin, end;
    const rm_added_token *token;
    for (int64_t from = 0; from < text.bytes; from = end) {
        token = rm_added_tokens_find(added, text.text, text.bytes, from, &begin, &end);
        if (!token) break;
        if (token->is_special && (encoder->flags & RINGMOE_ENCODE_PLAIN)) continue;
        int64_t first = begin, behind = end;
        if (token->takes_left) {
            int64_t from_here = done < begin ? done : begin;
            first -= rm_utf8_blanks_behind(text.text + from_here, begin - from_here);
        }
        if (token->takes_right) {
            /* What another token took is not looked through again. */
            behind = end > done ? end : done;
            behind += rm_utf8_blanks_before(text.text + behind, text.bytes - behind);
        }
        RM_TRY(put_stretch(encoder, text, done, first > done ? first : done, next));
        RM_TRY(put_ids(encoder, &token->id, 1));
        done = behind;
    }
    return put_stretch(encoder, text, done, text.bytes, next);
}

static ringmoe_status cut(rm_encoder *encoder, stretch text)
{
    return rm_encoder_cut(encoder, 0, text);
}

static ringmoe_status change(rm_encoder *encoder, stretch text)
{
    RM_TRY(rm_tokenizer_change(encoder->tokenizer, encoder->changed, &text, encoder->error));
    return find_tokens(encoder, &encoder->tokenizer->normalized, text, cut);
}

static ringmoe_status encode(rm_encoder *encoder, const char *text, int64_t bytes)
{
    const ringmoe_tokenizer *tokenizer = encoder->tokenizer;
    bool is_framed = encoder->flags & RINGMOE_ENCODE_FRAME;
    bool goes_on = encoder->flags & RM_ENCODE_GOES_ON;
    encoder->repaired.count = 0;
    if (rm_utf8_valid(text, bytes) < bytes) {
        if (!rm_utf8_repair(text, bytes, &encoder->repaired))
            return rm_encoder_fail_memory(encoder->error);
        text = encoder->repaired.data;
        bytes = encoder->repaired.count;
    }
    if (is_framed && !goes_on) RM_TRY(put_ids(encoder, tokenizer->before, tokenizer->n_before));
    RM_TRY(find_tokens(encoder, &tokenizer->raw, (stretch){text, bytes, !goes_on, goes_on},
                       change));
    if (is_framed && !(encoder->flags & RM_ENCODE_HAS_MORE))
        RM_TRY(put_ids(encoder, tokenizer->after, tokenizer->n_after));
    return RINGMOE_OK;
}

ringmoe_status rm_encoder_run(rm_encoder *encoder, const char *text, int64_t bytes, int flags,
                              const int32_t **ids, int64_t *n_ids, rm_error *error)
{
    encoder->flags = flags;
    encoder->error = error;
    encoder->n_ids = 0;
    ringmoe_status status = encode(encoder, text, bytes);
    *ids = encoder->ids;
    *n_ids = status == RINGMOE_OK ? encoder->n_ids : 0;
    return status;
}

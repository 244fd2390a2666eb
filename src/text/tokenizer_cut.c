/* SPDX-License-Identifier: MIT
 *
 * Stretches become words: each step cuts what the one before it left.
 */
#include <string.h>

#include "text/tokenizer_encode.h"

static ringmoe_status next(rm_encoder *encoder, int step, stretch text, int64_t begin,
                           int64_t end)
{
    stretch part = {text.text + begin, end - begin, text.is_first && begin == 0,
                    text.goes_on && begin == 0};
    return begin < end ? rm_encoder_cut(encoder, step + 1, part) : RINGMOE_OK;
}

/* A piece of a stretch that is being cut by a pattern, one after the other. */
typedef struct pattern_cutter {
    rm_encoder *encoder;
    const rm_cut *cut;
    int step;
    stretch text;
    int64_t held_begin, held_end; /* the word that a match may yet end; equal: none */
    bool last_matched;
} pattern_cutter;

static ringmoe_status put_held(pattern_cutter *cutter)
{
    int64_t begin = cutter->held_begin, end = cutter->held_end;
    cutter->held_begin = cutter->held_end;
    return next(cutter->encoder, cutter->step, cutter->text, begin, end);
}

static ringmoe_status put_piece(pattern_cutter *cutter, int64_t begin, int64_t end,
                                bool matches)
{
    if (cutter->cut->inverted) matches = !matches;
    if (cutter->cut->matches == RM_MATCHES_STAY)
        return next(cutter->encoder, cutter->step, cutter->text, begin, end);
    if (cutter->cut->matches == RM_MATCHES_GO)
        return matches ? RINGMOE_OK
                       : next(cutter->encoder, cutter->step, cutter->text, begin, end);
    bool joins = matches && !cutter->last_matched && cutter->held_begin < cutter->held_end;
    cutter->last_matched = matches;
    if (joins) {
        cutter->held_end = end;
        return put_held(cutter);
    }
    RM_TRY(put_held(cutter));
    cutter->held_begin = begin;
    cutter->held_end = end;
    return RINGMOE_OK;
}

/* An empty match right behind the last one is none: the search goes on a character later. */
static ringmoe_status cut_by_pattern(pattern_cutter *cutter)
{
    const stretch text = cutter->text;
    rm_encoder *encoder = cutter->encoder;
    int64_t done = 0, from = 0, last_end = -1;
    while (from <= text.bytes) {
        bool found;
        int64_t begin = 0, end = 0;
        RM_TRY(rm_pattern_find(cutter->cut->pattern, encoder->matcher, text.text, text.bytes,
                               from, &found, &begin, &end, encoder->error));
        if (!found) break;
        if (begin == end && end == last_end) {
            from += from < text.bytes ? rm_utf8_length((unsigned char)text.text[from]) : 1;
            continue;
        }
        if (done < begin) RM_TRY(put_piece(cutter, done, begin, false));
        if (begin < end) RM_TRY(put_piece(cutter, begin, end, true));
        from = done = last_end = end;
    }
    if (done < text.bytes) RM_TRY(put_piece(cutter, done, text.bytes, false));
    return put_held(cutter);
}

static bool begins_with(stretch text, const char *start, int64_t n)
{
    return text.bytes >= n && !memcmp(text.text, start, (size_t)n);
}

/* Of a step with `front`: whether the text gets it. */
static bool wants_front(const rm_cut *cut, stretch text, const char *front)
{
    if (cut->front == RM_FRONT_NEVER || text.goes_on ||
        (cut->front == RM_FRONT_FIRST && !text.is_first))
        return false;
    return !begins_with(text, front, (int64_t)strlen(front));
}

static bool is_mark(stretch text, int64_t at)
{
    return text.bytes - at >= RM_BLANK_MARK_BYTES &&
           !memcmp(text.text + at, RM_BLANK_MARK, RM_BLANK_MARK_BYTES);
}

/* The next place behind `from` where a blank's mark begins. */
static int64_t next_mark(stretch text, int64_t from)
{
    const char *found = memmem(text.text + from, (size_t)(text.bytes - from), RM_BLANK_MARK,
                               RM_BLANK_MARK_BYTES);
    return found ? found - text.text : text.bytes;
}

static bool mark_blanks(const rm_cut *cut, stretch text, rm_bytes *to)
{
    to->count = 0;
    bool is_blank = text.text[0] == ' ';
    if (!is_blank && wants_front(cut, text, RM_BLANK_MARK) &&
        !rm_bytes_add(to, RM_BLANK_MARK, RM_BLANK_MARK_BYTES))
        return false;
    const char *at = text.text, *end = at + text.bytes, *blank;
    while ((blank = memchr(at, ' ', (size_t)(end - at)))) {
        if (!rm_bytes_add(to, at, blank - at) ||
            !rm_bytes_add(to, RM_BLANK_MARK, RM_BLANK_MARK_BYTES))
            return false;
        at = blank + 1;
    }
    return rm_bytes_add(to, at, end - at);
}

/* Words begin at marks. */
static ringmoe_status cut_at_blanks(rm_encoder *encoder, const rm_cut *cut, int step,
                                    stretch text)
{
    rm_bytes *to = &encoder->cut[step];
    if (!mark_blanks(cut, text, to)) return rm_encoder_fail_memory(encoder->error);
    text.text = to->data;
    text.bytes = to->count;
    if (!cut->splits) return next(encoder, step, text, 0, text.bytes);
    for (int64_t at = 0, end; at < text.bytes; at = end) {
        bool at_mark = is_mark(text, at);
        end = next_mark(text, at + (at_mark ? RM_BLANK_MARK_BYTES : 0));
        RM_TRY(next(encoder, step, text, at, end));
    }
    return RINGMOE_OK;
}

static ringmoe_status begin_with_blank(rm_encoder *encoder, const rm_cut *cut, int step,
                                       stretch text)
{
    if (!wants_front(cut, text, " ")) return next(encoder, step, text, 0, text.bytes);
    rm_bytes *to = &encoder->cut[step];
    to->count = 0;
    if (!rm_bytes_add(to, " ", 1) || !rm_bytes_add(to, text.text, text.bytes))
        return rm_encoder_fail_memory(encoder->error);
    text.text = to->data;
    text.bytes = to->count;
    return next(encoder, step, text, 0, text.bytes);
}

/* A stretch that no step cut further. Where no merge crosses from another character to a
 * blank's mark, what lies between such places are words of their own, and mostly known ones. */
static ringmoe_status put_words(rm_encoder *encoder, stretch text)
{
    if (!encoder->tokenizer->cuts_at_blanks)
        return rm_encoder_word(encoder, text.text, text.bytes);
    for (int64_t at = 0, end; at < text.bytes; at = end) {
        end = at;
        while (is_mark(text, end)) end += RM_BLANK_MARK_BYTES;
        end = next_mark(text, end);
        RM_TRY(rm_encoder_word(encoder, text.text + at, end - at));
    }
    return RINGMOE_OK;
}

ringmoe_status rm_encoder_cut(rm_encoder *encoder, int step, stretch text)
{
    if (step == encoder->tokenizer->n_cuts) return put_words(encoder, text);
    const rm_cut *cut = &encoder->tokenizer->cuts[step];
    if (cut->kind == RM_CUT_BLANKS) return cut_at_blanks(encoder, cut, step, text);
    if (cut->kind == RM_CUT_BYTES) return begin_with_blank(encoder, cut, step, text);
    pattern_cutter cutter = {.encoder = encoder, .cut = cut, .step = step, .text = text};
    return cut_by_pattern(&cutter);
}

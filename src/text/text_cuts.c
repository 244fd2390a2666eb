/* SPDX-License-Identifier: MIT
 *
 * A cut is possible where no stage of a tokenizer (tokenizer.h) reaches across:
 *
 *   - the patterns that have names end a word between a letter or digit and a blank or an end
 *     of line, and what they find behind it depends on nothing before it; GPT-2's does so
 *     behind punctuation too; the others take ends of lines to what stands before them, and
 *     end a word behind these;
 *   - over characters, where no merge crosses from another character to a blank, or touches
 *     the end of a line, which then is a byte of its own;
 *   - the letters below are in every form of Unicode that is asked for, and join nothing;
 *   - no token that is looked for in texts has such a place in it, and none that takes the
 *     blanks behind it ends with a letter.
 *
 * A piece that goes on gets no blank in front (RM_ENCODE_GOES_ON).
 */
#include "text/text_cuts.h"

#include <string.h>

#include "text/tokenizer_encode.h"

typedef struct code_range {
    int32_t first, last;
} code_range;

/* Letters and digits since the first versions of Unicode: all libraries know them as such. */
static const code_range letters[] = {
    {'0', '9'},       {'A', 'Z'},       {'a', 'z'},       {0xC0, 0xD6},     {0xD8, 0xF6},
    {0xF8, 0x2AF},    {0x391, 0x3A1},   {0x3A3, 0x3CE},   {0x400, 0x481},   {0x48A, 0x4FF},
    {0x531, 0x556},   {0x561, 0x587},   {0x5D0, 0x5EA},   {0x621, 0x63A},   {0x641, 0x64A},
    {0x905, 0x939},   {0x985, 0x98C},   {0x995, 0x9A8},   {0xE01, 0xE30},   {0x10D0, 0x10F0},
    {0x1E00, 0x1E99}, {0x1EA0, 0x1EF9}, {0x3041, 0x3094}, {0x30A1, 0x30FA}, {0x4E00, 0x9FA5},
    {0xAC00, 0xD7A3},
};
/* Punctuation that is no combining mark and changes in no composed form. */
static const code_range signs[] = {
    {'!', '/'},       {':', '@'},       {'[', '`'},       {'{', '~'},       {0x2010, 0x2027},
    {0x3001, 0x3003}, {0x3008, 0x3011}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF20}, {0x964, 0x965},
};
enum { LETTERS = sizeof letters / sizeof letters[0], SIGNS = sizeof signs / sizeof signs[0] };

static bool is_among(int32_t code, const code_range *ranges, int n)
{
    for (int i = 0; i < n; i++)
        if (code >= ranges[i].first && code <= ranges[i].last) return true;
    return false;
}

/* The code point of the character that ends at a place, -1: none does. */
static int32_t before(const char *text, int64_t at)
{
    int64_t begin = at - 1;
    while (begin > 0 && at - begin < 4 && ((unsigned char)text[begin] & 0xC0) == 0x80) begin--;
    int64_t n = at - begin;
    if (begin < 0 || rm_utf8_valid(text + begin, n) < n) return -1;
    return rm_utf8_code(text + begin, (int)n);
}

/* The code point of the character that begins at a place, -1: none does. */
static int32_t behind(const char *text, int64_t bytes, int64_t at)
{
    int n = at < bytes ? rm_utf8_length((unsigned char)text[at]) : 0;
    if (n == 0 || n > bytes - at || rm_utf8_valid(text + at, n) < n) return -1;
    return rm_utf8_code(text + at, n);
}

static bool may_cut(const rm_text_cuts *cuts, const char *text, int64_t bytes, int64_t at)
{
    bool at_blank = text[at] == ' ', at_line = text[at] == '\n' || text[at] == '\r';
    if ((at_blank && cuts->before_blanks) || (at_line && cuts->before_lines)) {
        int32_t code = before(text, at);
        if (is_among(code, letters, LETTERS)) return true;
        return at_line && cuts->signs_before_lines && is_among(code, signs, SIGNS);
    }
    return cuts->behind_lines && text[at - 1] == '\n' &&
           is_among(behind(text, bytes, at), letters, LETTERS);
}

int64_t rm_text_cuts_find(const rm_text_cuts *cuts, const char *text, int64_t bytes,
                          int64_t from)
{
    for (int64_t at = from > 0 ? from : 1; at < bytes; at++)
        if (may_cut(cuts, text, bytes, at)) return at;
    return bytes;
}

bool rm_text_cuts_exist(const rm_text_cuts *cuts)
{
    return cuts->before_blanks || cuts->before_lines || cuts->behind_lines;
}

/* --- what a tokenizer allows ----------------------------------------------------------------
 */

/* A token that is looked for must not lie across a cut, nor take what stands on both sides. */
static bool lies_across(const rm_text_cuts *cuts, const rm_added_token *token,
                        const rm_token *spelled)
{
    const char *text = spelled->spelling;
    int64_t n = spelled->n_spelling;
    if (rm_text_cuts_find(cuts, text, n, 1) < n) return true;
    if (token->takes_left && is_among(behind(text, n, 0), letters, LETTERS)) return true;
    int32_t last = before(text, n);
    return token->takes_right && (is_among(last, letters, LETTERS) ||
                                  (cuts->signs_before_lines && is_among(last, signs, SIGNS)));
}

static bool any_lies_across(const rm_text_cuts *cuts, const ringmoe_tokenizer *tokenizer)
{
    const rm_added_tokens *lists[] = {&tokenizer->raw, &tokenizer->normalized};
    for (int list = 0; list < 2; list++)
        for (int32_t i = 0; i < lists[list]->n_tokens; i++) {
            const rm_added_token *token = &lists[list]->tokens[i];
            if (lies_across(cuts, token, &tokenizer->tokens[token->id])) return true;
        }
    return false;
}

static bool is_blank_to_mark(const rm_change *change)
{
    return change->kind == RM_CHANGE_REPLACE && strcmp(change->from, " ") == 0 &&
           strcmp(change->to, RM_BLANK_MARK) == 0;
}

/* What is put in front is left out where a text goes on. */
static bool changes_are_local(const ringmoe_tokenizer *tokenizer)
{
    for (int i = 0; i < tokenizer->n_changes; i++) {
        const rm_change *change = &tokenizer->changes[i];
        bool is_nfc = change->kind == RM_CHANGE_FORM && change->form == RM_NFC;
        if (!is_nfc && !is_blank_to_mark(change) && change->kind != RM_CHANGE_PREPEND)
            return false;
    }
    return true;
}

/* No merge touches the byte of an end of line, which no character stands for; nothing is
 * unknown, so nothing unknown reaches across it. */
static bool is_alone(const ringmoe_tokenizer *tokenizer, unsigned char byte)
{
    int32_t id = tokenizer->byte_ids[byte];
    if (!tokenizer->falls_back || tokenizer->ascii_ids[byte] >= 0) return false;
    for (int i = 0; i < 256; i++)
        if (tokenizer->byte_ids[i] < 0) return false;
    for (int64_t i = 0; i < tokenizer->n_merges; i++)
        if (tokenizer->merge_list[i].left == id || tokenizer->merge_list[i].right == id)
            return false;
    return true;
}

static rm_text_cuts cuts_of_characters(const ringmoe_tokenizer *tokenizer)
{
    rm_text_cuts cuts = {false};
    bool marks_blanks = false;
    for (int i = 0; i < tokenizer->n_changes; i++)
        marks_blanks = marks_blanks || is_blank_to_mark(&tokenizer->changes[i]);
    for (int i = 0; i < tokenizer->n_cuts; i++) {
        if (tokenizer->cuts[i].kind != RM_CUT_BLANKS) return cuts;
        marks_blanks = true;
    }
    cuts.before_blanks = marks_blanks && tokenizer->cuts_at_blanks;
    cuts.before_lines =
        cuts.before_blanks && is_alone(tokenizer, '\n') && is_alone(tokenizer, '\r');
    return cuts;
}

rm_text_cuts rm_text_cuts_of(const ringmoe_tokenizer *tokenizer)
{
    rm_text_cuts none = {false}, cuts = none;
    if (!changes_are_local(tokenizer)) return none;
    if (tokenizer->kind == RINGMOE_TOKENIZER_CHARACTERS) {
        cuts = cuts_of_characters(tokenizer);
    } else if (tokenizer->pattern_name) {
        bool takes_lines = strcmp(tokenizer->pattern_name, "gpt-2") != 0 &&
                           strcmp(tokenizer->pattern_name, "olmo") != 0;
        cuts = (rm_text_cuts){true, true, !takes_lines, takes_lines};
    }
    return any_lies_across(&cuts, tokenizer) ? none : cuts;
}

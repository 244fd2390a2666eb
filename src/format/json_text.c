/* SPDX-License-Identifier: MIT */
#include "format/json_text.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Digits and all of a number; the largest finite one needs 309 before its point. */
enum { MAX_NUMBER_BYTES = 512 };

static bool fail(rm_json_cursor *cursor, const char *trouble)
{
    cursor->trouble = trouble;
    return false;
}

/* A new value, or the failure to get memory for it. */
static bool made(rm_json_cursor *cursor, json_t *value)
{
    return value ? true : fail(cursor, NULL);
}

void rm_json_skip_blanks(rm_json_cursor *cursor)
{
    while (cursor->at < cursor->end && memchr(" \t\n\r", *cursor->at, 4)) cursor->at++;
}

/* --- strings -------------------------------------------------------------------------------
 */

/* Four hex digits; -1 if they are not there. */
static int32_t read_hex4(rm_json_cursor *cursor)
{
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        static const char digits[] = "0123456789abcdef";
        int c = rm_json_peek(cursor);
        const char *digit = c > 0 ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;
        if (!digit) return -1;
        value = value << 4 | (int32_t)(digit - digits);
        cursor->at++;
    }
    return value;
}

static char *put_utf8(uint32_t code, char *to)
{
    if (code < 0x80) {
        *to++ = (char)code;
        return to;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char leads[] = {0, 0xC0, 0xE0, 0xF0};
    *to++ = (char)(leads[more] | code >> (6 * more));
    while (more-- > 0) *to++ = (char)(0x80 | (code >> (6 * more) & 0x3F));
    return to;
}

/* The second half of a character, if it comes next; -1: it does not, and nothing is taken. */
static int32_t read_low_half(rm_json_cursor *cursor)
{
    const char *before = cursor->at;
    if (cursor->end - cursor->at < 2 || cursor->at[0] != '\\' || cursor->at[1] != 'u')
        return -1;
    cursor->at += 2;
    int32_t low = read_hex4(cursor);
    if (low >= 0xDC00 && low < 0xE000) return low;
    cursor->at = before;
    return -1;
}

/* Behind \u: one character, which may be two halves. */
static bool read_unicode(rm_json_cursor *cursor, char **to)
{
    int32_t code = read_hex4(cursor);
    if (code < 0) return fail(cursor, "\\u without four hex digits");
    if (code == 0 && !cursor->repairs) return fail(cursor, "a NUL character in a string");
    if (code >= 0xD800 && code < 0xE000) {
        int32_t low = code < 0xDC00 ? read_low_half(cursor) : -1;
        if (low < 0 && !cursor->repairs) return fail(cursor, "half of a character");
        code = low < 0 ? 0xFFFD : 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    *to = put_utf8((uint32_t)code, *to);
    return true;
}

/* At a backslash. */
static bool read_escape(rm_json_cursor *cursor, char **to)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    cursor->at++;
    int c = rm_json_peek(cursor);
    if (c == 'u') {
        cursor->at++;
        return read_unicode(cursor, to);
    }
    const char *name = c > 0 ? strchr(names, c) : NULL;
    if (!name) return fail(cursor, "an unknown escape in a string");
    cursor->at++;
    *(*to)++ = values[name - names];
    return true;
}

/* At a byte of 0x80 or more: one character of UTF-8 in its shortest form. */
static bool read_utf8(rm_json_cursor *cursor, char **to)
{
    const unsigned char *at = (const unsigned char *)cursor->at;
    int more = *at >= 0xF0 ? 3 : *at >= 0xE0 ? 2 : 1;
    if (*at < 0xC2 || *at > 0xF4 || cursor->end - cursor->at <= more)
        return fail(cursor, "a string that is not UTF-8");
    uint32_t code = *at & (0x3Fu >> more);
    for (int i = 1; i <= more; i++) {
        if ((at[i] & 0xC0) != 0x80) return fail(cursor, "a string that is not UTF-8");
        code = code << 6 | (at[i] & 0x3F);
    }
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (code < least[more] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return fail(cursor, "a string that is not UTF-8");
    *to = put_utf8(code, *to);
    cursor->at += more + 1;
    return true;
}

/* Up to the closing quotation mark. No character takes more bytes than it did in the file. */
static bool read_characters(rm_json_cursor *cursor, char **to)
{
    for (int c; (c = rm_json_peek(cursor)) != '"';) {
        if (c < 0) return fail(cursor, "a string without an end");
        if (c < ' ') return fail(cursor, "a control character in a string");
        bool good = true;
        if (c == '\\')
            good = read_escape(cursor, to);
        else if (c >= 0x80)
            good = read_utf8(cursor, to);
        else
            *(*to)++ = *cursor->at++;
        if (!good) return false;
    }
    cursor->at++;
    return true;
}

/* Bytes up to the closing quotation mark, or to the end. */
static size_t string_bytes(const rm_json_cursor *cursor)
{
    const char *at = cursor->at;
    while (at < cursor->end && *at != '"') at += *at == '\\' && cursor->end - at > 1 ? 2 : 1;
    return (size_t)(at - cursor->at);
}

bool rm_json_read_string(rm_json_cursor *cursor, json_t **value)
{
    cursor->at++;
    char *text = malloc(string_bytes(cursor) + 1), *to = text;
    if (!text) return fail(cursor, NULL);
    bool good = read_characters(cursor, &to);
    if (good) good = made(cursor, *value = json_stringn_nocheck(text, (size_t)(to - text)));
    free(text);
    return good;
}

/* --- numbers and words ---------------------------------------------------------------------
 */

/* At least one digit. */
static bool skip_digits(rm_json_cursor *cursor)
{
    const char *first = cursor->at;
    while (rm_json_peek(cursor) >= '0' && rm_json_peek(cursor) <= '9') cursor->at++;
    return cursor->at > first;
}

/* Whether it is a whole number as well. */
static bool skip_number(rm_json_cursor *cursor, bool *is_whole)
{
    *is_whole = true;
    if (rm_json_peek(cursor) == '-') cursor->at++;
    const char *first = cursor->at;
    if (!skip_digits(cursor)) return false;
    if (*first == '0' && cursor->at - first > 1) return false;
    if (rm_json_peek(cursor) == '.') {
        *is_whole = false;
        cursor->at++;
        if (!skip_digits(cursor)) return false;
    }
    if (rm_json_peek(cursor) != 'e' && rm_json_peek(cursor) != 'E') return true;
    *is_whole = false;
    cursor->at++;
    if (rm_json_peek(cursor) == '+' || rm_json_peek(cursor) == '-') cursor->at++;
    return skip_digits(cursor);
}

/* strtod, whatever the locale's decimal point. */
static double number_of(char *text)
{
    char *rest, *point = strchr(text, '.');
    double number = strtod(text, &rest);
    if (*rest == 0 || !point) return number;
    *point = ',';
    return strtod(text, NULL);
}

/* A whole number past 64 bits is one with a fraction: transformers writes 1e30 in full digits
 * for "no limit" into the files of every tokenizer. */
static bool read_number(rm_json_cursor *cursor, json_t **value)
{
    char text[MAX_NUMBER_BYTES];
    const char *first = cursor->at;
    bool is_whole;
    if (!skip_number(cursor, &is_whole)) return fail(cursor, "a number that is none");
    size_t length = (size_t)(cursor->at - first);
    if (length >= sizeof text) return fail(cursor, "a number of too many digits");
    memcpy(text, first, length);
    text[length] = 0;
    if (is_whole) {
        errno = 0;
        long long number = strtoll(text, NULL, 10);
        if (errno != ERANGE) return made(cursor, *value = json_integer(number));
    }
    double number = number_of(text);
    if (!isfinite(number)) return fail(cursor, "a number that is too large");
    return made(cursor, *value = json_real(number));
}

static bool skip_word(rm_json_cursor *cursor, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(cursor->end - cursor->at) < length || memcmp(cursor->at, word, length))
        return false;
    cursor->at += length;
    return true;
}

bool rm_json_read_plain(rm_json_cursor *cursor, json_t **value)
{
    if (skip_word(cursor, "true")) return made(cursor, *value = json_true());
    if (skip_word(cursor, "false")) return made(cursor, *value = json_false());
    if (skip_word(cursor, "null")) return made(cursor, *value = json_null());
    int c = rm_json_peek(cursor);
    if (c == '-' || (c >= '0' && c <= '9')) return read_number(cursor, value);
    return fail(cursor, c < 0 ? "its end is missing" : "something that is no value");
}

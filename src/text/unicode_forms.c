/* SPDX-License-Identifier: MIT
 *
 * Nearly all characters of nearly all texts are in the form already. So a text is copied up to
 * the first character that the form changes or that may join the one before it (a mark, a
 * vowel or final of Hangul), and normalized from the character before that one up to the next
 * that is neither: nothing reaches across such places.
 */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "text/unicode.h"
#include "text/unicode_ages.h"

/* Characters below are in every composed form already and join nothing; in decomposed forms
 * only those of ASCII are. */
enum { FIRST_COMPOSED = 0xA0, FIRST_CANONICAL = 0x300, FIRST_DECOMPOSED = 0x80 };
enum { MOST_PARTS = 32, MOST_CANONICAL = 4 }; /* of a character; the longest there is has 18 */

static utf8proc_option_t options_of(rm_unicode_form form)
{
    int options = UTF8PROC_STABLE;
    options |= form == RM_NFC || form == RM_NFKC ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
    if (form == RM_NFKC || form == RM_NFKD) options |= UTF8PROC_COMPAT;
    return (utf8proc_option_t)options;
}

static int32_t first_that_matters(rm_unicode_form form)
{
    return form == RM_NFC    ? FIRST_CANONICAL
           : form == RM_NFKC ? FIRST_COMPOSED
                             : FIRST_DECOMPOSED;
}

/* Vowels and finals of Hangul, which join the syllable before them. */
static bool is_joining_jamo(int32_t code)
{
    return code >= 0x1160 && code <= 0x11FF;
}

/* Whether the form of a character alone is another text. */
static bool changes_alone(int32_t code, rm_unicode_form form)
{
    utf8proc_int32_t parts[MOST_PARTS];
    int boundary = 0;
    utf8proc_option_t options = options_of(form);
    utf8proc_ssize_t n = utf8proc_decompose_char(code, parts, MOST_PARTS, options, &boundary);
    if (n < 0 || n > MOST_PARTS) return true;
    n = utf8proc_normalize_utf32(parts, n, options);
    return n != 1 || parts[0] != code;
}

static bool matters(int32_t code, rm_unicode_form form)
{
    if (code < first_that_matters(form) || rm_has_late_form(code)) return false;
    const utf8proc_property_t *property = utf8proc_get_property(code);
    if (property->combining_class != 0 || is_joining_jamo(code)) return true;
    if (property->category == UTF8PROC_CATEGORY_MN ||
        property->category == UTF8PROC_CATEGORY_MC)
        return true;
    bool is_hangul = code >= 0xAC00 && code <= 0xD7A3;
    if (property->decomp_seqindex == UINT16_MAX && !is_hangul) return false;
    return changes_alone(code, form);
}

/* The next character; its bytes. */
static int64_t read_one(const char *text, int64_t n, int32_t *code)
{
    utf8proc_int32_t point = 0;
    utf8proc_ssize_t bytes =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &point);
    *code = point;
    return bytes > 0 ? bytes : 1;
}

/* From `at` the first character that matters, or with `wanted` false the first that does not;
 * *before is the place of the character before it, if the two may join. */
static int64_t look_for(const char *text, int64_t n, int64_t at, rm_unicode_form form,
                        bool wanted, int64_t *before)
{
    *before = at;
    while (at < n) {
        int32_t code;
        int64_t bytes = read_one(text + at, n - at, &code);
        if (matters(code, form) == wanted) break;
        *before = rm_has_late_form(code) ? at + bytes : at;
        at += bytes;
    }
    return at;
}

bool rm_unicode_is_plain(const char *text, int64_t n, rm_unicode_form form)
{
    int64_t before;
    return look_for(text, n, 0, form, true, &before) == n;
}

/* --- a piece that neither joins what is before it nor what is behind it ------------------ */

typedef struct point_list {
    utf8proc_int32_t *codes;
    int64_t count;
} point_list;

static int most_parts(rm_unicode_form form)
{
    return form == RM_NFC || form == RM_NFD ? MOST_CANONICAL : MOST_PARTS;
}

static bool decompose(const char *text, int64_t n, rm_unicode_form form, point_list *result)
{
    for (int64_t at = 0; at < n;) {
        int32_t code;
        int boundary = 0;
        at += read_one(text + at, n - at, &code);
        utf8proc_ssize_t parts = utf8proc_decompose_char(
            code, result->codes + result->count, most_parts(form), options_of(form), &boundary);
        if (parts < 0 || parts > most_parts(form)) return false;
        result->count += parts;
    }
    return true;
}

static int class_of(utf8proc_int32_t code)
{
    return utf8proc_get_property(code)->combining_class;
}

/* Sorts a run of marks by their classes and keeps the order of those of one class; `spare` has
 * room for them. By counting, since a run may be long. */
static void sort_marks(utf8proc_int32_t *codes, int64_t n, utf8proc_int32_t *spare)
{
    int64_t places[257] = {0};
    for (int64_t i = 0; i < n; i++) places[class_of(codes[i]) + 1]++;
    for (int i = 0; i < 256; i++) places[i + 1] += places[i];
    for (int64_t i = 0; i < n; i++) spare[places[class_of(codes[i])]++] = codes[i];
    memcpy(codes, spare, (size_t)n * sizeof *codes);
}

static void order_marks(point_list *points, utf8proc_int32_t *spare)
{
    for (int64_t at = 0; at < points->count;) {
        int64_t end = at;
        while (end < points->count && class_of(points->codes[end]) != 0) end++;
        if (end - at > 1) sort_marks(points->codes + at, end - at, spare);
        at = end + (end == at);
    }
}

static bool add_points(const point_list *points, rm_bytes *result)
{
    if (!rm_bytes_reserve(result, 4 * points->count)) return false;
    for (int64_t i = 0; i < points->count; i++)
        result->count += utf8proc_encode_char(points->codes[i],
                                              (utf8proc_uint8_t *)result->data + result->count);
    return true;
}

static bool form_points(const char *text, int64_t n, rm_unicode_form form, point_list *points,
                        rm_bytes *result)
{
    if (!decompose(text, n, form, points)) return false;
    order_marks(points, points->codes + points->count);
    utf8proc_ssize_t count =
        utf8proc_normalize_utf32(points->codes, points->count, options_of(form));
    points->count = count;
    return count >= 0 && add_points(points, result);
}

static bool add_form(const char *text, int64_t n, rm_unicode_form form, rm_bytes *result)
{
    utf8proc_int32_t few[16 * MOST_PARTS];
    point_list points = {few, 0};
    int64_t characters = 0;
    for (int64_t i = 0; i < n; i++) characters += ((unsigned char)text[i] & 0xC0) != 0x80;
    bool is_long = characters > 8;
    if (is_long)
        points.codes = malloc((size_t)characters * 2 * (size_t)most_parts(form) * sizeof *few);
    bool done = points.codes && form_points(text, n, form, &points, result);
    if (is_long) free(points.codes);
    return done;
}

bool rm_unicode_normalize(const char *text, int64_t n, rm_unicode_form form, rm_bytes *result)
{
    for (int64_t at = 0; at < n;) {
        int64_t before, ignored;
        int64_t first = look_for(text, n, at, form, true, &before);
        if (first == n) return rm_bytes_add(result, text + at, n - at);
        int64_t end = look_for(text, n, first, form, false, &ignored);
        if (!rm_bytes_add(result, text + at, before - at)) return false;
        if (!add_form(text + before, end - before, form, result)) return false;
        at = end;
    }
    return true;
}

/* SPDX-License-Identifier: MIT
 *
 * Where Oniguruma (Ruby syntax, UTF-8) and PCRE2 (UTF, UCP, MULTILINE) read a pattern
 * differently:
 *
 *   \s \S     PCRE2 counts U+180E as a blank: written out by the property White_Space
 *   \w \W     other properties: written out
 *   \p{L} \d  of another version of Unicode: with the characters that came later
 *   \p{Han}   characters of the script there, all that are used with it here
 *   \h \H     hexadecimal digits there, blanks here: refused; so are all other letters but
 *             those in the lists below
 *   [a[b]]    sets in sets, and &&: refused
 *   {n,m}+    greedy and repeated there, possessive here: refused; also {n}? and {,m}
 *   (?m) ...  other letters: only those groups that are listed below are taken
 *   (?i:ss)   is one character there, too, such as U+00DF: refused, as other scripts there
 *
 * Nothing else is touched; PCRE2 says itself what it cannot read.
 */
#include "text/pattern_text.h"

#include <stdio.h>
#include <string.h>

#include "text/unicode_ages.h"

typedef struct translator {
    const char *at, *end;
    rm_bytes *out;
    rm_error *error;
    bool in_set;
    bool has_memory;
    int depth,
        folded; /* groups that are open; the one within which case does not count, or 0 */
} translator;

static const char blanks[] = "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}"
                             "\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
/* Oniguruma counts the small numbers of Latin-1, but of them alone. */
static const char word_characters[] = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
                                      "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";
static const char *const word_categories[] = {"L", "M", "Nd", NULL};
static const char *const no_category[] = {NULL};

static ringmoe_status refuse(const translator *work, const char *what, int64_t bytes,
                             const char *why)
{
    return rm_fail(work->error, RINGMOE_ERROR_FORMAT, "pattern: %.*s: %s", (int)bytes, what,
                   why);
}

static void put(translator *work, const char *text, int64_t bytes)
{
    if (!rm_bytes_add(work->out, text, bytes)) work->has_memory = false;
}

static void put_text(translator *work, const char *text)
{
    put(work, text, (int64_t)strlen(text));
}

/* The characters of a category, or of those that begin with a letter, that came late. */
static void put_late(translator *work, const char *category)
{
    for (const rm_late_range *range = rm_late_categories; *range->category; range++) {
        char text[40];
        if (strncmp(range->category, category, strlen(category)) != 0) continue;
        snprintf(text, sizeof text, "\\x{%x}-\\x{%x}", (unsigned)range->first,
                 (unsigned)range->last);
        put_text(work, text);
    }
}

/* A class of characters by its members and by the categories of what belongs to it too. */
static ringmoe_status put_class(translator *work, const char *members,
                                const char *const *categories, bool negated)
{
    if (work->in_set && negated)
        return refuse(work, members, (int64_t)strlen(members),
                      "its opposite is not done inside of [ ]: name the characters");
    if (!work->in_set) put_text(work, negated ? "[^" : "[");
    put_text(work, members);
    for (; *categories; categories++) put_late(work, *categories);
    if (!work->in_set) put_text(work, "]");
    return RINGMOE_OK;
}

/* Properties with names. PCRE2 reads the name of a script alone as all characters that are used
 * with it; beside them what came late. */
static const struct {
    const char *name, *members;
} properties[] = {
    {"White_Space", blanks},
    {"Han", "\\p{sc:Han}\\x{2b739}\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}"},
    {"Hiragana", "\\p{sc:Hiragana}\\x{1b132}"},
    {"Katakana", "\\p{sc:Katakana}\\x{1b155}"},
    {"Hangul", "\\p{sc:Hangul}"},
    {"Latin", "\\p{sc:Latin}\\x{a7cb}-\\x{a7cd}\\x{a7da}-\\x{a7dc}\\x{1df25}-\\x{1df2a}"},
    {"Greek", "\\p{sc:Greek}"},
    {"Cyrillic", "\\p{sc:Cyrillic}\\x{1c89}\\x{1c8a}\\x{1e030}-\\x{1e06d}\\x{1e08f}"},
    {"Arabic", "\\p{sc:Arabic}\\x{897}\\x{10ec2}-\\x{10ec4}\\x{10efc}-\\x{10eff}"},
    {"Hebrew", "\\p{sc:Hebrew}"},
    {"Thai", "\\p{sc:Thai}"},
    {"Devanagari", "\\p{sc:Devanagari}\\x{11b00}-\\x{11b09}"},
};

/* All but C and Cn: what has no meaning yet is another matter in each version. */
static bool is_category(const char *name, int64_t bytes)
{
    static const char categories[] = "|L|Lu|Ll|Lt|Lm|Lo|M|Mn|Mc|Me|N|Nd|Nl|No|P|Pc|Pd|Ps|Pe|Pi|"
                                     "Pf|Po|S|Sm|Sc|Sk|So|Z|Zs|Zl|Zp|Cc|Cf|Co|";
    char wanted[5] = "|";
    if (bytes < 1 || bytes > 2) return false;
    memcpy(wanted + 1, name, (size_t)bytes);
    wanted[1 + bytes] = '|';
    return strstr(categories, wanted) != NULL;
}

/* \p{X}, \P{X} */
static ringmoe_status put_property(translator *work)
{
    const char *begin = work->at, *name = begin + 3;
    const char *close = memchr(begin, '}', (size_t)(work->end - begin));
    char category[3] = "", members[8];
    bool negated = begin[1] == 'P';
    if (!close || begin[2] != '{') return refuse(work, begin, 2, "not followed by {name}");
    int64_t bytes = close - name;
    work->at = close + 1;
    if (is_category(name, bytes)) {
        memcpy(category, name, (size_t)bytes);
        snprintf(members, sizeof members, "\\p{%s}", category);
        return put_class(work, members, (const char *const[]){category, NULL}, negated);
    }
    for (size_t i = 0; i < sizeof properties / sizeof properties[0]; i++)
        if (bytes == (int64_t)strlen(properties[i].name) &&
            !memcmp(name, properties[i].name, (size_t)bytes))
            return put_class(work, properties[i].members, no_category, negated);
    return refuse(work, begin, bytes < 40 ? bytes + 4 : 44,
                  "this property is not done: categories but C and Cn, and a few scripts are");
}

/* \uHHHH */
static ringmoe_status put_unicode(translator *work)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    if (work->end - work->at < 6 || strspn(work->at + 2, digits) < 4)
        return refuse(work, work->at, 2, "without four hex digits");
    put_text(work, "\\x{");
    put(work, work->at + 2, 4);
    put_text(work, "}");
    work->at += 6;
    return RINGMOE_OK;
}

static const char *const digits[] = {"Nd", NULL};
static const struct {
    char letter, opposite;
    const char *members;
    const char *const *categories;
} classes[] = {{'s', 'S', blanks, no_category},
               {'w', 'W', word_characters, word_categories},
               {'d', 'D', "\\p{Nd}", digits}};

/* At a backslash. */
static ringmoe_status escape(translator *work)
{
    if (work->end - work->at < 2) return refuse(work, work->at, 1, "at the end of the pattern");
    char letter = work->at[1];
    if (letter == 'p' || letter == 'P') return put_property(work);
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (letter == classes[i].letter || letter == classes[i].opposite) {
            work->at += 2;
            return put_class(work, classes[i].members, classes[i].categories,
                             letter == classes[i].opposite);
        }
    if (letter == 'u') return put_unicode(work);
    bool is_word = (letter >= '0' && letter <= '9') || (letter >= 'a' && letter <= 'z') ||
                   (letter >= 'A' && letter <= 'Z');
    if (is_word && !strchr(work->in_set ? "nrtfaex" : "nrtfaexAz", letter))
        return refuse(work, work->at, 2, "this escape is not done");
    const char *close = work->at + 1;
    if (letter == 'x' && work->end - work->at > 2 && work->at[2] == '{')
        close = memchr(work->at, '}', (size_t)(work->end - work->at));
    if (!close) return refuse(work, work->at, 3, "its } is missing");
    put(work, work->at, close + 1 - work->at);
    work->at = close + 1;
    return RINGMOE_OK;
}

/* At a bracket that opens a set, or of [:name:] in one. */
static ringmoe_status open_set(translator *work)
{
    if (!work->in_set) {
        int64_t bytes = work->end - work->at > 1 && work->at[1] == '^' ? 2 : 1;
        work->in_set = true;
        put(work, work->at, bytes);
        work->at += bytes;
        if (work->at < work->end && *work->at == ']')
            return refuse(work, "[]", 2, "an empty set");
        return RINGMOE_OK;
    }
    return refuse(work, work->at, 1, "a set inside of a set is not done");
}

static ringmoe_status in_set(translator *work)
{
    if (*work->at == '\\') return escape(work);
    if (*work->at == '[') return open_set(work);
    if (work->end - work->at > 1 && work->at[0] == '&' && work->at[1] == '&')
        return refuse(work, work->at, 2, "the intersection of sets is not done");
    if (*work->at == ']') work->in_set = false;
    if (work->folded && (unsigned char)*work->at >= 0x80)
        return refuse(work, "(?i:", 4, "is done of ASCII only");
    put(work, work->at++, 1);
    return RINGMOE_OK;
}

/* At a parenthesis that opens a group. */
static ringmoe_status open_group(translator *work)
{
    static const char *const groups[] = {"(?:", "(?i:", "(?-i:", "(?=", "(?!",
                                         "(?>", "(?<=", "(?<!",  NULL};
    work->depth++;
    if (work->end - work->at < 2 || (work->at[1] != '?' && work->at[1] != '*')) {
        put(work, work->at++, 1);
        return RINGMOE_OK;
    }
    for (int i = 0; groups[i]; i++) {
        int64_t bytes = (int64_t)strlen(groups[i]);
        if (work->end - work->at < bytes || memcmp(work->at, groups[i], (size_t)bytes))
            continue;
        put(work, work->at, bytes);
        work->at += bytes;
        if (strcmp(groups[i], "(?i:") == 0 && !work->folded) work->folded = work->depth;
        return RINGMOE_OK;
    }
    return refuse(work, work->at, work->end - work->at < 4 ? work->end - work->at : 4,
                  "this kind of group is not done");
}

/* A character that stands for itself, or a sign. */
static ringmoe_status put_character(translator *work)
{
    static const char *const pairs[] = {"ff", "fi", "fl", "ss", "st", NULL};
    const char *at = work->at;
    if (work->folded && (unsigned char)*at >= 0x80)
        return refuse(work, "(?i:", 4, "is done of ASCII only");
    for (int i = 0; work->folded && work->end - at > 1 && pairs[i]; i++)
        if ((at[0] | 0x20) == pairs[i][0] && (at[1] | 0x20) == pairs[i][1])
            return refuse(work, at, 2, "in (?i:) this is one character, too");
    put(work, work->at++, 1);
    return RINGMOE_OK;
}

static void close_group(translator *work)
{
    if (work->folded == work->depth) work->folded = 0;
    if (work->depth > 0) work->depth--;
    put(work, work->at++, 1);
}

/* At a brace: how often. */
static ringmoe_status repeat(translator *work)
{
    const char *close = memchr(work->at, '}', (size_t)(work->end - work->at));
    const char *at = work->at + 1;
    bool is_count = close && at < close;
    for (; is_count && at < close; at++)
        is_count = (*at >= '0' && *at <= '9') || (*at == ',' && at > work->at + 1);
    if (!is_count)
        return refuse(work, work->at, 1, "write \\{ for the character, or a count as {1,3}");
    if (close + 1 < work->end && (close[1] == '+' || close[1] == '?' || close[1] == '*'))
        return refuse(work, work->at, close + 2 - work->at, "this count is not done");
    put(work, work->at, close + 1 - work->at);
    work->at = close + 1;
    return RINGMOE_OK;
}

ringmoe_status rm_pattern_translate(const char *text, int64_t bytes, rm_bytes *translated,
                                    rm_error *error)
{
    translator work = {.at = text,
                       .end = text + bytes,
                       .out = translated,
                       .error = error,
                       .has_memory = rm_bytes_reserve(translated, bytes)};
    while (work.at < work.end && work.has_memory) {
        if (work.in_set)
            RM_TRY(in_set(&work));
        else if (*work.at == '\\')
            RM_TRY(escape(&work));
        else if (*work.at == '[')
            RM_TRY(open_set(&work));
        else if (*work.at == '(')
            RM_TRY(open_group(&work));
        else if (*work.at == ')')
            close_group(&work);
        else if (*work.at == '{')
            RM_TRY(repeat(&work));
        else
            RM_TRY(put_character(&work));
    }
    if (work.has_memory) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a pattern");
}

/* SPDX-License-Identifier: MIT
 *
 * Filters, tests, and methods of texts.
 */
#include <string.h>

#include "text/chat_template.h"

/* Bytes of the character at the beginning; of what is none, 1. */
static int64_t character_at(const char *text, int64_t n)
{
    int64_t bytes = rm_utf8_length((unsigned char)*text);
    return bytes <= n && rm_utf8_valid(text, bytes) == bytes ? bytes : 1;
}

/* Likewise of the one at the end. */
static int64_t character_before(const char *text, int64_t n)
{
    for (int64_t bytes = 1; bytes <= 4 && bytes <= n; bytes++)
        if (((unsigned char)text[n - bytes] & 0xC0) != 0x80)
            return character_at(text + n - bytes, bytes) == bytes ? bytes : 1;
    return 1;
}

/* Whether a character is of a set, or a blank as Python has it (set NULL). */
static bool is_of_set(const char *text, int64_t bytes, const rm_value *set)
{
    if (set) return memmem(set->text, (size_t)set->n, text, (size_t)bytes) != NULL;
    if (bytes == 1 && *text >= 0x1C && *text <= 0x1F) return true;
    return rm_utf8_valid(text, bytes) == bytes && rm_utf8_blanks_before(text, bytes) == bytes;
}

/* Python's strip: `sides` 1 left, 2 right. */
static rm_value strip(const rm_value *of, const rm_value *set, int sides)
{
    const char *text = of->text;
    int64_t n = of->n, first = 0, bytes;
    for (; (sides & 1) && first < n; first += bytes) {
        bytes = character_at(text + first, n - first);
        if (!is_of_set(text + first, bytes, set)) break;
    }
    for (; (sides & 2) && n > first; n -= bytes) {
        bytes = character_before(text + first, n - first);
        if (!is_of_set(text + n - bytes, bytes, set)) break;
    }
    return rm_value_text(text + first, n - first);
}

static ringmoe_status change_case(rm_render *render, const rm_node *node, const rm_value *of,
                                  bool upper, rm_value *value)
{
    void *room;
    RM_TRY(rm_template_room(render, node, of->n, &room));
    char *to = room, first = upper ? 'a' : 'A';
    for (int64_t i = 0; i < of->n; i++) {
        char c = of->text[i];
        if ((unsigned char)c >= 0x80)
            return rm_template_fail(render, node, "upper and lower are done of ASCII only");
        to[i] = c >= first && c < first + 26 ? (char)(c ^ 0x20) : c;
    }
    *value = rm_value_text(to, of->n);
    return RINGMOE_OK;
}

static const char *find(const char *at, const char *end, const rm_value *what)
{
    return memmem(at, (size_t)(end - at), what->text, (size_t)what->n);
}

static ringmoe_status split(rm_render *render, const rm_node *node, const rm_value *of,
                            const rm_value *by, rm_value *value)
{
    const char *at = of->text, *end = at + of->n, *found;
    void *room;
    int64_t n = 1, i = 0;
    if (by->n == 0) return rm_template_fail(render, node, "split by nothing");
    for (; (found = find(at, end, by)); at = found + by->n) n++;
    RM_TRY(rm_template_room(render, node, n * (int64_t)sizeof(rm_value), &room));
    rm_value *list = room;
    for (at = of->text; (found = find(at, end, by)); at = found + by->n)
        list[i++] = rm_value_text(at, found - at);
    list[i] = rm_value_text(at, end - at);
    *value = (rm_value){.kind = RM_VALUE_LIST, .n = n, .list = list};
    return RINGMOE_OK;
}

/* The next word behind *at, parted from others by blanks; false: there is none. */
static bool next_word(const char **at, const char *end, rm_value *word)
{
    rm_value rest = rm_value_text(*at, end - *at);
    rest = strip(&rest, NULL, 1);
    const char *stop = rest.text;
    for (int64_t bytes; stop < end; stop += bytes) {
        bytes = character_at(stop, end - stop);
        if (is_of_set(stop, bytes, NULL)) break;
    }
    *word = rm_value_text(rest.text, stop - rest.text);
    *at = stop;
    return word->n > 0;
}

/* split(): the words. */
static ringmoe_status split_words(rm_render *render, const rm_node *node, const rm_value *of,
                                  rm_value *value)
{
    const char *at = of->text, *end = at + of->n;
    void *room;
    rm_value word;
    int64_t n = 0;
    while (next_word(&at, end, &word)) n++;
    RM_TRY(rm_template_room(render, node, n * (int64_t)sizeof(rm_value), &room));
    rm_value *list = room;
    at = of->text;
    for (int64_t i = 0; i < n; i++) next_word(&at, end, &list[i]);
    *value = (rm_value){.kind = RM_VALUE_LIST, .n = n, .list = list};
    return RINGMOE_OK;
}

static ringmoe_status replace(rm_render *render, const rm_node *node, const rm_value *of,
                              const rm_value *from, const rm_value *to, rm_value *value)
{
    const char *at = of->text, *end = at + of->n, *found;
    void *room;
    int64_t n = 0;
    if (from->n == 0) return rm_template_fail(render, node, "replace of nothing");
    for (; (found = find(at, end, from)); at = found + from->n) n++;
    RM_TRY(rm_template_room(render, node, of->n + n * (to->n - from->n), &room));
    char *put = room;
    for (at = of->text; (found = find(at, end, from)); at = found + from->n) {
        memcpy(put, at, (size_t)(found - at));
        put += found - at;
        if (to->n > 0) memcpy(put, to->text, (size_t)to->n);
        put += to->n;
    }
    memcpy(put, at, (size_t)(end - at));
    put += end - at;
    *value = rm_value_text(room, put - (char *)room);
    return RINGMOE_OK;
}

/* --- methods
 * ---------------------------------------------------------------------------------- */

/* Each character of the text is looked for in the whole set. */
static ringmoe_status check_set(rm_render *render, const rm_node *node, const rm_value *of,
                                const rm_value *set)
{
    enum { MOST_SET_BYTES = 1024 };
    if (set->n > MOST_SET_BYTES)
        return rm_template_fail(render, node, "strip of more than %d bytes is not done",
                                MOST_SET_BYTES);
    return rm_template_spend(render, node, of->n * set->n);
}

ringmoe_status rm_template_method(rm_render *render, const rm_node *node, const char *name,
                                  const rm_value *of, rm_value *arguments, int n,
                                  rm_value *value)
{
    rm_value set = n > 0 ? arguments[0] : rm_value_text("", 0);
    RM_TRY(rm_template_spend(render, node, of->n));
    if (n > 0 && set.kind == RM_VALUE_TEXT && strstr(name, "strip"))
        RM_TRY(check_set(render, node, of, &set));
    for (int i = 0; i < n; i++)
        if (arguments[i].kind != RM_VALUE_TEXT)
            return rm_template_fail(render, node, "%.40s takes texts", name);
    bool left = strcmp(name, "lstrip") == 0, right = strcmp(name, "rstrip") == 0;
    if ((left || right || strcmp(name, "strip") == 0) && n <= 1) {
        *value = strip(of, n > 0 ? &set : NULL, left ? 1 : right ? 2 : 3);
        return RINGMOE_OK;
    }
    if (strcmp(name, "startswith") == 0 && n == 1) {
        *value = rm_value_flag(set.n <= of->n && !memcmp(of->text, set.text, (size_t)set.n));
        return RINGMOE_OK;
    }
    if (strcmp(name, "endswith") == 0 && n == 1) {
        *value = rm_value_flag(set.n <= of->n &&
                               !memcmp(of->text + of->n - set.n, set.text, (size_t)set.n));
        return RINGMOE_OK;
    }
    if (strcmp(name, "split") == 0 && n == 0) return split_words(render, node, of, value);
    if (strcmp(name, "split") == 0 && n == 1) return split(render, node, of, &set, value);
    if (strcmp(name, "replace") == 0 && n == 2)
        return replace(render, node, of, &arguments[0], &arguments[1], value);
    if ((strcmp(name, "upper") == 0 || strcmp(name, "lower") == 0) && n == 0)
        return change_case(render, node, of, *name == 'u', value);
    return rm_template_fail(render, node, "the method %.40s with %d arguments is not done",
                            name, n);
}

/* --- filters
 * ----------------------------------------------------------------------------------- */

static ringmoe_status length(rm_render *render, const rm_node *node, const rm_value *of,
                             rm_value *value)
{
    int64_t n = 0;
    if (of->kind == RM_VALUE_LIST)
        n = of->n;
    else if (of->kind == RM_VALUE_TEXT)
        for (int64_t i = 0; i < of->n; i++) n += ((unsigned char)of->text[i] & 0xC0) != 0x80;
    else if (of->kind == RM_VALUE_MAP)
        for (const rm_member *member = *of->map; member; member = member->next) n++;
    else
        return rm_template_fail(render, node, "length of this value is not done");
    *value = rm_value_number(n);
    return RINGMOE_OK;
}

/* JSON as Python's json.dumps(ensure_ascii=False) has it. */
static ringmoe_status to_json(rm_render *render, const rm_node *node, rm_value *of,
                              rm_value *value)
{
    static const char letters[] = "\"\\\n\r\t\b\f", escapes[] = "\"\\nrtbf";
    static const char digits[] = "0123456789abcdef";
    void *room;
    if (of->kind != RM_VALUE_TEXT)
        return rm_template_fail(render, node, "tojson is done of texts only");
    RM_TRY(rm_template_room(render, node, 6 * of->n + 2, &room));
    char *put = room;
    *put++ = '"';
    for (int64_t i = 0; i < of->n; i++) {
        char c = of->text[i];
        const char *letter = c ? strchr(letters, c) : NULL;
        if (letter || (unsigned char)c < 0x20) *put++ = '\\';
        if (letter) {
            *put++ = escapes[letter - letters];
        } else if ((unsigned char)c < 0x20) {
            memcpy(put, "u00", 3);
            put[3] = digits[c >> 4];
            put[4] = digits[c & 15];
            put += 5;
        } else {
            *put++ = c;
        }
    }
    *put++ = '"';
    *value = rm_value_text(room, put - (char *)room);
    return RINGMOE_OK;
}

ringmoe_status rm_template_items(rm_render *render, const rm_node *node, const rm_value *of,
                                 rm_value *value)
{
    int64_t n = 0;
    void *room;
    for (const rm_member *at = *of->map; at; at = at->next) n++;
    RM_TRY(rm_template_room(render, node, 3 * n * (int64_t)sizeof(rm_value), &room));
    rm_value *list = room, *parts = list + n;
    for (const rm_member *at = *of->map; at; at = at->next, list++, parts += 2) {
        parts[0] = rm_value_text(at->name, (int64_t)strlen(at->name));
        parts[1] = at->value;
        *list = (rm_value){.kind = RM_VALUE_LIST, .n = 2, .list = parts};
    }
    *value = (rm_value){.kind = RM_VALUE_LIST, .n = n, .list = room};
    return RINGMOE_OK;
}

/* Those of any value; false: it is not one of these. */
static bool filter_any(rm_render *render, const rm_node *node, rm_value *of,
                       const rm_value *arguments, int n, rm_value *value,
                       ringmoe_status *status)
{
    const char *name = node->text;
    *status = RINGMOE_OK;
    if ((strcmp(name, "default") == 0 || strcmp(name, "d") == 0) && n >= 1) {
        bool is_missing = of->kind == RM_VALUE_UNDEFINED ||
                          (n > 1 && rm_value_is_true(&arguments[1]) && !rm_value_is_true(of));
        *value = is_missing ? arguments[0] : *of;
    } else if (strcmp(name, "length") == 0 || strcmp(name, "count") == 0) {
        *status = length(render, node, of, value);
    } else if (strcmp(name, "tojson") == 0 && n == 0) {
        *status = to_json(render, node, of, value);
    } else if (strcmp(name, "list") == 0 && of->kind == RM_VALUE_LIST) {
        *value = *of;
    } else if ((strcmp(name, "first") == 0 || strcmp(name, "last") == 0) &&
               of->kind == RM_VALUE_LIST) {
        *value = of->n == 0 ? (rm_value){0} : of->list[*name == 'f' ? 0 : of->n - 1];
    } else if (strcmp(name, "items") == 0 && of->kind == RM_VALUE_MAP) {
        *status = rm_template_items(render, node, of, value);
    } else if (strcmp(name, "string") == 0 || strcmp(name, "safe") == 0) {
        *value = *of;
        *status = rm_template_text(render, node, value);
    } else {
        return false;
    }
    return true;
}

ringmoe_status rm_template_filter(rm_render *render, const rm_node *node, rm_value *of,
                                  rm_value *arguments, int n, rm_value *value)
{
    static const char *const methods[][2] = {
        {"trim", "strip"}, {"upper", "upper"}, {"lower", "lower"}, {"replace", "replace"}};
    ringmoe_status status;
    if (filter_any(render, node, of, arguments, n, value, &status)) return status;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (strcmp(node->text, methods[i][0]) == 0) {
            RM_TRY(rm_template_text(render, node, of));
            return rm_template_method(render, node, methods[i][1], of, arguments, n, value);
        }
    return rm_template_fail(render, node, "the filter %.40s of such a value is not done",
                            node->text);
}

/* --- tests
 * ---------------------------------------------------------------------------------------- */

ringmoe_status rm_template_test(rm_render *render, const rm_node *node, const rm_value *of,
                                bool *holds)
{
    rm_value_kind kind = of->kind;
    const struct {
        const char *name;
        bool holds;
    } tests[] = {
        {"defined", kind != RM_VALUE_UNDEFINED},
        {"undefined", kind == RM_VALUE_UNDEFINED},
        {"none", kind == RM_VALUE_NONE},
        {"string", kind == RM_VALUE_TEXT},
        {"mapping", kind == RM_VALUE_MAP},
        {"number", kind == RM_VALUE_NUMBER || kind == RM_VALUE_FLAG},
        {"integer", kind == RM_VALUE_NUMBER},
        {"boolean", kind == RM_VALUE_FLAG},
        {"true", kind == RM_VALUE_FLAG && of->n},
        {"false", kind == RM_VALUE_FLAG && !of->n},
        {"iterable", kind == RM_VALUE_TEXT || kind == RM_VALUE_LIST || kind == RM_VALUE_MAP ||
                         kind == RM_VALUE_UNDEFINED},
        {"sequence", kind == RM_VALUE_TEXT || kind == RM_VALUE_LIST || kind == RM_VALUE_MAP},
        {"odd", kind == RM_VALUE_NUMBER && of->n % 2 != 0},
        {"even", kind == RM_VALUE_NUMBER && of->n % 2 == 0},
    };
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        if (strcmp(node->text, tests[i].name) == 0) {
            *holds = tests[i].holds != (node->word != NULL);
            return RINGMOE_OK;
        }
    return rm_template_fail(render, node, "the test %.40s is not done", node->text);
}

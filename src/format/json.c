/* SPDX-License-Identifier: MIT */
#include "format/json.h"

#include <stdlib.h>

#include "base/files.h"
#include "format/json_text.h"

typedef struct json_reader {
    rm_json_cursor cursor;
    const rm_json_limits *limits;
    int64_t n_values;
    int depth;
} json_reader;

static bool fail(json_reader *reader, const char *trouble)
{
    reader->cursor.trouble = trouble;
    return false;
}

static bool read_value(json_reader *reader, json_t **value);

/* After a value of a list or an object: whether another one comes. */
static bool read_separator(json_reader *reader, char closing, bool *more)
{
    rm_json_skip_blanks(&reader->cursor);
    int c = rm_json_peek(&reader->cursor);
    *more = c == ',';
    if (!*more && c != closing)
        return fail(reader, c < 0 ? "its end is missing" : "neither a comma nor an end");
    reader->cursor.at++;
    if (*more) rm_json_skip_blanks(&reader->cursor);
    return true;
}

static bool read_element(json_reader *reader, json_t *list)
{
    json_t *value = NULL;
    if (!read_value(reader, &value)) return false;
    return json_array_append_new(list, value) == 0 || fail(reader, NULL);
}

/* "key": value */
static bool read_member(json_reader *reader, json_t *object, const char *key)
{
    json_t *value = NULL;
    if (json_object_get(object, key)) return fail(reader, "duplicate key");
    rm_json_skip_blanks(&reader->cursor);
    if (rm_json_peek(&reader->cursor) != ':') return fail(reader, "a key without a colon");
    reader->cursor.at++;
    if (!read_value(reader, &value)) return false;
    return json_object_set_new_nocheck(object, key, value) == 0 || fail(reader, NULL);
}

static bool read_entry(json_reader *reader, json_t *object)
{
    json_t *key = NULL;
    if (rm_json_peek(&reader->cursor) != '"') return fail(reader, "a key that is no string");
    reader->cursor.repairs = false;
    bool good = rm_json_read_string(&reader->cursor, &key);
    reader->cursor.repairs = reader->limits->repairs;
    good = good && read_member(reader, object, json_string_value(key));
    json_decref(key);
    return good;
}

/* The cursor is at [ or {. */
static bool read_container(json_reader *reader, json_t **value)
{
    char closing = *reader->cursor.at == '[' ? ']' : '}';
    *value = closing == ']' ? json_array() : json_object();
    if (!*value) return fail(reader, NULL);
    if (++reader->depth > reader->limits->depth)
        return fail(reader, "lists and objects too deep in each other for such a file");
    reader->cursor.at++;
    rm_json_skip_blanks(&reader->cursor);
    bool more = rm_json_peek(&reader->cursor) != closing;
    if (!more) reader->cursor.at++;
    while (more) {
        bool good = closing == ']' ? read_element(reader, *value) : read_entry(reader, *value);
        if (!good || !read_separator(reader, closing, &more)) return false;
    }
    reader->depth--;
    return true;
}

/* After a failure *value is not to be used. */
static bool read_value(json_reader *reader, json_t **value)
{
    rm_json_skip_blanks(&reader->cursor);
    if (++reader->n_values > reader->limits->values)
        return fail(reader, "more values than such a file has");
    int c = rm_json_peek(&reader->cursor);
    bool good = c == '[' || c == '{' ? read_container(reader, value)
                : c == '"'           ? rm_json_read_string(&reader->cursor, value)
                                     : rm_json_read_plain(&reader->cursor, value);
    if (good) return true;
    json_decref(*value);
    *value = NULL;
    return false;
}

static bool read_root(json_reader *reader, json_t **root)
{
    rm_json_skip_blanks(&reader->cursor);
    int c = rm_json_peek(&reader->cursor);
    if (c != '[' && c != '{') return fail(reader, "neither an object nor a list");
    if (!read_value(reader, root)) return false;
    rm_json_skip_blanks(&reader->cursor);
    if (rm_json_peek(&reader->cursor) < 0) return true;
    json_decref(*root);
    *root = NULL;
    return fail(reader, "something behind its end");
}

ringmoe_status rm_json_parse(const char *text, int64_t size, const rm_json_limits *limits,
                             json_t **root, rm_error *error)
{
    json_reader reader = {
        .cursor = {.begin = text, .at = text, .end = text + size, .repairs = limits->repairs},
        .limits = limits};
    int line = 1;
    *root = NULL;
    if (read_root(&reader, root)) return RINGMOE_OK;
    if (!reader.cursor.trouble)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory to parse its %lld bytes",
                       (long long)size);
    for (const char *at = text; at < reader.cursor.at; at++) line += *at == '\n';
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "line %d: not valid JSON at byte %lld: %s",
                   line, (long long)(reader.cursor.at - text), reader.cursor.trouble);
}

ringmoe_status rm_json_read(const char *path, const rm_json_limits *limits, json_t **root,
                            rm_error *error)
{
    char *text;
    int64_t size;
    rm_error why = {""};
    *root = NULL;
    RM_TRY(rm_file_read(path, limits->bytes, &text, &size, error));
    ringmoe_status status = rm_json_parse(text, size, limits, root, &why);
    free(text);
    return status == RINGMOE_OK ? status : rm_fail(error, status, "%s: %s", path, why.text);
}

/* SPDX-License-Identifier: MIT */
#include "format/json.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/files.h"
#include "format/printable.h"

/* Where the end of a string that begins at `at` lies: behind its quotation mark. */
static int64_t skip_string(const char *text, int64_t at, int64_t size)
{
    for (at++; at < size && text[at] != '"'; at++)
        if (text[at] == '\\') at++;
    return at + 1;
}

/* Counts what opens and separates values. Whether the text is JSON at all is the parser's
 * question; up to where it is, this count is right, and behind that the parser does not get. */
static ringmoe_status look_through(const char *text, int64_t size, const rm_json_limits *limits,
                                   rm_error *error)
{
    int64_t values = 1;
    int depth = 0;
    for (int64_t at = 0; at < size;) {
        char c = text[at];
        bool opens = c == '{' || c == '[';
        if (opens) depth++;
        if (c == '}' || c == ']') depth--;
        values += opens || c == ',';
        if (depth > limits->depth)
            return rm_fail(error, RINGMOE_ERROR_FORMAT,
                           "byte %lld: more than %d lists and objects in each other",
                           (long long)at, limits->depth);
        if (values > limits->values)
            return rm_fail(error, RINGMOE_ERROR_FORMAT,
                           "byte %lld: more than %lld values; such a file has fewer",
                           (long long)at, (long long)limits->values);
        at = c == '"' ? skip_string(text, at, size) : at + 1;
    }
    return RINGMOE_OK;
}

ringmoe_status rm_json_parse(const char *text, int64_t size, const rm_json_limits *limits,
                             json_t **root, rm_error *error)
{
    json_error_t where;
    *root = NULL;
    RM_TRY(look_through(text, size, limits, error));
    *root = json_loadb(text, (size_t)size, JSON_REJECT_DUPLICATES, &where);
    if (*root) return RINGMOE_OK;
    if (json_error_code(&where) == json_error_out_of_memory || !where.text[0])
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory to parse its %lld bytes",
                       (long long)size);
    rm_text_make_printable(where.text);
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "line %d: not valid JSON: %s", where.line,
                   where.text);
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

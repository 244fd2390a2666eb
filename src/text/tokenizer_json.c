/* SPDX-License-Identifier: MIT */
#include "text/tokenizer_json.h"

#include <stdlib.h>
#include <string.h>

#include "format/printable.h"

ringmoe_status rm_not_done(const char *where, const char *what, const json_t *value,
                           rm_error *error)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (text) rm_text_make_printable(text);
    ringmoe_status status =
        rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: %s %.60s is not done here", where, what,
                text ? text : "of this value");
    free(text);
    return status;
}

ringmoe_status rm_only_keys(const json_t *object, const char *where, const char *keys,
                            rm_error *error)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        size_t n = strlen(key);
        bool is_known = false, may_be_known = n > 0 && !strchr(key, '|');
        for (const char *at = strstr(keys, key); at && may_be_known && !is_known;
             at = strstr(at + 1, key))
            is_known = at[-1] == '|' && at[n] == '|';
        if (!is_known) {
            char shown[48];
            strncpy(shown, key, sizeof shown - 1);
            shown[sizeof shown - 1] = '\0';
            rm_text_make_printable(shown);
            return rm_not_done(where, shown, value, error);
        }
    }
    return RINGMOE_OK;
}

ringmoe_status rm_flag(const json_t *object, const char *where, const char *key, bool otherwise,
                       bool *flag, rm_error *error)
{
    const json_t *value = json_object_get(object, key);
    *flag = json_is_true(value) || (otherwise && !json_is_false(value));
    if (!value || json_is_null(value) || json_is_boolean(value)) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: %s must be true or false", where, key);
}

ringmoe_status rm_text(const json_t *object, const char *where, const char *key, bool is_needed,
                       const char **text, rm_error *error)
{
    const json_t *value = json_object_get(object, key);
    *text = json_string_value(value);
    if (*text || (!is_needed && (!value || json_is_null(value)))) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: %s must be a text", where, key);
}

ringmoe_status rm_is_nothing(const json_t *object, const char *where, const char *key,
                             rm_error *error)
{
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    if (!value || json_is_null(value) || json_is_false(value) || (text && !*text) ||
        (json_is_number(value) && json_number_value(value) == 0))
        return RINGMOE_OK;
    return rm_not_done(where, key, value, error);
}

ringmoe_status rm_list(const json_t *component, const char *where, const char *key,
                       const json_t **list, rm_error *error)
{
    *list = json_object_get(component, key);
    if (json_is_array(*list)) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: a Sequence without its list %s", where,
                   key);
}

ringmoe_status rm_type(const json_t *component, const char *where, const char **type,
                       rm_error *error)
{
    *type = NULL;
    if (!component || json_is_null(component)) return RINGMOE_OK;
    if (json_is_object(component)) return rm_text(component, where, "type", true, type, error);
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s must be an object with a type", where);
}

ringmoe_status rm_pattern_of(const json_t *component, const char *where, const char **text,
                             bool *is_literal, rm_error *error)
{
    const json_t *pattern = json_object_get(component, "pattern");
    *is_literal = json_object_get(pattern, "String") != NULL;
    *text = json_string_value(json_object_get(pattern, *is_literal ? "String" : "Regex"));
    if (*text && **text && json_object_size(pattern) == 1) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "%s: pattern must be {\"String\": text} or {\"Regex\": text}", where);
}

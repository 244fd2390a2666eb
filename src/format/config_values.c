/* SPDX-License-Identifier: MIT */
#include "format/config_values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"

rm_value_text rm_value_describe(const json_t *value)
{
    rm_value_text result = {"?"};
    const int room = sizeof result.text - sizeof "...";
    char *json = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII |
                                       JSON_REAL_PRECISION(10));
    if (!json) return result;
    snprintf(result.text, sizeof result.text, "%.*s%s", room, json,
             strlen(json) > (size_t)room ? "..." : "");
    free(json);
    return result;
}

ringmoe_status rm_value_refuse(rm_error *error, const char *key, const json_t *value,
                               const char *must)
{
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s is %s; it must be %s", key,
                   rm_value_describe(value).text, must);
}

const json_t *rm_value_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

static ringmoe_status read_word(const rm_config_field *field, const json_t *json,
                                double *number, rm_error *error)
{
    const char *word = json_string_value(json);
    for (*number = 0; word && *number <= field->maximum; (*number)++)
        if (!strcmp(word, rm_config_field_word(field, *number))) return RINGMOE_OK;
    return rm_value_refuse(error, field->key, json, "\"microbatch\" or \"global\"");
}

ringmoe_status rm_value_number(const rm_config_field *field, const json_t *json, double *number,
                               rm_error *error)
{
    bool is_bool = field->kind == RM_FIELD_BOOL || field->kind == RM_FIELD_NOT;
    if (field->kind == RM_FIELD_SCOPE) return read_word(field, json, number, error);
    if (is_bool && json_is_boolean(json)) {
        *number = json_is_true(json) == (field->kind == RM_FIELD_BOOL);
        return RINGMOE_OK;
    }
    if (is_bool) return rm_value_refuse(error, field->key, json, "true or false");
    if (field->kind == RM_FIELD_INT && !json_is_integer(json)) {
        char must[96];
        snprintf(must, sizeof must, "a whole number, %.0f..%.0f", field->minimum,
                 field->maximum);
        return rm_value_refuse(error, field->key, json, must);
    }
    if (!json_is_number(json)) return rm_value_refuse(error, field->key, json, "a number");
    *number = json_number_value(json);
    return rm_config_field_check(field, *number, error);
}

/* transformers takes 0 for an integer where it wants 0.0. */
static void write_double(FILE *out, double value)
{
    char text[RM_NUMBER_TEXT];
    rm_number_format(value, text);
    fprintf(out, "%s%s", text, strpbrk(text, ".e") ? "" : ".0");
}

void rm_value_write(FILE *out, const rm_config_field *field, double value)
{
    if (field->kind == RM_FIELD_LIMIT && value == 0)
        fputs("null", out);
    else if (field->kind == RM_FIELD_DOUBLE || field->kind == RM_FIELD_LIMIT)
        write_double(out, value);
    else if (field->kind == RM_FIELD_INT)
        fprintf(out, "%.0f", value);
    else if (field->kind == RM_FIELD_SCOPE)
        fprintf(out, "\"%s\"", rm_config_field_word(field, value));
    else
        fputs((value != 0) == (field->kind == RM_FIELD_BOOL) ? "true" : "false", out);
}

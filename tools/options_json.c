/* SPDX-License-Identifier: MIT
 *
 * The values of an option set as a JSON object, and back.
 */
#include "options.h"

#include <stdlib.h>
#include <string.h>

#include "json_text.h"

static json_t *texts_to_json(const option_texts *texts)
{
    json_t *list = json_array();
    for (int i = 0; i < texts->n; i++)
        json_array_append_new(list, json_string(texts->texts[i]));
    return list;
}

static bool texts_from_json(const json_t *list, option_texts *texts)
{
    texts->n = 0;
    if (!json_is_array(list) || json_array_size(list) > OPTION_MOST_TEXTS) return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        texts->texts[i] = json_string_value(json_array_get(list, i));
        if (!texts->texts[i]) return false;
        texts->n++;
    }
    return true;
}

static json_t *value_to_json(const option_row *row, const void *place)
{
    const char *text;
    switch (row->kind) {
    case OPTION_FLAG:
        return json_boolean(*(const int *)place);
    case OPTION_INTEGER:
        return json_integer(*(const int64_t *)place);
    case OPTION_NUMBER:
        return json_real(*(const double *)place);
    case OPTION_TEXT:
        text = *(const char *const *)place;
        return text ? json_string(text) : json_null();
    case OPTION_CHOICE:
        text = row->value;
        for (int i = *(const int *)place; i > 0; i--) text += strcspn(text, "|") + 1;
        return json_stringn(text, strcspn(text, "|"));
    case OPTION_TEXTS:
        return texts_to_json(place);
    }
    return NULL;
}

json_t *options_to_json(const option_set *set, const void *values)
{
    json_t *object = json_object();
    for (int i = 0; i < set->count; i++) {
        const option_row *row = &set->rows[i];
        json_t *value = value_to_json(row, (const char *)values + row->offset);
        json_object_set_new(object, row->name, value);
    }
    return object;
}

static bool choice_from_json(const option_row *row, const json_t *value, int *place)
{
    const char *word = json_string_value(value);
    int index = 0;
    if (!word) return false;
    for (const char *at = row->value; at; index++) {
        size_t length = strcspn(at, "|");
        if (strlen(word) == length && memcmp(at, word, length) == 0) {
            *place = index;
            return true;
        }
        at = at[length] ? at + length + 1 : NULL;
    }
    return false;
}

static bool value_from_json(const option_row *row, const json_t *value, void *place)
{
    switch (row->kind) {
    case OPTION_FLAG:
        *(int *)place = json_is_true(value);
        return json_is_boolean(value);
    case OPTION_INTEGER:
        *(int64_t *)place = json_integer_value(value);
        return json_is_integer(value);
    case OPTION_NUMBER:
        *(double *)place = json_number_value(value);
        return json_is_number(value);
    case OPTION_TEXT:
        *(const char **)place = json_string_value(value);
        return json_is_string(value) || json_is_null(value);
    case OPTION_CHOICE:
        return choice_from_json(row, value, place);
    case OPTION_TEXTS:
        return texts_from_json(value, place);
    }
    return false;
}

bool options_from_json(const option_set *set, const json_t *object, void *values,
                       option_result *result)
{
    for (int i = 0; i < set->count; i++) {
        const option_row *row = &set->rows[i];
        const json_t *value = json_object_get(object, row->name);
        if (row->forgotten || !value || (result->given >> i) & 1) continue;
        if (value_from_json(row, value, (char *)values + row->offset)) continue;
        snprintf(result->error, sizeof result->error,
                 "run.json: setting \"%s\" has the wrong kind of value: give --%s", row->name,
                 row->name);
        return false;
    }
    return true;
}

/* 12, "text" without its quotes, "none" for null. */
static void print_value(const json_t *value, char *text, size_t size)
{
    const char *word = json_is_null(value) ? "none" : json_string_value(value);
    char *number = word ? NULL : json_text(value, false);
    snprintf(text, size, "%s", word ? word : number ? number : "?");
    free(number);
}

void options_describe_changes(const option_set *set, const json_t *before, const void *values,
                              char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < set->count && used < size; i++) {
        const option_row *row = &set->rows[i];
        char was[128], is[128];
        json_t *now = value_to_json(row, (const char *)values + row->offset);
        const json_t *then = json_object_get(before, row->name);
        bool is_changed = then && now && !row->forgotten && !json_equal(then, now);
        if (is_changed) {
            print_value(then, was, sizeof was);
            print_value(now, is, sizeof is);
            used += (size_t)snprintf(text + used, size - used, "%s%s %s -> %s",
                                     used ? ", " : "", row->name, was, is);
        }
        json_decref(now);
    }
}

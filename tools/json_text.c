/* SPDX-License-Identifier: MIT
 *
 * jansson writes all reals of a document with one number of digits, so containers are walked
 * here, and only single values are left to it.
 */
#include "json_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* One line without blanks. */
enum { FLAT = -1, MOST_DIGITS = 17 };

json_t *json_number(double number)
{
    return isfinite(number) ? json_real(number) : json_null();
}

static int fewest_digits(double number)
{
    char text[64];
    for (int digits = 1; digits < MOST_DIGITS; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number) return digits;
    }
    return MOST_DIGITS;
}

static void put_scalar(const json_t *value, FILE *out)
{
    int digits = json_is_real(value) ? fewest_digits(json_real_value(value)) : MOST_DIGITS;
    json_dumpf(value, out, JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
}

static void put_break(int level, FILE *out)
{
    if (level != FLAT) fprintf(out, "\n%*s", 2 * level, "");
}

static void put_value(const json_t *value, int level, FILE *out);

static void put_key(const char *key, bool is_flat, FILE *out)
{
    json_t *text = json_string(key);
    put_scalar(text, out);
    json_decref(text);
    fputs(is_flat ? ":" : ": ", out);
}

static void put_object(const json_t *object, int level, FILE *out)
{
    int inner = level == FLAT ? FLAT : level + 1;
    const char *separator = "{", *key;
    json_t *walked = (json_t *)object, *member;
    json_object_foreach(walked, key, member)
    {
        fputs(separator, out);
        put_break(inner, out);
        put_key(key, level == FLAT, out);
        put_value(member, inner, out);
        separator = ",";
    }
    put_break(level, out);
    fputc('}', out);
}

static void put_array(const json_t *array, int level, FILE *out)
{
    int inner = level == FLAT ? FLAT : level + 1;
    fputc('[', out);
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (i > 0) fputc(',', out);
        put_break(inner, out);
        put_value(json_array_get(array, i), inner, out);
    }
    put_break(level, out);
    fputc(']', out);
}

static void put_value(const json_t *value, int level, FILE *out)
{
    if (json_is_object(value) && json_object_size(value) > 0)
        put_object(value, level, out);
    else if (json_is_array(value) && json_array_size(value) > 0)
        put_array(value, level, out);
    else
        put_scalar(value, out);
}

char *json_text(const json_t *value, bool is_indented)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = value ? open_memstream(&text, &size) : NULL;
    if (!out) return NULL;
    put_value(value, is_indented ? 0 : FLAT, out);
    bool is_whole = !ferror(out);
    if (fclose(out) == 0 && is_whole) return text;
    free(text);
    return NULL;
}

bool json_print(json_t *value)
{
    char *text = json_text(value, true);
    if (text) puts(text);
    bool is_printed = text != NULL;
    free(text);
    json_decref(value);
    return is_printed;
}

/* SPDX-License-Identifier: MIT
 *
 * Keys and values of a GGUF file: reading them, and asking for them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/gguf_file.h"

enum { LEAST_VALUE_BYTES = 14, MOST_KEY_BYTES = 65535, TEXT_BYTES = 8 };

int rm_gguf_width(rm_gguf_type type)
{
    static const int widths[RM_GGUF_N_TYPES] = {
        [RM_GGUF_U8] = 1,  [RM_GGUF_I8] = 1,  [RM_GGUF_U16] = 2, [RM_GGUF_I16] = 2,
        [RM_GGUF_U32] = 4, [RM_GGUF_I32] = 4, [RM_GGUF_F32] = 4, [RM_GGUF_BOOL] = 1,
        [RM_GGUF_U64] = 8, [RM_GGUF_I64] = 8, [RM_GGUF_F64] = 8};
    return widths[type];
}

static ringmoe_status bad(const rm_gguf_text *key, const char *rule, rm_error *error)
{
    int length = key->length < 100 ? (int)key->length : 100;
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "key %.*s: %s", length, key->bytes, rule);
}

static ringmoe_status read_texts(rm_gguf_value *value, rm_gguf_cursor *cursor, uint64_t count,
                                 rm_error *error)
{
    RM_TRY(rm_gguf_expect(cursor, count, TEXT_BYTES));
    value->texts = calloc((size_t)count + 1, sizeof *value->texts);
    if (!value->texts)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %llu texts",
                       (unsigned long long)count);
    for (uint64_t i = 0; i < count; i++) RM_TRY(rm_gguf_take_text(cursor, &value->texts[i]));
    return RINGMOE_OK;
}

static ringmoe_status read_numbers(rm_gguf_value *value, rm_gguf_cursor *cursor, uint64_t count,
                                   rm_error *error)
{
    RM_TRY(rm_gguf_take(cursor, count, rm_gguf_width(value->type), &value->data));
    for (uint64_t i = 0; value->type == RM_GGUF_BOOL && i < count; i++)
        if (value->data[i] > 1)
            return bad(&value->key, "holds a truth value other than 0 and 1", error);
    return RINGMOE_OK;
}

static ringmoe_status check_key(const rm_gguf_text *key, rm_error *error)
{
    if (key->length == 0 || key->length > MOST_KEY_BYTES)
        return bad(key, "is empty or longer than 65535 bytes", error);
    if (memchr(key->bytes, 0, (size_t)key->length))
        return bad(key, "has a zero byte in it", error);
    return RINGMOE_OK;
}

static ringmoe_status read_value(rm_gguf_value *value, rm_gguf_cursor *cursor, rm_error *error)
{
    uint32_t type;
    uint64_t count = 1;
    RM_TRY(rm_gguf_take_text(cursor, &value->key));
    RM_TRY(check_key(&value->key, error));
    RM_TRY(rm_gguf_take_u32(cursor, &type));
    value->is_array = type == RM_GGUF_ARRAY;
    if (value->is_array) {
        RM_TRY(rm_gguf_take_u32(cursor, &type));
        RM_TRY(rm_gguf_take_u64(cursor, &count));
    }
    if (type >= RM_GGUF_N_TYPES) return bad(&value->key, "is of an unknown type", error);
    if (type == RM_GGUF_ARRAY) return bad(&value->key, "is a list of lists", error);
    value->type = (rm_gguf_type)type;
    RM_TRY(type == RM_GGUF_STRING ? read_texts(value, cursor, count, error)
                                  : read_numbers(value, cursor, count, error));
    value->n = (int64_t)count;
    return RINGMOE_OK;
}

static int compare_texts(const rm_gguf_text *left, const rm_gguf_text *right)
{
    int64_t shorter = left->length < right->length ? left->length : right->length;
    int order = memcmp(left->bytes, right->bytes, (size_t)shorter);
    return order ? order : (left->length > right->length) - (left->length < right->length);
}

static int compare_keys(const void *a, const void *b)
{
    return compare_texts(&(*(const rm_gguf_value *const *)a)->key,
                         &(*(const rm_gguf_value *const *)b)->key);
}

static ringmoe_status sort_keys(rm_gguf *file, rm_error *error)
{
    for (int i = 0; i < file->n_values; i++) file->by_key[i] = &file->values[i];
    qsort(file->by_key, (size_t)file->n_values, sizeof *file->by_key, compare_keys);
    for (int i = 1; i < file->n_values; i++)
        if (!compare_keys(&file->by_key[i - 1], &file->by_key[i]))
            return bad(&file->by_key[i]->key, "is there twice", error);
    return RINGMOE_OK;
}

ringmoe_status rm_gguf_read_values(rm_gguf *file, rm_gguf_cursor *cursor, uint64_t count,
                                   rm_error *error)
{
    RM_TRY(rm_gguf_expect(cursor, count, LEAST_VALUE_BYTES));
    file->values = calloc((size_t)count + 1, sizeof *file->values);
    file->by_key = calloc((size_t)count + 1, sizeof *file->by_key);
    if (!file->values || !file->by_key)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for its %llu keys",
                       (unsigned long long)count);
    for (uint64_t i = 0; i < count; i++) {
        file->n_values++;
        RM_TRY(read_value(&file->values[i], cursor, error));
    }
    return sort_keys(file, error);
}

int rm_gguf_value_count(const rm_gguf *file)
{
    return file->n_values;
}

const rm_gguf_value *rm_gguf_value_at(const rm_gguf *file, int index)
{
    return &file->values[index];
}

const rm_gguf_value *rm_gguf_find(const rm_gguf *file, const char *key)
{
    const rm_gguf_value wanted = {.key = {key, (int64_t)strlen(key)}}, *pointer = &wanted;
    const rm_gguf_value **found = bsearch(&pointer, file->by_key, (size_t)file->n_values,
                                          sizeof *file->by_key, compare_keys);
    return found ? *found : NULL;
}

bool rm_gguf_integer(const rm_gguf_value *value, int64_t index, int64_t *integer)
{
    if (value->type == RM_GGUF_STRING || index < 0 || index >= value->n) return false;
    const unsigned char *data = value->data + index * rm_gguf_width(value->type);
    uint64_t bits = 0;
    int width = rm_gguf_width(value->type);
    memcpy(&bits, data, (size_t)width);
    switch (value->type) {
    case RM_GGUF_U8:
    case RM_GGUF_U16:
    case RM_GGUF_U32:
    case RM_GGUF_U64:
    case RM_GGUF_BOOL:
        *integer = (int64_t)bits;
        return bits <= INT64_MAX;
    case RM_GGUF_I8:
    case RM_GGUF_I16:
    case RM_GGUF_I32:
    case RM_GGUF_I64:
        *integer = (int64_t)(bits << (64 - 8 * width)) >> (64 - 8 * width);
        return true;
    default:
        return false;
    }
}

bool rm_gguf_number(const rm_gguf_value *value, int64_t index, double *number)
{
    int64_t integer;
    if (rm_gguf_integer(value, index, &integer)) {
        *number = (double)integer;
        return true;
    }
    if (index < 0 || index >= value->n) return false;
    const unsigned char *data = value->data;
    if (value->type == RM_GGUF_F32) {
        float loaded;
        memcpy(&loaded, data + index * 4, sizeof loaded);
        *number = (double)loaded;
        return true;
    }
    if (value->type != RM_GGUF_F64) return false;
    memcpy(number, data + index * 8, sizeof *number);
    return true;
}

double rm_gguf_decimal(double number)
{
    char text[32];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if ((float)strtod(text, NULL) == (float)number) return strtod(text, NULL);
    }
    return number;
}

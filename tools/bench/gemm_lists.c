/* SPDX-License-Identifier: MIT */
#include "gemm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *const gemm_operation_names[] = {"forward", "backward-input", "backward-weight",
                                            NULL};

const char *gemm_precision_name(int precision)
{
    static const char *const names[GEMM_PRECISIONS] = {"fp32", "bf16", "q8", "q4"};
    return names[precision];
}

double gemm_weight_bytes(ringmoe_precision precision)
{
    static const double bytes[GEMM_PRECISIONS] = {4, 2, 34.0 / 32, 18.0 / 32};
    return bytes[precision];
}

bool gemm_is_quantised(ringmoe_precision precision)
{
    return precision == RINGMOE_PRECISION_Q8_0 || precision == RINGMOE_PRECISION_Q4_0;
}

/* Reads a whole number in 1..high and moves on past it. */
static bool read_integer(const char **at, int64_t high, int64_t *value)
{
    char *end;
    errno = 0;
    long long number = strtoll(*at, &end, 10);
    bool is_number = **at >= '0' && **at <= '9' && errno == 0;
    *at = end;
    *value = number;
    return is_number && number >= 1 && number <= high;
}

/* Past the comma; false at the end of the list or at anything else. */
static bool next_part(const char **at)
{
    if (**at != ',') return false;
    ++*at;
    return true;
}

bool gemm_list_integers(const char *option, const char *text, int64_t high, int64_t *values,
                        int *count, char error[256])
{
    const char *at = text;
    *count = 0;
    do {
        if (*count == GEMM_MAX_LIST || !read_integer(&at, high, &values[*count])) break;
        ++*count;
        if (*at == '\0') return true;
    } while (next_part(&at));
    snprintf(error, 256,
             "--%s %.80s: give at most %d whole numbers from 1 to %lld, parted by commas",
             option, text, GEMM_MAX_LIST, (long long)high);
    return false;
}

bool gemm_list_shapes(const char *text, gemm_shape *shapes, int *count, char error[256])
{
    const char *at = text;
    *count = 0;
    do {
        if (*count == GEMM_MAX_LIST || !read_integer(&at, GEMM_MAX_SIZE, &shapes[*count].n_in))
            break;
        if (*at++ != 'x' || !read_integer(&at, GEMM_MAX_SIZE, &shapes[*count].n_out)) break;
        ++*count;
        if (*at == '\0') return true;
    } while (next_part(&at));
    snprintf(error, 256,
             "--shapes %.80s: give at most %d as INxOUT, each from 1 to %d, parted by commas: "
             "512x1408,1024x2816",
             text, GEMM_MAX_LIST, GEMM_MAX_SIZE);
    return false;
}

static int find_operation(const char *word, size_t length)
{
    for (int i = 0; i < GEMM_OPERATIONS; i++)
        if (strlen(gemm_operation_names[i]) == length &&
            memcmp(gemm_operation_names[i], word, length) == 0)
            return i;
    return -1;
}

bool gemm_list_operations(const char *text, int64_t *operations, int *count, char error[256])
{
    char word[32];
    const char *at = text;
    *count = 0;
    do {
        size_t length = strcspn(at, ",");
        int found = find_operation(at, length);
        if (found < 0) {
            snprintf(word, sizeof word, "%.*s", (int)(length < 31 ? length : 31), at);
            const char *near = nearest_name(word, gemm_operation_names);
            snprintf(error, 256,
                     "--ops %.80s: %s%s%sgive forward, backward-input, "
                     "backward-weight, parted by commas",
                     text, near ? "did you mean " : "", near ? near : "", near ? "? " : "");
            return false;
        }
        for (int i = 0; i < *count; i++)
            if (operations[i] == found) {
                snprintf(error, 256, "--ops %.80s: %s is there twice", text,
                         gemm_operation_names[found]);
                return false;
            }
        operations[(*count)++] = found;
        at += length;
    } while (next_part(&at));
    return true;
}

/* SPDX-License-Identifier: MIT */
#include "base/number.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 15 digits survive the way through a double and back, 17 tell all doubles apart. */
void rm_number_format(double number, char text[RM_NUMBER_TEXT])
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, RM_NUMBER_TEXT, "%.*g", digits, number);
        if (strtod(text, NULL) == number) break;
    }
    char *comma = strchr(text, ',');
    if (comma) *comma = '.';
}

int64_t rm_common_divisor(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

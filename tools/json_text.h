/* SPDX-License-Identifier: MIT
 *
 * JSON as it is written here: real numbers with the fewest digits that read back exactly, and
 * null where a number is not finite, which JSON cannot say.
 */
#ifndef TOOLS_JSON_TEXT_H
#define TOOLS_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>

/* A real number, or null. */
json_t *json_number(double number);

/* The text of a value, without a newline at its end; indented by two blanks a level, or on one
 * line without blanks. NULL if `value` is NULL or memory is out; the caller frees it. */
char *json_text(const json_t *value, bool is_indented);

/* Prints a value, which it takes over, and a newline to stdout; false if there is none. */
bool json_print(json_t *value);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Single values of config.json: reading, refusing and writing them.
 */
#ifndef RM_CONFIG_VALUES_H
#define RM_CONFIG_VALUES_H

#include <jansson.h>
#include <stdio.h>

#include "format/config_fields.h"

/* A value as JSON text in a message, cut to what fits in a line. */
typedef struct rm_value_text {
    char text[64];
} rm_value_text;

rm_value_text rm_value_describe(const json_t *value);
/* FORMAT: "KEY is VALUE; it must be MUST". */
ringmoe_status rm_value_refuse(rm_error *error, const char *key, const json_t *value,
                               const char *must);
/* A key's value; NULL if it is absent or null. */
const json_t *rm_value_of(const json_t *object, const char *key);
/* A field's value, in its range. FORMAT, ARGUMENT. */
ringmoe_status rm_value_number(const rm_config_field *field, const json_t *json, double *number,
                               rm_error *error);
/* A field's value as JSON that transformers takes, with the fewest digits that read back
 * exactly. */
void rm_value_write(FILE *out, const rm_config_field *field, double value);

#endif

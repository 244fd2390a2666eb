/* SPDX-License-Identifier: MIT
 *
 * Rotary positions in config.json: the object rope_parameters, or rope_scaling as it was called
 * before, and what it says about the frequencies.
 */
#ifndef RM_CONFIG_ROPE_H
#define RM_CONFIG_ROPE_H

#include <jansson.h>
#include <stdio.h>

#include "format/config_fields.h"
#include "nn/rope.h"

/* The fields that belong to some type; their keys are those in the object. */
enum { RM_ROPE_FIELDS = 4 };
extern const rm_config_field rm_rope_fields[RM_ROPE_FIELDS];

/* "default", "linear" or "llama3"; NULL: no type has this number. */
const char *rm_rope_type_name(int type);

/* Reads both objects, which must agree. */
ringmoe_status rm_rope_read(const json_t *root, ringmoe_model_config *config, rm_error *error);
/* ARGUMENT, naming the field. */
ringmoe_status rm_rope_check(const ringmoe_model_config *config, rm_error *error);
/* The object behind a comma; nothing for the default type, of which rope_theta says all. */
void rm_rope_write(FILE *out, const ringmoe_model_config *config);

rm_rope_scaling rm_rope_scaling_of(const ringmoe_model_config *config);

#endif

/* SPDX-License-Identifier: MIT
 *
 * The numeric keys of config.json as a table: where each lives in ringmoe_model_config, its
 * range and its default. Reading, checking and writing a configuration are loops over it. Keys
 * and defaults are Mixtral's; what differs in another family, its row in families.c says.
 */
#ifndef RM_CONFIG_FIELDS_H
#define RM_CONFIG_FIELDS_H

#include <stdbool.h>

#include <ringmoe/model.h>

#include "base/status.h"
#include "format/families.h"

typedef enum rm_field_kind {
    RM_FIELD_INT,
    RM_FIELD_BOOL,
    RM_FIELD_DOUBLE,
    RM_FIELD_NOT,   /* 0 or 1 in the struct; in the file its opposite as a bool */
    RM_FIELD_LIMIT, /* a double; 0 in the struct is null in the file */
    RM_FIELD_SCOPE, /* 0 or 1 in the struct; in the file a word, see rm_config_field_word */
} rm_field_kind;

typedef struct rm_config_field {
    const char *key;
    size_t offset;
    rm_field_kind kind;
    rm_field_presence presence;
    double minimum, maximum; /* both allowed */
    double fallback;
    bool ours;         /* not a key of Hugging Face's: written only when not the default */
    const char *alias; /* another key that is read; NULL: none */
} rm_config_field;

extern const rm_config_field rm_config_fields[];
extern const int rm_n_config_fields;

/* The field as the family has it; key NULL: it has no such setting, the value is `fallback`. */
rm_config_field rm_config_field_in(const rm_family *family, const rm_config_field *field);
double rm_config_field_get(const rm_config_field *field, const ringmoe_model_config *config);
/* The word for a value of an RM_FIELD_SCOPE; NULL for other kinds and values. */
const char *rm_config_field_word(const rm_config_field *field, double value);
/* The value is in the field's range. */
void rm_config_field_set(const rm_config_field *field, ringmoe_model_config *config,
                         double value);
/* ARGUMENT with key, value and range if the value is outside the field's range. */
ringmoe_status rm_config_field_check(const rm_config_field *field, double value,
                                     rm_error *error);
/* Fills the derived fields that are 0 from the others. */
void rm_config_derive(ringmoe_model_config *config);

#endif

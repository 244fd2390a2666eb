/* SPDX-License-Identifier: MIT
 *
 * Settings by name: one table of fields serves the range checks, the agreement of the ranks,
 * the state file of a checkpoint and its comparison on restore.
 */
#ifndef RM_FIELDS_H
#define RM_FIELDS_H

#include "comm/context.h"

typedef enum rm_field_kind { RM_FIELD_INT, RM_FIELD_INT64, RM_FIELD_DOUBLE } rm_field_kind;

typedef struct rm_field {
    const char *name;
    rm_field_kind kind;
    size_t offset;      /* in its struct */
    double least, most; /* range, both ends allowed; least > most: any value */
} rm_field;

typedef struct rm_field_table {
    const char *what; /* "training setting", for messages */
    const rm_field *fields;
    int n_fields;
} rm_field_table;

/* Of ringmoe_train_settings and of ringmoe_model_config (without is_dense_layer). */
extern const rm_field_table rm_train_fields, rm_config_fields;

/* The value as a number, and its 64 bits (of the integer or of the double). */
double rm_field_number(const rm_field *field, const void *record);
int64_t rm_field_bits(const rm_field *field, const void *record);
/* The value of those bits as text, so that it reads back exactly. */
#define RM_FIELD_TEXT 32
void rm_field_format(const rm_field *field, int64_t bits, char text[RM_FIELD_TEXT]);

/* ARGUMENT naming the first field out of its range. */
ringmoe_status rm_fields_check(const rm_field_table *table, const void *record,
                               rm_error *error);
/* MISMATCH naming the first field that differs between ranks, with both values. Collective. */
ringmoe_status rm_fields_agree(const rm_field_table *table, const void *record,
                               const rm_axis *axis, rm_error *error);

#endif

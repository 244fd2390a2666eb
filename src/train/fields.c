/* SPDX-License-Identifier: MIT */
#include "train/fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ringmoe/train.h>

#define SETTING(kind, name, least, most)                                                       \
    {                                                                                          \
#name, kind, offsetof(ringmoe_train_settings, name), least, most                       \
    }

static const rm_field train_fields[] = {
    SETTING(RM_FIELD_INT64, steps, 1, 1e12),
    SETTING(RM_FIELD_INT64, seq_len, 1, 1 << 24),
    SETTING(RM_FIELD_INT64, microbatch, 1, 1 << 24),
    SETTING(RM_FIELD_INT64, global_batch, 1, 1 << 30),
    SETTING(RM_FIELD_DOUBLE, lr, 0, 1e30),
    SETTING(RM_FIELD_DOUBLE, lr_min_ratio, 0, 1),
    SETTING(RM_FIELD_INT64, warmup_steps, 0, 1e12),
    SETTING(RM_FIELD_DOUBLE, weight_decay, 0, 1e6),
    SETTING(RM_FIELD_DOUBLE, beta1, 0, 0.999999),
    SETTING(RM_FIELD_DOUBLE, beta2, 0, 0.999999),
    SETTING(RM_FIELD_DOUBLE, epsilon, 1e-30, 1),
    SETTING(RM_FIELD_DOUBLE, clip_norm, 0, 1e30),
    SETTING(RM_FIELD_INT64, seed, 1, 0),
};

/* Ranges of the configuration are rm_config_check's business. */
#define KEY(kind, name)                                                                        \
    {                                                                                          \
#name, kind, offsetof(ringmoe_model_config, name), 1, 0                                \
    }

static const rm_field config_fields[] = {
    KEY(RM_FIELD_INT, vocab_size),
    KEY(RM_FIELD_INT, hidden_size),
    KEY(RM_FIELD_INT, intermediate_size),
    KEY(RM_FIELD_INT, dense_intermediate_size),
    KEY(RM_FIELD_INT, num_hidden_layers),
    KEY(RM_FIELD_INT, num_attention_heads),
    KEY(RM_FIELD_INT, num_key_value_heads),
    KEY(RM_FIELD_INT, head_dim),
    KEY(RM_FIELD_INT, num_local_experts),
    KEY(RM_FIELD_INT, num_experts_per_tok),
    KEY(RM_FIELD_INT, max_position_embeddings),
    KEY(RM_FIELD_INT, tie_word_embeddings),
    KEY(RM_FIELD_DOUBLE, rope_theta),
    KEY(RM_FIELD_DOUBLE, rms_norm_eps),
    KEY(RM_FIELD_DOUBLE, initializer_range),
    KEY(RM_FIELD_DOUBLE, router_aux_loss_coef),
    KEY(RM_FIELD_DOUBLE, router_z_loss_coef),
    KEY(RM_FIELD_DOUBLE, router_bias_rate),
    KEY(RM_FIELD_DOUBLE, capacity_factor),
    KEY(RM_FIELD_DOUBLE, router_jitter_noise),
};

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))
const rm_field_table rm_train_fields = {"training setting", train_fields, COUNT(train_fields)};
const rm_field_table rm_config_fields = {"model setting", config_fields, COUNT(config_fields)};

int64_t rm_field_bits(const rm_field *field, const void *record)
{
    const char *at = (const char *)record + field->offset;
    int64_t bits = 0;
    int integer;
    if (field->kind == RM_FIELD_INT) {
        memcpy(&integer, at, sizeof integer);
        return integer;
    }
    memcpy(&bits, at, sizeof bits);
    return bits;
}

static double number_of_bits(const rm_field *field, int64_t bits)
{
    double number;
    if (field->kind != RM_FIELD_DOUBLE) return (double)bits;
    memcpy(&number, &bits, sizeof number);
    return number;
}

double rm_field_number(const rm_field *field, const void *record)
{
    return number_of_bits(field, rm_field_bits(field, record));
}

void rm_field_format(const rm_field *field, int64_t bits, char text[RM_FIELD_TEXT])
{
    if (field->kind == RM_FIELD_DOUBLE) {
        double number = number_of_bits(field, bits);
        snprintf(text, RM_FIELD_TEXT, "%.6g", number);
        if (strtod(text, NULL) != number) snprintf(text, RM_FIELD_TEXT, "%.17g", number);
    } else {
        snprintf(text, RM_FIELD_TEXT, "%lld", (long long)bits);
    }
}

ringmoe_status rm_fields_check(const rm_field_table *table, const void *record, rm_error *error)
{
    for (int i = 0; i < table->n_fields; i++) {
        const rm_field *field = &table->fields[i];
        double number = rm_field_number(field, record);
        if (field->least > field->most || (number >= field->least && number <= field->most))
            continue;
        char text[RM_FIELD_TEXT];
        rm_field_format(field, rm_field_bits(field, record), text);
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "%s %s is %s; it must be from %.12g to %.12g", table->what, field->name,
                       text, field->least, field->most);
    }
    return RINGMOE_OK;
}

enum { MAX_FIELDS = 64 };

ringmoe_status rm_fields_agree(const rm_field_table *table, const void *record,
                               const rm_axis *axis, rm_error *error)
{
    int64_t low[MAX_FIELDS], high[MAX_FIELDS];
    for (int i = 0; i < table->n_fields; i++)
        low[i] = high[i] = rm_field_bits(&table->fields[i], record);
    RM_TRY(rm_allreduce(axis, low, table->n_fields, MPI_INT64_T, MPI_MIN, error));
    RM_TRY(rm_allreduce(axis, high, table->n_fields, MPI_INT64_T, MPI_MAX, error));
    for (int i = 0; i < table->n_fields; i++) {
        if (low[i] == high[i]) continue;
        char one[RM_FIELD_TEXT], other[RM_FIELD_TEXT];
        rm_field_format(&table->fields[i], low[i], one);
        rm_field_format(&table->fields[i], high[i], other);
        return rm_fail(
            error, RINGMOE_ERROR_MISMATCH,
            "ranks disagree: %s %s is %s on one and %s on another; give every rank the "
            "same",
            table->what, table->fields[i].name, one, other);
    }
    return RINGMOE_OK;
}

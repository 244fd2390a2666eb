/* SPDX-License-Identifier: MIT */
#include "format/config_rope.h"

#include <stddef.h>
#include <string.h>

#include "format/config_values.h"

#define AT(member) offsetof(ringmoe_model_config, member)
#define DOUBLE(key, member, low, high)                                                         \
    {                                                                                          \
        key, AT(member), RM_FIELD_DOUBLE, RM_FIELD_REQUIRED, low, high, 0, false, NULL         \
    }

const rm_config_field rm_rope_fields[RM_ROPE_FIELDS] = {
    DOUBLE("factor", rope_factor, 1, 65536),
    DOUBLE("low_freq_factor", rope_low_factor, 1e-6, 1e6),
    DOUBLE("high_freq_factor", rope_high_factor, 1e-6, 1e6),
    {"original_max_position_embeddings", AT(rope_original_positions), RM_FIELD_INT,
     RM_FIELD_REQUIRED, 1, 1 << 24, 0, false, NULL},
};

/* Each type has the first so many of the fields. */
static const struct {
    const char *name;
    int n_fields;
} types[] = {
    [RINGMOE_ROPE_DEFAULT] = {"default", 0},
    [RINGMOE_ROPE_LINEAR] = {"linear", 1},
    [RINGMOE_ROPE_LLAMA3] = {"llama3", RM_ROPE_FIELDS},
};
enum { N_TYPES = sizeof types / sizeof *types };

const char *rm_rope_type_name(int type)
{
    return type >= 0 && type < N_TYPES ? types[type].name : NULL;
}

/* --- checking --- */

static ringmoe_status check_fields(const ringmoe_model_config *config, rm_error *error)
{
    int type = config->rope_type;
    if (!rm_rope_type_name(type))
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "rope_type is %d; it must be one of ringmoe_rope_type's values", type);
    for (int i = 0; i < RM_ROPE_FIELDS; i++) {
        const rm_config_field *field = &rm_rope_fields[i];
        double value = rm_config_field_get(field, config);
        if (i < types[type].n_fields)
            RM_TRY(rm_config_field_check(field, value, error));
        else if (value != 0)
            return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                           "%s is %.10g; the rope_type \"%s\" has no such setting", field->key,
                           value, types[type].name);
    }
    if (type != RINGMOE_ROPE_LLAMA3 || config->rope_low_factor < config->rope_high_factor)
        return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                   "high_freq_factor is %.10g; it must be larger than low_freq_factor (%.10g)",
                   config->rope_high_factor, config->rope_low_factor);
}

/* --- reading --- */

static ringmoe_status read_theta(const json_t *value, const json_t *root,
                                 ringmoe_model_config *config, rm_error *error)
{
    const rm_config_field *theta = rm_config_fields;
    double number;
    while (strcmp(theta->key, "rope_theta") != 0) theta++; /* in every family */
    RM_TRY(rm_value_number(theta, value, &number, error));
    if (rm_value_of(root, "rope_theta") && number != config->rope_theta)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "rope_theta is %.10g, but %.10g in rope_parameters; keep one of them",
                       config->rope_theta, number);
    config->rope_theta = number;
    return RINGMOE_OK;
}

static ringmoe_status read_type(const json_t *object, int *type, rm_error *error)
{
    static const char *const names[] = {"rope_type", "type"};
    *type = -1;
    for (int i = 0; i < 2; i++) {
        const json_t *value = rm_value_of(object, names[i]);
        const char *word = json_string_value(value);
        int found = 0;
        if (!value) continue;
        while (found < N_TYPES && (!word || strcmp(word, types[found].name) != 0)) found++;
        if (found == N_TYPES || (*type >= 0 && found != *type))
            return rm_value_refuse(error, names[i], value,
                                   "\"default\", \"linear\" or \"llama3\"; other scalings of "
                                   "rotary positions are not supported");
        *type = found;
    }
    if (*type < 0) *type = RINGMOE_ROPE_DEFAULT;
    return RINGMOE_OK;
}

static const rm_config_field *find_field(const char *key, int type)
{
    for (int i = 0; i < types[type].n_fields; i++)
        if (!strcmp(rm_rope_fields[i].key, key)) return &rm_rope_fields[i];
    return NULL;
}

static ringmoe_status read_entry(const char *key, const json_t *value, const json_t *root,
                                 ringmoe_model_config *config, rm_error *error)
{
    const rm_config_field *field = find_field(key, config->rope_type);
    double number;
    if (json_is_null(value) || !strcmp(key, "rope_type") || !strcmp(key, "type"))
        return RINGMOE_OK;
    if (!strcmp(key, "rope_theta")) return read_theta(value, root, config, error);
    if (!strcmp(key, "partial_rotary_factor") && json_number_value(value) == 1)
        return RINGMOE_OK;
    if (!field)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "%.100s (%s) is not supported with the rope_type \"%s\"", key,
                       rm_value_describe(value).text, types[config->rope_type].name);
    RM_TRY(rm_value_number(field, value, &number, error));
    rm_config_field_set(field, config, number);
    return RINGMOE_OK;
}

static ringmoe_status read_entries(const json_t *object, const json_t *root,
                                   ringmoe_model_config *config, rm_error *error)
{
    const char *key;
    json_t *value;
    RM_TRY(read_type(object, &config->rope_type, error));
    json_object_foreach((json_t *)object, key, value)
    {
        RM_TRY(read_entry(key, value, root, config, error));
    }
    for (int i = 0; i < types[config->rope_type].n_fields; i++)
        if (!rm_value_of(object, rm_rope_fields[i].key))
            return rm_fail(error, RINGMOE_ERROR_FORMAT,
                           "%s is missing; the rope_type \"%s\" needs it",
                           rm_rope_fields[i].key, types[config->rope_type].name);
    return check_fields(config, error);
}

/* One of the two objects. `config` has what the other one said, if `is_second`. */
static ringmoe_status read_object(const json_t *root, const char *name, bool is_second,
                                  ringmoe_model_config *config, rm_error *error)
{
    const json_t *object = rm_value_of(root, name);
    ringmoe_model_config before = *config;
    rm_error why = {""};
    if (!object) return RINGMOE_OK;
    if (!json_is_object(object))
        return rm_value_refuse(error, name, object, "an object or null");
    if (read_entries(object, root, config, &why) != RINGMOE_OK)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: %s", name, why.text);
    if (!is_second || !memcmp(&before, config, sizeof before)) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "rope_scaling and rope_parameters say different things; keep one of them");
}

ringmoe_status rm_rope_read(const json_t *root, ringmoe_model_config *config, rm_error *error)
{
    bool is_second = rm_value_of(root, "rope_parameters") != NULL;
    RM_TRY(read_object(root, "rope_parameters", false, config, error));
    return read_object(root, "rope_scaling", is_second, config, error);
}

ringmoe_status rm_rope_check(const ringmoe_model_config *config, rm_error *error)
{
    rm_error why = {""};
    ringmoe_status status = check_fields(config, &why);
    return status == RINGMOE_OK ? RINGMOE_OK
                                : rm_fail(error, status, "rope_scaling: %s", why.text);
}

void rm_rope_write(FILE *out, const ringmoe_model_config *config)
{
    int type = config->rope_type;
    if (type == RINGMOE_ROPE_DEFAULT) return;
    fprintf(out, ",\n  \"rope_scaling\": {\"rope_type\": \"%s\"", types[type].name);
    for (int i = 0; i < types[type].n_fields; i++) {
        fprintf(out, ", \"%s\": ", rm_rope_fields[i].key);
        rm_value_write(out, &rm_rope_fields[i],
                       rm_config_field_get(&rm_rope_fields[i], config));
    }
    fputs("}", out);
}

rm_rope_scaling rm_rope_scaling_of(const ringmoe_model_config *config)
{
    static const int kinds[] = {[RINGMOE_ROPE_DEFAULT] = RM_ROPE_PLAIN,
                                [RINGMOE_ROPE_LINEAR] = RM_ROPE_LINEAR,
                                [RINGMOE_ROPE_LLAMA3] = RM_ROPE_LLAMA3};
    return (rm_rope_scaling){.kind = kinds[config->rope_type],
                             .factor = config->rope_factor,
                             .low = config->rope_low_factor,
                             .high = config->rope_high_factor,
                             .original = config->rope_original_positions};
}

/* SPDX-License-Identifier: MIT
 *
 * Writing config.json as transformers reads it. Keys of our own are written only when they are
 * not the default, so that a model which needs none of them stays an ordinary one of its
 * family.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "format/config.h"
#include "format/config_fields.h"
#include "format/config_ids.h"
#include "format/config_rope.h"
#include "format/config_values.h"

/* The field's default for the other sizes of this configuration. */
static double default_of(const rm_config_field *field, const ringmoe_model_config *config)
{
    if (field->presence != RM_FIELD_DERIVED) return field->fallback;
    ringmoe_model_config derived = *config;
    rm_config_field_set(field, &derived, 0);
    rm_config_derive(&derived);
    return rm_config_field_get(field, &derived);
}

/* Written where there are such layers, or where the key is the family's own. */
static void print_dense_layers(FILE *out, const rm_family *family,
                               const ringmoe_model_config *config)
{
    int n = 0;
    for (int i = 0; i < config->num_hidden_layers; i++) n += config->is_dense_layer[i];
    if (family->has_sparse_step) fputs(",\n  \"decoder_sparse_step\": 1", out);
    if (n == 0 && !family->has_sparse_step) return;
    fputs(",\n  \"mlp_only_layers\": [", out);
    for (int i = 0; i < config->num_hidden_layers; i++)
        if (config->is_dense_layer[i]) fprintf(out, "%d%s", i, --n > 0 ? ", " : "");
    fputs("]", out);
}

static void print_config(FILE *out, const ringmoe_model_config *config, const char *dtype)
{
    const rm_family *family = rm_family_of(config->family);
    fprintf(out, "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\"",
            family->architecture, family->model_type);
    for (int i = 0; i < RM_FAMILY_WRITTEN && family->written[i]; i++)
        fprintf(out, ",\n  %s", family->written[i]);
    fprintf(out,
            ",\n  \"torch_dtype\": \"%s\",\n"
            "  \"hidden_act\": \"silu\",\n"
            "  \"attention_dropout\": 0.0",
            dtype);
    /* Also those that are null: transformers has defaults of its own. */
    rm_config_ids_write(out, config);
    for (int i = 0; i < rm_n_config_fields; i++) {
        rm_config_field field = rm_config_field_in(family, &rm_config_fields[i]);
        double value = rm_config_field_get(&field, config);
        if (!field.key || (field.ours && value == default_of(&field, config))) continue;
        fprintf(out, ",\n  \"%s\": ", field.key);
        rm_value_write(out, &field, value);
    }
    rm_rope_write(out, config);
    print_dense_layers(out, family, config);
    fputs("\n}\n", out);
}

static ringmoe_status make_text(const ringmoe_model_config *config, const char *dtype,
                                char **text, int64_t *bytes, rm_error *error)
{
    size_t size = 0;
    *text = NULL;
    RM_TRY(rm_config_check(config, error));
    FILE *out = open_memstream(text, &size);
    if (out) print_config(out, config, dtype);
    bool whole = out && !ferror(out);
    if (out && fclose(out) != 0) whole = false;
    *bytes = (int64_t)size;
    if (whole) return RINGMOE_OK;
    free(*text);
    *text = NULL;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the text of config.json");
}

ringmoe_status rm_config_text(const ringmoe_model_config *config, char **text, int64_t *bytes,
                              rm_error *error)
{
    return make_text(config, "float32", text, bytes, error);
}

ringmoe_status rm_config_write_as(const ringmoe_model_config *config, const char *dtype,
                                  const char *path, rm_error *error)
{
    char *text;
    int64_t size;
    RM_TRY(make_text(config, dtype, &text, &size, error));
    ringmoe_status status = rm_file_write_whole(path, text, size, error);
    free(text);
    return status;
}

ringmoe_status rm_config_write(const ringmoe_model_config *config, const char *path,
                               rm_error *error)
{
    return rm_config_write_as(config, "float32", path, error);
}

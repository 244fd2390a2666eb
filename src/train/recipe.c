/* SPDX-License-Identifier: MIT */
#include "train/recipe.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "format/config_fields.h"

static void add_item(rm_recipe *recipe, const char *name, const char *value, bool is_word)
{
    assert(recipe->n_items < RM_RECIPE_ITEMS);
    rm_recipe_item *item = &recipe->items[recipe->n_items++];
    snprintf(item->name, sizeof item->name, "%s", name);
    snprintf(item->value, sizeof item->value, "%s", value);
    item->is_word = is_word;
}

/* One character a layer up to the length of a value, then a hash of all. */
static void format_dense_layers(const ringmoe_model_config *config, char text[RM_NUMBER_TEXT])
{
    char layers[RINGMOE_MAX_LAYERS + 1] = "";
    for (int i = 0; i < config->num_hidden_layers && i < RINGMOE_MAX_LAYERS; i++)
        layers[i] = config->is_dense_layer[i] ? 'D' : 'M';
    size_t length = strlen(layers);
    if (length < RM_NUMBER_TEXT)
        memcpy(text, layers, length + 1);
    else
        snprintf(text, RM_NUMBER_TEXT, "hash-%016llx",
                 (unsigned long long)XXH64(layers, length, 0));
}

static void add_settings(rm_recipe *recipe, const ringmoe_train_settings *settings,
                         bool is_layout)
{
    char text[RM_NUMBER_TEXT];
    for (int i = 0; i < rm_n_settings; i++) {
        if (rm_settings[i].is_layout != is_layout) continue;
        rm_setting_format(&rm_settings[i], settings, text);
        add_item(recipe, rm_settings[i].name, text, false);
    }
}

void rm_recipe_write_layout(rm_recipe *recipe, const ringmoe_train_settings *settings)
{
    char schedule[sizeof settings->schedule + 1] = "";
    memset(recipe, 0, sizeof *recipe);
    add_settings(recipe, settings, true);
    memcpy(schedule, settings->schedule, sizeof settings->schedule);
    add_item(recipe, "schedule", schedule[0] ? schedule : "left open", true);
}

void rm_recipe_write(rm_recipe *recipe, const ringmoe_train_settings *settings,
                     const ringmoe_model_config *config, ringmoe_precision precision,
                     const char *data_hash)
{
    char text[RM_NUMBER_TEXT];
    memset(recipe, 0, sizeof *recipe);
    add_settings(recipe, settings, false);
    for (int i = 0; i < rm_n_config_fields; i++) {
        double value = rm_config_field_get(&rm_config_fields[i], config);
        const char *word = rm_config_field_word(&rm_config_fields[i], value);
        rm_number_format(value, text);
        add_item(recipe, rm_config_fields[i].key, word ? word : text, word != NULL);
    }
    format_dense_layers(config, text);
    add_item(recipe, "layer_kinds", text, true);
    add_item(recipe, "precision", precision == RINGMOE_PRECISION_BF16 ? "bf16" : "fp32", true);
    add_item(recipe, "data_hash", data_hash, true);
}

static ringmoe_status compare(const rm_recipe *recipe, const rm_recipe *first, rm_error *error)
{
    for (int i = 0; i < recipe->n_items; i++)
        if (strcmp(recipe->items[i].value, first->items[i].value))
            return rm_fail(error, RINGMOE_ERROR_MISMATCH,
                           "%s is %s here and %s on rank 0; give every rank the same",
                           recipe->items[i].name, recipe->items[i].value,
                           first->items[i].value);
    return RINGMOE_OK;
}

ringmoe_status rm_recipe_agree(const rm_recipe *recipe, const rm_axis *axis, rm_error *error)
{
    rm_recipe first = *recipe;
    RM_TRY(rm_broadcast(axis, &first, (int)sizeof first, MPI_BYTE, 0, error));
    return rm_agree(axis, compare(recipe, &first, error), error);
}

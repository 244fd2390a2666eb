/* SPDX-License-Identifier: MIT */
#include "train/recipe.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "format/config_fields.h"
#include "format/config_rope.h"

static void add_item(rm_recipe *recipe, rm_subject subject, const char *name, const char *value,
                     bool is_word)
{
    assert(recipe->n_items < RM_RECIPE_ITEMS);
    rm_recipe_item *item = &recipe->items[recipe->n_items++];
    snprintf(item->name, sizeof item->name, "%s", name);
    snprintf(item->value, sizeof item->value, "%s", value);
    item->is_word = is_word;
    item->subject = subject;
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
                         rm_subject subject)
{
    char text[RM_NUMBER_TEXT];
    for (int i = 0; i < rm_n_settings; i++) {
        if (rm_settings[i].subject != subject) continue;
        rm_setting_format(&rm_settings[i], settings, text);
        add_item(recipe, subject, rm_settings[i].name, text, false);
    }
}

static void add_model(rm_recipe *recipe, const ringmoe_model_config *config)
{
    char text[RM_NUMBER_TEXT];
    add_item(recipe, RM_OF_MODEL, "model_type", rm_family_of(config->family)->model_type, true);
    for (int i = 0; i < rm_n_config_fields; i++) {
        double value = rm_config_field_get(&rm_config_fields[i], config);
        const char *word = rm_config_field_word(&rm_config_fields[i], value);
        rm_number_format(value, text);
        add_item(recipe, RM_OF_MODEL, rm_config_fields[i].key, word ? word : text,
                 word != NULL);
    }
    add_item(recipe, RM_OF_MODEL, "rope_type", rm_rope_type_name(config->rope_type), true);
    for (int i = 0; i < RM_ROPE_FIELDS; i++) {
        char name[sizeof recipe->items[0].name];
        snprintf(name, sizeof name, "rope_%s", rm_rope_fields[i].key);
        rm_number_format(rm_config_field_get(&rm_rope_fields[i], config), text);
        add_item(recipe, RM_OF_MODEL, name, text, false);
    }
    format_dense_layers(config, text);
    add_item(recipe, RM_OF_MODEL, "layer_kinds", text, true);
}

void rm_recipe_write_layout(rm_recipe *recipe, const ringmoe_train_settings *settings)
{
    char schedule[sizeof settings->schedule + 1] = "";
    memset(recipe, 0, sizeof *recipe);
    add_settings(recipe, settings, RM_OF_LAYOUT);
    memcpy(schedule, settings->schedule, sizeof settings->schedule);
    add_item(recipe, RM_OF_LAYOUT, "schedule", schedule[0] ? schedule : "left open", true);
}

void rm_recipe_write(rm_recipe *recipe, const ringmoe_train_settings *settings,
                     const ringmoe_model_config *config, ringmoe_precision precision,
                     const char *data_hash)
{
    memset(recipe, 0, sizeof *recipe);
    add_model(recipe, config);
    add_item(recipe, RM_OF_DATA, "data_hash", data_hash, true);
    add_settings(recipe, settings, RM_OF_DATA);
    add_settings(recipe, settings, RM_OF_BATCH);
    add_settings(recipe, settings, RM_OF_RUN);
    add_item(recipe, RM_OF_RUN, "precision",
             precision == RINGMOE_PRECISION_BF16 ? "bf16" : "fp32", true);
}

const rm_recipe_item *rm_recipe_find(const rm_recipe *recipe, const char *name)
{
    for (int i = 0; i < recipe->n_items; i++)
        if (!strcmp(recipe->items[i].name, name)) return &recipe->items[i];
    return NULL;
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

/* What came later than a checkpoint is not in its recipe, nor in its model. */
static bool is_without(const rm_recipe_item *item)
{
    return item->subject == RM_OF_MODEL &&
           (!strcmp(item->value, "0") || !strcmp(item->value, "mixtral") ||
            !strcmp(item->value, "default"));
}

ringmoe_status rm_recipe_check(const rm_recipe *own, const rm_recipe *found, const char *folder,
                               rm_error *error)
{
    static const char *const words[] = {
        [RM_OF_MODEL] = "model", [RM_OF_DATA] = "data", [RM_OF_BATCH] = "batch"};
    for (int i = 0; i < own->n_items; i++) {
        const rm_recipe_item *item = &own->items[i];
        const rm_recipe_item *other = rm_recipe_find(found, item->name);
        if (!other && is_without(item)) continue;
        if (!other)
            return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                           "%s: made by another version: state.json does not say its %s",
                           folder, item->name);
        if (item->subject >= RM_OF_RUN || !strcmp(item->value, other->value)) continue;
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "%s differs in the %s: %s is %s there and %s in this run; give the same "
                       "to go on, or start a new run from its weights",
                       folder, words[item->subject], item->name, other->value, item->value);
    }
    return RINGMOE_OK;
}

void rm_recipe_describe_changes(const rm_recipe *own, const rm_recipe *found, char *text,
                                size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < own->n_items && used < size; i++) {
        const rm_recipe_item *item = &own->items[i];
        const rm_recipe_item *other = rm_recipe_find(found, item->name);
        if (item->subject == RM_OF_RUN && other && strcmp(item->value, other->value))
            used += (size_t)snprintf(text + used, size - used, "%s%s %s -> %s",
                                     used ? ", " : "", item->name, other->value, item->value);
    }
}

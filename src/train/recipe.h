/* SPDX-License-Identifier: MIT
 *
 * The recipe: everything that decides the answer of a run (settings, model, precision, data) as
 * a list of names and values. Ranks must agree on it, and a checkpoint is continued only with
 * the recipe it was made by.
 */
#ifndef RM_RECIPE_H
#define RM_RECIPE_H

#include "comm/context.h"
#include "train/settings.h"

#define RM_RECIPE_ITEMS 64

typedef struct rm_recipe_item {
    char name[40];
    char value[RM_NUMBER_TEXT]; /* a JSON number, or a word */
    int32_t is_word;
} rm_recipe_item;

typedef struct rm_recipe {
    rm_recipe_item items[RM_RECIPE_ITEMS];
    int n_items;
} rm_recipe;

void rm_recipe_write(rm_recipe *recipe, const ringmoe_train_settings *settings,
                     const ringmoe_model_config *config, ringmoe_precision precision,
                     const char *data_hash);
/* Likewise of what does not decide the answer, but must be the same on all ranks. */
void rm_recipe_write_layout(rm_recipe *recipe, const ringmoe_train_settings *settings);
/* MISMATCH naming the first item that differs from the first rank's, with both values.
 * Collective. */
ringmoe_status rm_recipe_agree(const rm_recipe *recipe, const rm_axis *axis, rm_error *error);

#endif

/* SPDX-License-Identifier: MIT
 *
 * The recipe: everything that decides the answer of a run (model, data, batch, settings,
 * precision) as a list of names and values. Ranks must agree on all of it. A run goes on from a
 * checkpoint of the same model, data and batch; the rest may change on the way.
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
    int32_t subject; /* an rm_subject */
} rm_recipe_item;

typedef struct rm_recipe {
    rm_recipe_item items[RM_RECIPE_ITEMS];
    int n_items;
} rm_recipe;

/* Items in the order of their subjects. */
void rm_recipe_write(rm_recipe *recipe, const ringmoe_train_settings *settings,
                     const ringmoe_model_config *config, ringmoe_precision precision,
                     const char *data_hash);
/* Likewise of what does not decide the answer, but must be the same on all ranks. */
void rm_recipe_write_layout(rm_recipe *recipe, const ringmoe_train_settings *settings);
/* NULL if there is no item of that name. */
const rm_recipe_item *rm_recipe_find(const rm_recipe *recipe, const char *name);
/* MISMATCH naming the first item that differs from the first rank's, with both values.
 * Collective. */
ringmoe_status rm_recipe_agree(const rm_recipe *recipe, const rm_axis *axis, rm_error *error);

/* Whether a run with the recipe `own` may go on from `folder`, which was made with `found`:
 * ARGUMENT names the first difference of model, data or batch, with both values; FORMAT an item
 * that `found` lacks. */
ringmoe_status rm_recipe_check(const rm_recipe *own, const rm_recipe *found, const char *folder,
                               rm_error *error);
/* "lr 0.001 -> 0.0005, steps 6 -> 12": of a run's settings those that change there; "" if none
 * does. */
void rm_recipe_describe_changes(const rm_recipe *own, const rm_recipe *found, char *text,
                                size_t size);

#endif

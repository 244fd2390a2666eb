/* SPDX-License-Identifier: MIT
 *
 * What lies in a checkpoint's folder, and whether it is whole: ringmoe/checkpoint.h.
 */
#include <ringmoe/checkpoint.h>

#include <stdio.h>
#include <stdlib.h>

#include "train/checkpoint.h"

/* The value of a setting, "" if the recipe does not have it. */
static const char *recipe_value(const rm_state *state, const char *name)
{
    const rm_recipe_item *item = rm_recipe_find(&state->recipe, name);
    return item ? item->value : "";
}

static void fill(const rm_checkpoint *checkpoint, ringmoe_checkpoint_info *info)
{
    const rm_state *state = &checkpoint->state;
    *info = (ringmoe_checkpoint_info){
        .step = state->step,
        .bytes = rm_file_manifest_bytes(&checkpoint->manifest),
        .n_files = checkpoint->manifest.n_files,
        .n_tensors = (int)checkpoint->weights.n_tensors,
        .pipeline = state->layout.pipeline,
        .data = state->layout.data,
        .expert = state->layout.expert,
        .tensor = state->layout.tensor,
        .seed = strtoll(recipe_value(state, "seed"), NULL, 10),
        .samples_seen = state->samples_seen,
    };
    for (int64_t i = 0; i < checkpoint->weights.n_tensors; i++)
        info->parameters += checkpoint->weights.tensors[i].tensor->n_elements;
    snprintf(info->precision, sizeof info->precision, "%.7s", recipe_value(state, "precision"));
    snprintf(info->weights_checksum, sizeof info->weights_checksum, "%s",
             state->weights_checksum);
}

ringmoe_status ringmoe_checkpoint_describe(ringmoe_context *context, const char *folder,
                                           ringmoe_checkpoint_info *info)
{
    if (!context) return RINGMOE_ERROR_ARGUMENT;
    rm_error *error = &context->error;
    rm_checkpoint checkpoint = {0};
    if (!folder || !info)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "to describe a checkpoint takes its folder and a place for the answer; "
                       "one of them is NULL");
    ringmoe_status status = rm_checkpoint_open(&checkpoint, folder, error);
    if (status == RINGMOE_OK) status = rm_checkpoint_open_weights(&checkpoint, error);
    if (status == RINGMOE_OK) fill(&checkpoint, info);
    rm_checkpoint_close(&checkpoint);
    return status;
}

ringmoe_status ringmoe_checkpoint_verify(ringmoe_context *context, const char *folder,
                                         int64_t *bytes)
{
    if (!context) return RINGMOE_ERROR_ARGUMENT;
    rm_error *error = &context->error;
    rm_file_manifest manifest = {0};
    ringmoe_status status =
        folder ? rm_checkpoint_read_manifest(folder, &manifest, error)
               : rm_fail(error, RINGMOE_ERROR_ARGUMENT, "no folder to verify was given");
    status = rm_agree(&context->world, status, error);
    if (status == RINGMOE_OK)
        status = rm_checkpoint_verify_files(context, folder, &manifest, bytes);
    rm_file_manifest_free(&manifest);
    return status;
}

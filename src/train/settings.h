/* SPDX-License-Identifier: MIT
 *
 * Training settings by name: a table of where each lives and its range.
 */
#ifndef RM_SETTINGS_H
#define RM_SETTINGS_H

#include <stdbool.h>

#include <ringmoe/train.h>

#include "base/number.h"
#include "base/status.h"

/* Steps of the longest run: times the largest global batch they still count in an int64. */
#define RM_STEPS_MOST 1000000000

/* What a setting belongs to: the first three must stay what they were when a run goes on from a
 * checkpoint. */
typedef enum rm_subject {
    RM_OF_MODEL,
    RM_OF_DATA,   /* which text, in which order */
    RM_OF_BATCH,  /* what of it a step takes */
    RM_OF_RUN,    /* decides the answer from here on, and may change */
    RM_OF_LAYOUT, /* does not decide the answer, and so is no part of the recipe */
} rm_subject;

typedef struct rm_setting {
    const char *name;
    size_t offset;      /* in ringmoe_train_settings */
    bool is_double;     /* else int64_t */
    double least, most; /* both allowed */
    rm_subject subject;
} rm_setting;

extern const rm_setting rm_settings[];
extern const int rm_n_settings;

/* The setting's value as a JSON number. */
void rm_setting_format(const rm_setting *setting, const ringmoe_train_settings *settings,
                       char text[RM_NUMBER_TEXT]);

/* Ranges of all settings and how they fit together, the model and the mesh. ARGUMENT or LAYOUT,
 * naming the setting. */
ringmoe_status rm_settings_check(const ringmoe_train_settings *settings,
                                 const ringmoe_model_config *config,
                                 const ringmoe_mesh_dims *dims, rm_error *error);

/* Fills in what was left to be chosen: schedule and chunks. */
void rm_settings_choose(ringmoe_train_settings *settings, const ringmoe_model_config *config,
                        const ringmoe_mesh_dims *dims);

#endif

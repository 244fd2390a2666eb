/* SPDX-License-Identifier: MIT */
#ifndef RM_SETTINGS_H
#define RM_SETTINGS_H

#include "moe/layer.h"

/* MISMATCH, naming a field, unless all ranks of the axis have the same settings. Collective. */
ringmoe_status rm_moe_settings_agree(const rm_axis *axis, const ringmoe_moe_settings *settings,
                                     rm_error *error);

#endif

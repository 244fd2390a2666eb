/* SPDX-License-Identifier: MIT
 *
 * What ringmoe_generate is given, checked before anything is done.
 */
#ifndef RM_GENERATE_CHECK_H
#define RM_GENERATE_CHECK_H

#include <ringmoe/generate.h>

/* ARGUMENT, naming what is wrong, or MISMATCH if ranks were not given the same. Collective. */
ringmoe_status rm_generate_check(ringmoe_model *model, const ringmoe_prompt *prompts,
                                 int n_prompts, const ringmoe_generate_settings *settings);

#endif

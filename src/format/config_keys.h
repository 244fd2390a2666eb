/* SPDX-License-Identifier: MIT
 *
 * Which keys a config.json may have. One that is neither known nor on the list of those that
 * cannot change the arithmetic is refused: a model that silently ignores a setting computes
 * something else.
 */
#ifndef RM_CONFIG_KEYS_H
#define RM_CONFIG_KEYS_H

#include <jansson.h>

#include "format/config_fields.h"

/* FORMAT, naming the key, if one of the object's is unknown in the family, or its one value
 * that is known is another. */
ringmoe_status rm_config_keys_check(const rm_family *family, const json_t *root,
                                    rm_error *error);

#endif

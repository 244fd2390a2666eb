/* SPDX-License-Identifier: MIT
 *
 * The ids with a meaning that config.json names: where a text begins, where it ends, what fills
 * it up. A null, a number, or (of ends) a list.
 */
#ifndef RM_CONFIG_IDS_H
#define RM_CONFIG_IDS_H

#include <jansson.h>
#include <stdio.h>

#include "format/config_fields.h"

enum { RM_N_ID_KEYS = 3 };

typedef struct rm_id_key {
    const char *key;  /* of config.json */
    const char *gguf; /* of GGUF files */
    size_t offset;    /* in ringmoe_model_config */
} rm_id_key;
extern const rm_id_key rm_id_keys[RM_N_ID_KEYS];

ringmoe_token_ids *rm_config_ids_in(ringmoe_model_config *config, const rm_id_key *key);

ringmoe_status rm_config_ids_read(const json_t *root, ringmoe_model_config *config,
                                  rm_error *error);
ringmoe_status rm_config_ids_check(const ringmoe_model_config *config, rm_error *error);
/* All keys, each behind a comma. */
void rm_config_ids_write(FILE *out, const ringmoe_model_config *config);

#endif

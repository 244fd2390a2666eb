/* SPDX-License-Identifier: MIT
 *
 * config.json to ringmoe_model_config and back (public functions in ringmoe/model.h).
 */
#ifndef RM_CONFIG_H
#define RM_CONFIG_H

#include <ringmoe/model.h>

#include "base/status.h"

/* As ringmoe_model_config_read, _check, _preset, without a context. */
ringmoe_status rm_config_read(const char *path, ringmoe_model_config *config, rm_error *error);
ringmoe_status rm_config_check(const ringmoe_model_config *config, rm_error *error);
ringmoe_status rm_config_preset(const char *name, ringmoe_model_config *config,
                                rm_error *error);
/* A config.json that transformers reads, of weights in fp32: its text in new memory; a file. */
ringmoe_status rm_config_text(const ringmoe_model_config *config, char **text, int64_t *bytes,
                              rm_error *error);
ringmoe_status rm_config_write(const ringmoe_model_config *config, const char *path,
                               rm_error *error);
/* Of weights in a type that transformers calls so. */
ringmoe_status rm_config_write_as(const ringmoe_model_config *config, const char *dtype,
                                  const char *path, rm_error *error);

#endif

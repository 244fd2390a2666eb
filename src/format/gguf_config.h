/* SPDX-License-Identifier: MIT
 *
 * ringmoe_model_config from the keys of a GGUF file, and into them. The architectures are those
 * of llama.cpp that compute what one of the families here computes.
 */
#ifndef RM_GGUF_CONFIG_H
#define RM_GGUF_CONFIG_H

#include <ringmoe/model.h>

#include "format/gguf.h"
#include "format/gguf_write.h"

/* FORMAT, naming the key, its value and what it must be; also for keys of the architecture that
 * are not known here, since they may change the arithmetic. Messages begin with the path. */
ringmoe_status rm_gguf_config(const rm_gguf *file, ringmoe_model_config *config,
                              rm_error *error);

/* The same of a file that is not open; MEMORY and FILE too. */
ringmoe_status rm_gguf_config_read(const char *path, ringmoe_model_config *config,
                                   rm_error *error);

/* Puts the keys of the architecture. ARGUMENT, naming the setting that llama.cpp has not. */
ringmoe_status rm_gguf_put_config(rm_gguf_writer *writer, const ringmoe_model_config *config,
                                  rm_error *error);

#endif

/* SPDX-License-Identifier: MIT
 *
 * The router's selection biases in a checkpoint's state.json: under the key "router_biases" a
 * list with a list a layer, of num_local_experts numbers that read back exactly, or empty if
 * the layer is dense. They are no parameters, so they are not among the tensors.
 */
#ifndef RM_ROUTER_BIASES_H
#define RM_ROUTER_BIASES_H

#include <jansson.h>
#include <stdio.h>

#include <ringmoe/model.h>

#include "base/status.h"
#include "simd/real.h"

#define RM_ROUTER_BIASES_KEY "router_biases"

/* `biases` [num_hidden_layers][num_local_experts], as rm_model_router_bias has them. */

/* Prints the key's value. */
void rm_router_biases_print(const ringmoe_model_config *config, const rm_real *biases,
                            FILE *out);
/* From a parsed state.json at `path`. Dense layers get 0. FORMAT if the key is missing or
 * anything about it does not fit the configuration; `biases` are then what they were. */
ringmoe_status rm_router_biases_parse(const json_t *root, const ringmoe_model_config *config,
                                      const char *path, rm_real *biases, rm_error *error);
/* The same from a folder's state.json. */
ringmoe_status rm_router_biases_read(const char *folder, const ringmoe_model_config *config,
                                     rm_real *biases, rm_error *error);

#endif

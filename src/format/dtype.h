/* SPDX-License-Identifier: MIT
 *
 * The number types of stored tensors: their names in safetensors, sizes and conversion.
 */
#ifndef RM_DTYPE_H
#define RM_DTYPE_H

#include <stdbool.h>

#include "format/safetensors.h"

/* False if no such dtype can be read here. */
bool rm_dtype_of_name(const char *name, rm_dtype *dtype);
/* One that the format has, but no parameter of a model here. */
bool rm_dtype_is_other(const char *name);
const char *rm_dtype_name(rm_dtype dtype);
int rm_dtype_bytes(rm_dtype dtype);

#endif

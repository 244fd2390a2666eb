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
const char *rm_dtype_name(rm_dtype dtype);
int rm_dtype_bytes(rm_dtype dtype);

#endif

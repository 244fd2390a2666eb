/* SPDX-License-Identifier: MIT
 *
 * The number types of stored tensors: their names, sizes and conversion.
 */
#ifndef RM_DTYPE_H
#define RM_DTYPE_H

#include <stdbool.h>

#include "format/safetensors.h"

/* False if safetensors has no such dtype, or it cannot be read here. */
bool rm_dtype_of_name(const char *name, rm_dtype *dtype);
/* One that the format has, but no parameter of a model here. */
bool rm_dtype_is_other(const char *name);
const char *rm_dtype_name(rm_dtype dtype);
/* Bytes of an element; of a block, if the type has blocks. */
int rm_dtype_bytes(rm_dtype dtype);
/* Elements that are stored together: 1, or those of a block. */
int rm_dtype_block(rm_dtype dtype);
/* Bytes of n elements, whole blocks. */
int64_t rm_dtype_size(rm_dtype dtype, int64_t n);
/* n elements, whole blocks, are finite as they are stored. */
bool rm_dtype_is_finite(rm_dtype dtype, const unsigned char *data, int64_t n);
/* The bytes of a tensor's element, which begins a block. */
const unsigned char *rm_tensor_at(const rm_tensor *tensor, int64_t element);

#endif

/* SPDX-License-Identifier: MIT
 *
 * GGUF's number types of blocks: 32 numbers of a row are a scale, a half, and whole numbers of
 * 8 or of 4 bits. The kernels make blocks (simd/kernels.h, quantise_q8 and quantise_q4), by the
 * rules of ggml's reference.
 *
 *   Q8_0  | scale | 32 x int8 |                          x = scale * q
 *   Q4_0  | scale | 16 x (number i | number i + 16) |    x = scale * (q - 8)
 */
#ifndef RM_QUANTS_H
#define RM_QUANTS_H

#include <stdbool.h>
#include <stdint.h>

#include "simd/real.h"

enum { RM_QUANT_BLOCK = 32, RM_Q8_0_BYTES = 34, RM_Q4_0_BYTES = 18 };

/* Blocks to numbers, [32 * n_blocks]. */
void rm_q8_0_read(const unsigned char *blocks, int64_t n_blocks, rm_real *values);
void rm_q4_0_read(const unsigned char *blocks, int64_t n_blocks, rm_real *values);
/* The scales of blocks of so many bytes are finite. */
bool rm_quants_are_finite(const unsigned char *blocks, int64_t n_blocks, int block_bytes);

#endif

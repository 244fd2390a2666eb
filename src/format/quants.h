/* SPDX-License-Identifier: MIT
 *
 * GGUF's number types of blocks: the numbers of a block share a scale, a half, and are whole
 * numbers of few bits. The kernels make blocks of the first two types (simd/kernels.h,
 * quantise_q8 and quantise_q4), by the rules of ggml's reference; all are read, with its
 * results to the bit.
 *
 *   Q8_0    | scale | 32 x int8 |                             x = scale * q
 *   Q4_0    | scale | 16 x (number i | number i + 16) |       x = scale * (q - 8)
 *   Q4_1    | scale | least | as Q4_0 |                       x = scale * q + least
 *   Q5_0    | scale | 32 fifth bits | as Q4_0 |               x = scale * (q - 16)
 *   Q5_1    | scale | least | 32 fifth bits | as Q4_0 |       x = scale * q + least
 *   IQ4_NL  | scale | as Q4_0 |                               x = scale * one of 16 numbers
 *
 * Those of 256 numbers have scales of their own for 16 or 32 each: super_quants.c.
 */
#ifndef RM_QUANTS_H
#define RM_QUANTS_H

#include <stdint.h>

#include "simd/real.h"

enum { RM_QUANT_BLOCK = 32, RM_QUANT_BLOCK_MOST = 256, RM_Q8_0_BYTES = 34, RM_Q4_0_BYTES = 18 };

/* One block to its numbers. */
typedef void (*rm_block_reader)(const unsigned char *block, rm_real *values);
void rm_q8_0_read(const unsigned char *block, rm_real *values);
void rm_q4_0_read(const unsigned char *block, rm_real *values);
void rm_q4_1_read(const unsigned char *block, rm_real *values);
void rm_q5_0_read(const unsigned char *block, rm_real *values);
void rm_q5_1_read(const unsigned char *block, rm_real *values);
void rm_iq4_nl_read(const unsigned char *block, rm_real *values);
void rm_q2_k_read(const unsigned char *block, rm_real *values);
void rm_q3_k_read(const unsigned char *block, rm_real *values);
void rm_q4_k_read(const unsigned char *block, rm_real *values);
void rm_q5_k_read(const unsigned char *block, rm_real *values);
void rm_q6_k_read(const unsigned char *block, rm_real *values);
void rm_iq4_xs_read(const unsigned char *block, rm_real *values);

/* The 16 numbers of IQ4_NL and IQ4_XS. */
extern const signed char rm_iq4_numbers[16];

#endif

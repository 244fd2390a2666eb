/* SPDX-License-Identifier: MIT */
#include "format/quants.h"

#include "simd/scalar_math.h"

static uint16_t half_at(const unsigned char *block)
{
    return (uint16_t)(block[0] | block[1] << 8);
}

void rm_q8_0_read(const unsigned char *blocks, int64_t n_blocks, rm_real *values)
{
    for (int64_t i = 0; i < n_blocks; i++) {
        const unsigned char *block = blocks + i * RM_Q8_0_BYTES;
        const signed char *numbers = (const signed char *)block + 2;
        float scale = rm_half_widen(half_at(block));
        for (int j = 0; j < RM_QUANT_BLOCK; j++)
            values[i * RM_QUANT_BLOCK + j] = scale * (float)numbers[j];
    }
}

void rm_q4_0_read(const unsigned char *blocks, int64_t n_blocks, rm_real *values)
{
    const int half = RM_QUANT_BLOCK / 2;
    for (int64_t i = 0; i < n_blocks; i++) {
        const unsigned char *block = blocks + i * RM_Q4_0_BYTES;
        float scale = rm_half_widen(half_at(block));
        for (int j = 0; j < half; j++) {
            values[i * RM_QUANT_BLOCK + j] = scale * (float)((block[2 + j] & 15) - 8);
            values[i * RM_QUANT_BLOCK + half + j] = scale * (float)((block[2 + j] >> 4) - 8);
        }
    }
}

bool rm_quants_are_finite(const unsigned char *blocks, int64_t n_blocks, int block_bytes)
{
    const uint16_t exponent = 31 << 10;
    bool are_finite = true;
    for (int64_t i = 0; i < n_blocks; i++)
        are_finite &= (half_at(blocks + i * block_bytes) & exponent) != exponent;
    return are_finite;
}

/* SPDX-License-Identifier: MIT */
#include "format/quants.h"

#include <string.h>

#include "simd/scalar_math.h"

enum { HALF = RM_QUANT_BLOCK / 2 };

const signed char rm_iq4_numbers[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                        1,    13,   25,  38,  53,  69,  89,  113};

static uint16_t half_at(const unsigned char *block)
{
    return (uint16_t)(block[0] | block[1] << 8);
}

void rm_q8_0_read(const unsigned char *block, rm_real *values)
{
    const signed char *numbers = (const signed char *)block + 2;
    float scale = rm_half_widen(half_at(block));
    for (int i = 0; i < RM_QUANT_BLOCK; i++) values[i] = scale * (float)numbers[i];
}

void rm_q4_0_read(const unsigned char *block, rm_real *values)
{
    float scale = rm_half_widen(half_at(block));
    for (int i = 0; i < HALF; i++) {
        values[i] = scale * (float)((block[2 + i] & 15) - 8);
        values[HALF + i] = scale * (float)((block[2 + i] >> 4) - 8);
    }
}

void rm_q4_1_read(const unsigned char *block, rm_real *values)
{
    float scale = rm_half_widen(half_at(block)), least = rm_half_widen(half_at(block + 2));
    for (int i = 0; i < HALF; i++) {
        values[i] = scale * (float)(block[4 + i] & 15) + least;
        values[HALF + i] = scale * (float)(block[4 + i] >> 4) + least;
    }
}

/* Numbers of five bits, the fifth ones apart in 32. */
static void join_five_bits(const unsigned char *fifth, const unsigned char *others,
                           int numbers[RM_QUANT_BLOCK])
{
    uint32_t bits;
    memcpy(&bits, fifth, sizeof bits);
    for (int i = 0; i < HALF; i++) {
        numbers[i] = (others[i] & 15) | (int)(bits >> i & 1) << 4;
        numbers[HALF + i] = others[i] >> 4 | (int)(bits >> (HALF + i) & 1) << 4;
    }
}

void rm_q5_0_read(const unsigned char *block, rm_real *values)
{
    float scale = rm_half_widen(half_at(block));
    int numbers[RM_QUANT_BLOCK];
    join_five_bits(block + 2, block + 6, numbers);
    for (int i = 0; i < RM_QUANT_BLOCK; i++) values[i] = scale * (float)(numbers[i] - 16);
}

void rm_q5_1_read(const unsigned char *block, rm_real *values)
{
    float scale = rm_half_widen(half_at(block)), least = rm_half_widen(half_at(block + 2));
    int numbers[RM_QUANT_BLOCK];
    join_five_bits(block + 4, block + 8, numbers);
    for (int i = 0; i < RM_QUANT_BLOCK; i++) values[i] = scale * (float)numbers[i] + least;
}

void rm_iq4_nl_read(const unsigned char *block, rm_real *values)
{
    float scale = rm_half_widen(half_at(block));
    for (int i = 0; i < HALF; i++) {
        values[i] = scale * (float)rm_iq4_numbers[block[2 + i] & 15];
        values[HALF + i] = scale * (float)rm_iq4_numbers[block[2 + i] >> 4];
    }
}

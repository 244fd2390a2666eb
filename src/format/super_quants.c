/* SPDX-License-Identifier: MIT
 *
 * Blocks of 256 numbers, ggml's K-quants and IQ4_XS: parts of 16 or 32 numbers have scales of
 * 4, 6 or 8 bits, in units of the block's scale; and in some types offsets, in units of a
 * second one. Sizes in bytes:
 *
 *   Q2_K    | 16 scales and offsets, 4 bits each | 64 numbers | unit | unit of offsets |
 *   Q3_K    | 32 third bits | 64 numbers | 12 scales | unit |
 *   Q4_K    | unit | unit of offsets | 12 scales and offsets | 128 numbers |
 *   Q5_K    | unit | unit of offsets | 12 scales and offsets | 32 fifth bits | 128 numbers |
 *   Q6_K    | 128 lower bits | 64 upper bits | 16 scales | unit |
 *   IQ4_XS  | unit | 2 upper bits of scales | 4 lower ones | 128 numbers |
 */
#include <string.h>

#include "format/quants.h"
#include "simd/scalar_math.h"

static float half_at(const unsigned char *data)
{
    return rm_half_widen((uint16_t)(data[0] | data[1] << 8));
}

/* --- two and three bits: runs of 32 bytes have four rows of 32 numbers, two bits each --- */

void rm_q2_k_read(const unsigned char *block, rm_real *values)
{
    const unsigned char *scales = block, *numbers = block + 16;
    float unit = half_at(block + 80), offsets = half_at(block + 82);
    for (int part = 0; part < 16; part++) {
        int run = part / 8, shift = part % 8 / 2 * 2;
        const unsigned char *from = numbers + 32 * run + part % 2 * 16;
        float scale = unit * (float)(scales[part] & 15);
        float offset = offsets * (float)(scales[part] >> 4);
        for (int i = 0; i < 16; i++)
            values[16 * part + i] = scale * (float)(from[i] >> shift & 3) - offset;
    }
}

/* Six bits each: four lower ones of two scales in a byte of the first eight, and two upper ones
 * of four scales in a byte of the last four. */
static int q3_scale(const unsigned char *scales, int part)
{
    int lower = part < 8 ? scales[part] & 15 : scales[part - 8] >> 4;
    int upper = scales[8 + part % 4] >> (part / 4 * 2) & 3;
    return (lower | upper << 4) - 32;
}

void rm_q3_k_read(const unsigned char *block, rm_real *values)
{
    const unsigned char *third = block, *numbers = block + 32;
    float unit = half_at(block + 108);
    for (int part = 0; part < 16; part++) {
        int run = part / 8, shift = part % 8 / 2 * 2, first = part % 2 * 16;
        float scale = unit * (float)q3_scale(block + 96, part);
        for (int i = 0; i < 16; i++) {
            int number = numbers[32 * run + first + i] >> shift & 3;
            int is_upper = third[first + i] >> (part / 2) & 1;
            values[16 * part + i] = scale * (float)(number - (is_upper ? 0 : 4));
        }
    }
}

/* --- four and five bits --- */

/* Of eight parts: six bits each, the first four in bytes of their own, whose two upper bits are
 * those of the last four. */
static void read_scale(const unsigned char *packed, int part, int *scale, int *offset)
{
    *scale = packed[part] & 63;
    *offset = packed[part + 4] & 63;
    if (part < 4) return;
    *scale = (packed[part + 4] & 15) | packed[part - 4] >> 6 << 4;
    *offset = packed[part + 4] >> 4 | packed[part] >> 6 << 4;
}

/* `fifth`: NULL if there are no such bits. */
static void read_parts(const unsigned char *block, const unsigned char *fifth,
                       const unsigned char *numbers, rm_real *values)
{
    float unit = half_at(block), offsets = half_at(block + 2);
    for (int part = 0; part < 8; part++) {
        const unsigned char *from = numbers + part / 2 * 32;
        int shift = part % 2 * 4, scale, offset;
        read_scale(block + 4, part, &scale, &offset);
        float factor = unit * (float)scale, least = offsets * (float)offset;
        for (int i = 0; i < 32; i++) {
            int number = from[i] >> shift & 15;
            if (fifth) number |= (fifth[i] >> part & 1) << 4;
            values[32 * part + i] = factor * (float)number - least;
        }
    }
}

void rm_q4_k_read(const unsigned char *block, rm_real *values)
{
    read_parts(block, NULL, block + 16, values);
}

void rm_q5_k_read(const unsigned char *block, rm_real *values)
{
    read_parts(block, block + 16, block + 48, values);
}

/* --- six bits: halves of 128 numbers, rows of 32 --- */

void rm_q6_k_read(const unsigned char *block, rm_real *values)
{
    const signed char *scales = (const signed char *)block + 192;
    float unit = half_at(block + 208);
    for (int row = 0; row < 8; row++) {
        int half = row / 4, at = row % 4;
        const unsigned char *lower = block + 64 * half + at % 2 * 32;
        const unsigned char *upper = block + 128 + 32 * half;
        for (int i = 0; i < 32; i++) {
            int number = (lower[i] >> (at / 2 * 4) & 15) | (upper[i] >> (2 * at) & 3) << 4;
            float scale = unit * (float)scales[2 * row + i / 16];
            values[32 * row + i] = scale * (float)(number - 32);
        }
    }
}

/* --- four bits that stand for one of 16 numbers --- */

void rm_iq4_xs_read(const unsigned char *block, rm_real *values)
{
    float unit = half_at(block);
    int upper = block[2] | block[3] << 8;
    for (int part = 0; part < 8; part++) {
        const unsigned char *from = block + 8 + 16 * part;
        int lower = block[4 + part / 2] >> (part % 2 * 4) & 15;
        float scale = unit * (float)((lower | (upper >> (2 * part) & 3) << 4) - 32);
        for (int i = 0; i < 16; i++) {
            values[32 * part + i] = scale * (float)rm_iq4_numbers[from[i] & 15];
            values[32 * part + 16 + i] = scale * (float)rm_iq4_numbers[from[i] >> 4];
        }
    }
}

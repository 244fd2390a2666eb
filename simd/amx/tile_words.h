/* SPDX-License-Identifier: MIT
 *
 * The tile registers' instructions, tmm0 to tmm7, each 16 rows of 64 bytes. In place of the
 * compilers' own intrinsics: gcc 12 tells neither that LDTILECFG reads 64 bytes nor that a tile
 * load reads memory, and drops the stores before them. A tile's number is a constant. No
 * compiler uses these registers by itself, so that they need not be named as changed.
 */
#ifndef RM_AMX_TILE_WORDS_H
#define RM_AMX_TILE_WORDS_H

#include <stdint.h>

/* What LDTILECFG reads. */
typedef struct amx_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16]; /* of tile t; the last 8 are zero */
    uint8_t rows[16];
} amx_shapes;

static inline void amx_configure(const amx_shapes *shapes)
{
    __asm__ volatile("ldtilecfg %0" : : "m"(*shapes));
}

static inline void amx_release(void)
{
    __asm__ volatile("tilerelease");
}

#define amx_zero(tile) __asm__ volatile("tilezero %%tmm%c0" : : "i"(tile))

/* Rows of memory, `stride` bytes apart. */
#define amx_load(tile, address, stride)                                                        \
    __asm__ volatile("tileloadd (%1,%2,1), %%tmm%c0"                                           \
                     :                                                                         \
                     : "i"(tile), "r"(address), "r"((int64_t)(stride))                         \
                     : "memory")

/* The same for what is used once: it does not displace what the first-level cache holds. */
#define amx_load_streaming(tile, address, stride)                                              \
    __asm__ volatile("tileloaddt1 (%1,%2,1), %%tmm%c0"                                         \
                     :                                                                         \
                     : "i"(tile), "r"(address), "r"((int64_t)(stride))                         \
                     : "memory")

#define amx_store(tile, address, stride)                                                       \
    __asm__ volatile("tilestored %%tmm%c0, (%1,%2,1)"                                          \
                     :                                                                         \
                     : "i"(tile), "r"(address), "r"((int64_t)(stride))                         \
                     : "memory")

/* sum[i][j] += the products of a's row i, 32 bf16, with column j of b, 16 x 16 pairs. */
#define amx_multiply(sum, a, b)                                                                \
    __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sum), "i"(a), "i"(b))

/* sum[i][j] += the products of a's row i, bytes with a sign, with column j of b, groups of 4 of
 * them; as many as the tiles' shapes have. */
#define amx_multiply_bytes(sum, a, b)                                                          \
    __asm__ volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sum), "i"(a), "i"(b))

#endif

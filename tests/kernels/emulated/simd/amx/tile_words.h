/* SPDX-License-Identifier: MIT
 *
 * The words of simd/amx/tile_words.h as functions, found before it: see tiles.c.
 */
#ifndef EMULATED_TILE_WORDS_H
#define EMULATED_TILE_WORDS_H

#include <stdint.h>

typedef struct amx_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} amx_shapes;

void amx_configure(const amx_shapes *shapes);
void amx_release(void);
void amx_zero(int tile);
void amx_load(int tile, const void *address, int64_t stride);
void amx_load_streaming(int tile, const void *address, int64_t stride);
void amx_store(int tile, void *address, int64_t stride);
void amx_multiply(int sum, int a, int b);
void amx_multiply_bytes(int sum, int a, int b);

#endif

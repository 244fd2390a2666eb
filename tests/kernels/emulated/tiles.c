/* SPDX-License-Identifier: MIT
 *
 * Tile registers in plain C, those of one thread, after Intel's manual (volume 2, "LDTILECFG",
 * "TDPBF16PS"). To use tiles that are not configured as 16 rows of 64 bytes ends the program.
 */
#include "simd/amx/tile_words.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flush.h"

enum { N_TILES = 8, ROWS = 16, ROW_BYTES = 64, COLUMNS = 16 };
_Static_assert(sizeof(amx_shapes) == 64, "LDTILECFG reads 64 bytes");

typedef union tile {
    char bytes[ROWS][ROW_BYTES];
    float numbers[ROWS][COLUMNS];
    uint16_t pairs[ROWS][COLUMNS][2];
} tile;

static bool configured;
static tile tiles[N_TILES];

void amx_configure(const amx_shapes *shapes)
{
    bool well = shapes->palette == 1 && shapes->start_row == 0;
    for (int t = 0; t < 16; t++) {
        well = well && shapes->rows[t] == (t < N_TILES ? ROWS : 0);
        well = well && shapes->row_bytes[t] == (t < N_TILES ? ROW_BYTES : 0);
    }
    configured = well;
    memset(tiles, 0, sizeof tiles);
}

void amx_release(void)
{
    configured = false;
}

static tile *of_number(int number)
{
    if (!configured) {
        printf("FAILED: tile register %d is used but not configured\n", number);
        exit(EXIT_FAILURE);
    }
    return &tiles[number];
}

void amx_zero(int number)
{
    memset(of_number(number), 0, sizeof(tile));
}

void amx_load(int number, const void *address, int64_t stride)
{
    tile *t = of_number(number);
    for (int i = 0; i < ROWS; i++)
        memcpy(t->bytes[i], (const char *)address + i * stride, ROW_BYTES);
}

void amx_load_streaming(int number, const void *address, int64_t stride)
{
    amx_load(number, address, stride);
}

void amx_store(int number, void *address, int64_t stride)
{
    const tile *t = of_number(number);
    for (int i = 0; i < ROWS; i++) memcpy((char *)address + i * stride, t->bytes[i], ROW_BYTES);
}

/* The even (or odd) terms of row i, summed apart for each column. */
static void sum_terms(const tile *a, const tile *b, int i, int odd, float sums[COLUMNS])
{
    for (int j = 0; j < COLUMNS; j++) sums[j] = 0;
    for (int q = 0; q < ROWS; q++)
        for (int j = 0; j < COLUMNS; j++)
            sums[j] = flushed_add_product(sums[j], a->pairs[i][q][odd], b->pairs[q][j][odd]);
}

void amx_multiply(int sum, int a, int b)
{
    for (int i = 0; i < ROWS; i++) {
        float even[COLUMNS], odd[COLUMNS], *sums = of_number(sum)->numbers[i];
        sum_terms(of_number(a), of_number(b), i, 0, even);
        sum_terms(of_number(a), of_number(b), i, 1, odd);
        for (int j = 0; j < COLUMNS; j++)
            sums[j] = flushed(flushed(sums[j]) + flushed(even[j] + odd[j]));
    }
}

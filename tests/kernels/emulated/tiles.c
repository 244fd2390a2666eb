/* SPDX-License-Identifier: MIT
 *
 * Tile registers in plain C, those of one thread, after Intel's manual (volume 2, "LDTILECFG",
 * "TDPBF16PS", "TDPBSSD"). To use tiles that are not configured, or whose shapes do not fit,
 * ends the program.
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
    int32_t whole[ROWS][COLUMNS];
    int8_t fours[ROWS][COLUMNS][4];
} tile;

static bool configured;
static amx_shapes current;
static tile tiles[N_TILES];

void amx_configure(const amx_shapes *shapes)
{
    bool well = shapes->palette == 1 && shapes->start_row == 0;
    for (int t = 0; t < 16; t++) {
        int rows = shapes->rows[t], bytes = shapes->row_bytes[t];
        well = well && rows <= (t < N_TILES ? ROWS : 0) && (rows == 0) == (bytes == 0);
        well = well && bytes <= (t < N_TILES ? ROW_BYTES : 0);
    }
    current = *shapes;
    configured = well;
    memset(tiles, 0, sizeof tiles);
}

void amx_release(void)
{
    configured = false;
}

static void refuse(int number, const char *why)
{
    printf("FAILED: tile register %d %s\n", number, why);
    exit(EXIT_FAILURE);
}

static tile *of_number(int number)
{
    if (!configured || current.rows[number] == 0) refuse(number, "is used but not configured");
    return &tiles[number];
}

/* A product's shapes: rows of a and of the sums, columns of b and of the sums, and depth. */
static void check_shapes(int sum, int a, int b)
{
    if (current.rows[sum] != current.rows[a] ||
        current.row_bytes[sum] != current.row_bytes[b] ||
        current.row_bytes[a] != 4 * current.rows[b])
        refuse(sum, "has not the shape of its product");
}

void amx_zero(int number)
{
    memset(of_number(number), 0, sizeof(tile));
}

void amx_load(int number, const void *address, int64_t stride)
{
    tile *t = of_number(number);
    memset(t, 0, sizeof *t);
    for (int i = 0; i < current.rows[number]; i++)
        memcpy(t->bytes[i], (const char *)address + i * stride, current.row_bytes[number]);
}

void amx_load_streaming(int number, const void *address, int64_t stride)
{
    amx_load(number, address, stride);
}

void amx_store(int number, void *address, int64_t stride)
{
    const tile *t = of_number(number);
    for (int i = 0; i < current.rows[number]; i++)
        memcpy((char *)address + i * stride, t->bytes[i], current.row_bytes[number]);
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
    check_shapes(sum, a, b);
    for (int i = 0; i < ROWS; i++) {
        float even[COLUMNS], odd[COLUMNS], *sums = of_number(sum)->numbers[i];
        sum_terms(of_number(a), of_number(b), i, 0, even);
        sum_terms(of_number(a), of_number(b), i, 1, odd);
        for (int j = 0; j < COLUMNS; j++)
            sums[j] = flushed(flushed(sums[j]) + flushed(even[j] + odd[j]));
    }
}

void amx_multiply_bytes(int sum, int a, int b)
{
    tile *sums = of_number(sum);
    const tile *left = of_number(a), *right = of_number(b);
    check_shapes(sum, a, b);
    for (int i = 0; i < current.rows[a]; i++)
        for (int q = 0; q < current.rows[b]; q++)
            for (int j = 0; j < current.row_bytes[b] / 4; j++)
                for (int t = 0; t < 4; t++)
                    sums->whole[i][j] += left->fours[i][q][t] * right->fours[q][j][t];
}

/* SPDX-License-Identifier: MIT
 *
 * Panels of B over the vector vocabulary. Three kinds of source:
 *
 *   col == 1   a row of the panel is contiguous: copied
 *   row == 1   a column is contiguous (B = W^T): VEC_WIDTH columns by VEC_WIDTH rows at a time
 *              are loaded along the columns and transposed in registers
 *   other      gathered one by one
 */
#ifndef RM_VECTOR_PACK_H
#define RM_VECTOR_PACK_H

#include "simd/kernels.h"
#include "simd/scalar_math.h"
#include "simd/vector/tile.h"

typedef struct pack_source {
    const rm_real *src;
    int64_t row, col;
    int n;
} pack_source;

/* A panel of either type; the one that is not meant is NULL. */
typedef struct pack_target {
    rm_real *panel;
    rm_bf16 *panel_bf16;
} pack_target;

BODY pack_store(pack_target target, int64_t at, vec v)
{
    if (target.panel)
        vec_store(target.panel + at, v);
    else
        vec_store_bf16(target.panel_bf16 + at, v);
}

BODY pack_rows(int64_t k, pack_source source, pack_target target)
{
    for (int64_t p = 0; p < k; p++)
        for (int j = 0; j < TILE_COLUMNS; j += VEC_WIDTH) {
            vec v = vec_load_first(source.src + p * source.row + j, source.n - j);
            pack_store(target, p * TILE_COLUMNS + j, v);
        }
}

/* `rows` (at most VEC_WIDTH) rows from p on, of the VEC_WIDTH columns from j on. */
BODY pack_square(int64_t p, int64_t rows, int j, pack_source source, pack_target target)
{
    vec square[VEC_WIDTH];
    FOR_UNROLLED (i, VEC_WIDTH) {
        const rm_real *column = source.src + p + (j + i) * source.col;
        square[i] = j + i < source.n ? vec_load_first(column, rows) : vec_all(0);
    }
    vec_transpose(square);
    FOR_UNROLLED (i, VEC_WIDTH)
        if (i < rows) pack_store(target, (p + i) * TILE_COLUMNS + j, square[i]);
}

BODY pack_columns(int64_t k, pack_source source, pack_target target)
{
    int64_t p = 0;
    for (; p + VEC_WIDTH <= k; p += VEC_WIDTH)
        for (int j = 0; j < TILE_COLUMNS; j += VEC_WIDTH)
            pack_square(p, VEC_WIDTH, j, source, target);
    for (int j = 0; p < k && j < TILE_COLUMNS; j += VEC_WIDTH)
        pack_square(p, k - p, j, source, target);
}

BODY pack_elements(int64_t k, pack_source source, pack_target target)
{
    for (int64_t p = 0; p < k; p++)
        for (int j = 0; j < TILE_COLUMNS; j++) {
            const rm_real *from = source.src + p * source.row + j * source.col;
            rm_real value = j < source.n ? *from : 0;
            if (target.panel)
                target.panel[p * TILE_COLUMNS + j] = value;
            else
                target.panel_bf16[p * TILE_COLUMNS + j] = rm_bf16_narrow(value);
        }
}

BODY pack_any(int64_t k, pack_source source, pack_target target)
{
    if (source.col == 1)
        pack_rows(k, source, target);
    else if (source.row == 1)
        pack_columns(k, source, target);
    else
        pack_elements(k, source, target);
}

static void pack(int64_t k, int n, const rm_real *src, int64_t row, int64_t col, rm_real *panel)
{
    pack_any(k, (pack_source){src, row, col, n}, (pack_target){.panel = panel});
}

static void pack_bf16(int64_t k, int n, const rm_real *src, int64_t row, int64_t col,
                      rm_bf16 *panel)
{
    pack_any(k, (pack_source){src, row, col, n}, (pack_target){.panel_bf16 = panel});
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * Packed panels of A and B over the vector vocabulary: `width` numbers a term, zeros beyond
 * `n`, the terms following each other without a gap.
 *
 *   panel   | [0][0] .. [0][n-1] 0 .. 0 | [1][0] .. [1][n-1] 0 .. 0 | ...   k times width
 *
 * From lines (a line's terms lie together) squares of VEC_WIDTH lines by VEC_WIDTH terms are
 * transposed in registers; from steps the panel's terms are copied. Where the width is no
 * multiple of the vector, whole vectors are stored nonetheless: what spills into the next term
 * is overwritten when that one is stored, and the last term alone is stored exactly.
 */
#ifndef RM_VECTOR_PACK_H
#define RM_VECTOR_PACK_H

#include "simd/kernels.h"
#include "simd/vector/tile.h"

/* A packed element: a number as it is, a number rounded to bf16, or two bytes of bf16. */
typedef enum pack_format { PACK_EXACT, PACK_ROUNDED, PACK_BF16 } pack_format;

/* Of a panel: how wide, how deep, of how many lines. All but n and k are constants. */
typedef struct pack_shape {
    pack_format format;
    int width, n;
    int64_t k;
} pack_shape;

/* Terms of a line that are taken at once: a cache line, lest it be gone from the first-level
 * cache (where lines of equal remainder displace each other) before its second half is used. */
enum { PACK_STEP = VEC_WIDTH > 16 ? VEC_WIDTH : 16 };
/* Steps are runs of a few cache lines, each of a row of its own, which no prefetcher follows:
 * while a panel is packed, the columns two panels on (a cache line or two) are asked for. */
enum { PACK_LINE = 16, PACK_AHEAD = 2 * (TILE_COLUMNS > PACK_LINE ? TILE_COLUMNS : PACK_LINE) };

/* Stores v as elements j .. j + VEC_WIDTH - 1 of term p. */
BODY pack_store(const pack_shape shape, void *panel, int64_t p, int j, vec v)
{
    int64_t at = p * shape.width + j, count = p + 1 < shape.k ? VEC_WIDTH : shape.width - j;
    if (shape.format == PACK_BF16)
        vec_store_bf16((rm_bf16 *)panel + at, v);
    else
        vec_store_first((rm_real *)panel + at, count,
                        shape.format == PACK_ROUNDED ? vec_round_bf16(v) : v);
}

/* `terms` (at most VEC_WIDTH) terms from p on, of the VEC_WIDTH lines from j on. */
BODY pack_square(const pack_shape shape, int64_t p, int64_t terms, int j,
                 const rm_real *const *lines, void *panel)
{
    vec square[VEC_WIDTH];
    FOR_UNROLLED (i, VEC_WIDTH)
        square[i] = j + i < shape.n ? vec_load_first(lines[j + i] + p, terms) : vec_all(0);
    vec_transpose(square);
    FOR_UNROLLED (i, VEC_WIDTH)
        if (i < terms) pack_store(shape, panel, p + i, j, square[i]);
}

/* Later lines first: what their vectors spill into the next term, the first lines overwrite. */
BODY pack_squares(const pack_shape shape, int64_t p, int64_t terms, const rm_real *const *lines,
                  void *panel)
{
    for (int j = (shape.width - 1) / VEC_WIDTH * VEC_WIDTH; j >= 0; j -= VEC_WIDTH)
        for (int64_t first = 0; first < terms; first += VEC_WIDTH)
            pack_square(shape, p + first, terms - first, j, lines, panel);
}

BODY pack_lines(const pack_shape shape, const rm_real *const *lines, void *panel)
{
    int64_t p = 0;
    for (; p + PACK_STEP <= shape.k; p += PACK_STEP)
        pack_squares(shape, p, PACK_STEP, lines, panel);
    if (p < shape.k) pack_squares(shape, p, shape.k - p, lines, panel);
}

BODY pack_steps(const pack_shape shape, const rm_real *const *steps, void *panel)
{
    for (int64_t p = 0; p < shape.k; p++) {
        for (int j = 0; j < shape.width; j += PACK_LINE)
            __builtin_prefetch(steps[p] + PACK_AHEAD + j, 0, 2);
        for (int j = 0; j < shape.width; j += VEC_WIDTH)
            pack_store(shape, panel, p, j, vec_load_first(steps[p] + j, shape.n - j));
    }
}

#define PACK_FUNCTION(name, from, format, width)                                               \
    static inline void name(int64_t k, int n, const rm_real *const *from, void *panel)         \
    {                                                                                          \
        pack_##from((pack_shape){format, width, n, k}, from, panel);                           \
    }

PACK_FUNCTION(pack_a_lines_fp32, lines, PACK_EXACT, TILE_ROWS)
PACK_FUNCTION(pack_a_steps_fp32, steps, PACK_EXACT, TILE_ROWS)
PACK_FUNCTION(pack_b_lines_fp32, lines, PACK_EXACT, TILE_COLUMNS)
PACK_FUNCTION(pack_b_steps_fp32, steps, PACK_EXACT, TILE_COLUMNS)
PACK_FUNCTION(pack_a_lines_bf16, lines, PACK_ROUNDED, TILE_ROWS)
PACK_FUNCTION(pack_a_steps_bf16, steps, PACK_ROUNDED, TILE_ROWS)
PACK_FUNCTION(pack_b_lines_bf16, lines, PACK_BF16, TILE_COLUMNS)
PACK_FUNCTION(pack_b_steps_bf16, steps, PACK_BF16, TILE_COLUMNS)

#endif

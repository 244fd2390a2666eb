/* SPDX-License-Identifier: MIT
 *
 * Packed panels of bf16 pairs, for the instructions that add up the products of two
 * neighbouring terms. A pair, 32 bits, is terms 2q and 2q + 1 of one line; 16 pairs fill a
 * vector:
 *
 *   of a line    16 pairs of one line, its terms p .. p + 31        (rows of A in tile
 * registers) of a pair    pair q of 16 lines                                 (all else)
 *
 * Lines, rounded two vectors at a time, come as the former, steps as the latter; where the
 * other is wanted, the block of 16 x 16 pairs is transposed. The processor's own rounding takes
 * numbers below 2^-126 as zero, as the products do.
 */
#ifndef RM_AVX512BF16_PACK_H
#define RM_AVX512BF16_PACK_H

#include "simd/kernels.h"
#include "simd/vec_avx512.h"
#include "simd/vector/loop.h"
#include "simd/vector/pack.h"

enum { BLOCK_LINES = 16, BLOCK_PAIRS = 16, BLOCK_TERMS = 2 * BLOCK_PAIRS };

/* Where the blocks of a panel go. Sizes are in pairs. */
typedef struct pair_layout {
    bool of_pair;      /* what a vector holds: see above */
    bool whole_blocks; /* terms are padded to whole blocks, not just to pairs */
    int lines;         /* of a full panel */
    int lanes;         /* of a vector that are stored */
    int per_vector;    /* from a vector of a block to the next */
    int per_lines;     /* from a block to that of the next 16 lines */
    int per_step;      /* from a block to that of the next 32 terms */
} pair_layout;

/* 32 bf16, those of `first` before those of `second`. */
static inline vec round_bf16(vec first, vec second)
{
    return (vec)_mm512_cvtne2ps_pbh(second, first);
}

/* Lanes of two vectors, which are neighbouring terms, as pairs. */
static inline vec round_to_pairs(vec even, vec odd)
{
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7,
                         22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    __m512i apart = _mm512_castps_si512(round_bf16(even, odd));
    return _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, apart));
}

/* A block as 16 vectors of lines; terms and lines that are missing are zero. */
BODY block_of_lines(const rm_real *const *lines, int n, int64_t p, int64_t terms,
                    vec block[BLOCK_LINES])
{
    FOR_UNROLLED (i, BLOCK_LINES) {
        block[i] = vec_all(0);
        if (i < n)
            block[i] = round_bf16(vec_load_first(lines[i] + p, terms),
                                  vec_load_first(lines[i] + p + VEC_WIDTH, terms - VEC_WIDTH));
    }
}

/* As 16 vectors of pairs, of lines j .. j + n - 1 (n may exceed 16). */
BODY block_of_steps(const rm_real *const *steps, int j, int n, int64_t p, int64_t terms,
                    vec block[BLOCK_PAIRS])
{
    FOR_UNROLLED (q, BLOCK_PAIRS) {
        vec even = vec_all(0), odd = vec_all(0);
        if (2 * q < terms) even = vec_load_first(steps[p + 2 * q] + j, n);
        if (2 * q + 1 < terms) odd = vec_load_first(steps[p + 2 * q + 1] + j, n);
        block[q] = round_to_pairs(even, odd);
    }
}

BODY block_store(const pair_layout layout, int64_t terms, const vec block[BLOCK_PAIRS],
                 rm_real *pairs)
{
    FOR_UNROLLED (v, BLOCK_PAIRS)
        if (layout.whole_blocks || 2 * v < terms)
            vec_store_first(pairs + v * layout.per_vector, layout.lanes, block[v]);
}

/* The block of lines j .. and terms p .. of `source`, which is lines or steps. */
BODY pack_block(const pair_layout layout, bool from_lines, const rm_real *const *source, int j,
                int n, int64_t p, int64_t terms, rm_real *panel)
{
    vec block[BLOCK_LINES];
    if (from_lines)
        block_of_lines(source + j, n - j, p, terms, block);
    else
        block_of_steps(source, j, n - j, p, terms, block);
    if (from_lines == layout.of_pair) vec_transpose(block);
    block_store(layout, terms, block,
                panel + p / BLOCK_TERMS * layout.per_step + j / BLOCK_LINES * layout.per_lines);
}

BODY pack_blocks(const pair_layout layout, bool from_lines, const rm_real *const *source, int n,
                 int64_t p, int64_t terms, rm_real *panel)
{
    for (int j = 0; j < layout.lines; j += BLOCK_LINES)
        pack_block(layout, from_lines, source, j, n, p, terms, panel);
}

/* As vector/pack.h: steps are asked for two panels ahead. */
BODY ask_for_steps(const pair_layout layout, const rm_real *const *steps, int64_t terms)
{
    for (int64_t term = 0; term < terms; term++)
        for (int j = 0; j < layout.lines; j += PACK_LINE)
            __builtin_prefetch(steps[term] + PACK_AHEAD + j, 0, 2);
}

BODY pack_pairs(const pair_layout layout, bool from_lines, int64_t k, int n,
                const rm_real *const *source, rm_real *panel)
{
    for (int64_t p = 0; p < k; p += BLOCK_TERMS) {
        int64_t terms = k - p < BLOCK_TERMS ? k - p : BLOCK_TERMS;
        if (!from_lines) ask_for_steps(layout, source + p, terms);
        if (terms == BLOCK_TERMS)
            pack_blocks(layout, from_lines, source, n, p, BLOCK_TERMS, panel);
        else
            pack_blocks(layout, from_lines, source, n, p, terms, panel);
    }
}

#define PACK_PAIRS_FUNCTION(name, layout, from_lines)                                          \
    static void name(int64_t k, int n, const rm_real *const *source, void *panel)              \
    {                                                                                          \
        pack_pairs(layout, from_lines, k, n, source, panel);                                   \
    }

#endif

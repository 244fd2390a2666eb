/* SPDX-License-Identifier: MIT
 *
 * Numbers to blocks of weights over the vector vocabulary, with the bits of the rules in plain
 * C (simd/scalar/quantised_pack.c).
 */
#ifndef RM_VECTOR_QUANTISE_BLOCKS_H
#define RM_VECTOR_QUANTISE_BLOCKS_H

#include <float.h>
#include <math.h>

#include "simd/quantised_panel.h"
#include "simd/vector/loop.h"

enum { HALF_BLOCK = RM_BLOCK_TERMS / 2, BLOCK_LANES = RM_BLOCK_TERMS / VEC_WIDTH };

/* A block's numbers, and the greatest of them. */
typedef struct block_numbers {
    vec lanes[BLOCK_LANES];
    rm_real high, low; /* the greatest, and the least; NaN if any is */
} block_numbers;

static inline block_numbers block_load(int64_t terms, const rm_real *x)
{
    block_numbers block;
    vec high = vec_all(0), below = vec_all(0);
    FOR_UNROLLED (v, BLOCK_LANES) {
        block.lanes[v] = vec_load_first(x + v * VEC_WIDTH, terms - v * VEC_WIDTH);
        high = vec_max(high, block.lanes[v]);
        below = vec_max(below, vec_sub(vec_all(0), block.lanes[v]));
    }
    block.high = vec_max_lanes(high), block.low = -vec_max_lanes(below);
    return block;
}

/* Nearest whole number, halves away from zero. */
static inline vec round_away(vec v)
{
    vec size = vec_absolute(v), near = vec_nearest_integer(size);
    vec is_half = vec_sub(vec_all(0x1.fffffep-2f), vec_sub(size, near)); /* below 0 */
    near = vec_if_negative(is_half, vec_add(near, vec_all(1)), near);
    return vec_if_negative(v, vec_sub(vec_all(0), near), near);
}

static inline void quantise_block_q8(int64_t terms, const rm_real *x, char *to)
{
    block_numbers block = block_load(terms, x);
    rm_real most = block.high > -block.low ? block.high : -block.low;
    rm_put_scale(most / 127, to);
    if (!(most <= FLT_MAX)) {
        rm_put_scale(NAN, to);
        memset(to + RM_SCALE_BYTES, 0, RM_BLOCK_TERMS);
        return;
    }
    vec inverse = vec_all(rm_inverse_of_scale(most / 127));
    FOR_UNROLLED (v, BLOCK_LANES)
        vec_store_bytes((int8_t *)to + RM_SCALE_BYTES + v * VEC_WIDTH,
                        round_away(vec_mul(block.lanes[v], inverse)));
}

/* The first number of the greatest magnitude, which two of opposite signs may share. */
static inline rm_real first_greatest(const block_numbers *block, const rm_real *x)
{
    if (block->high != -block->low) return block->high > -block->low ? block->high : block->low;
    for (int t = 0; block->high > 0; t++)
        if (x[t] == block->high || x[t] == block->low) return x[t];
    return 0;
}

/* v + 8.5 without its fraction, at most 15. */
static inline vec half_bytes(vec v)
{
    vec shifted = vec_add(v, vec_all(8.5f)), near = vec_nearest_integer(shifted);
    vec below = vec_if_negative(vec_sub(shifted, near), vec_sub(near, vec_all(1)), near);
    return vec_clamp(below, 0, 15);
}

static inline void quantise_block_q4(int64_t terms, const rm_real *x, char *to)
{
    block_numbers block = block_load(terms, x);
    int8_t bytes[RM_BLOCK_TERMS];
    bool is_finite = block.high <= FLT_MAX && block.low >= -FLT_MAX;
    rm_real scale = is_finite ? first_greatest(&block, x) / -8 : NAN;
    rm_real inverse = is_finite ? rm_inverse_of_scale(scale) : 0;
    FOR_UNROLLED (v, BLOCK_LANES) {
        vec lanes = is_finite ? vec_mul(block.lanes[v], vec_all(inverse)) : vec_all(-8);
        vec_store_bytes(bytes + v * VEC_WIDTH, half_bytes(lanes));
    }
    rm_put_scale(scale, to);
    for (int t = 0; t < HALF_BLOCK; t += 8) { /* 8 at once: none is above 15 */
        uint64_t low, high;
        memcpy(&low, bytes + t, sizeof low);
        memcpy(&high, bytes + HALF_BLOCK + t, sizeof high);
        low |= high << 4;
        memcpy(to + RM_SCALE_BYTES + t, &low, sizeof low);
    }
}

static void row_quantise_q8(int64_t n, const rm_real *x, void *blocks)
{
    char *to = blocks;
    for (int64_t i = 0; i < n; i += RM_BLOCK_TERMS, to += RM_Q8_BYTES)
        quantise_block_q8(n - i, x + i, to);
}

static void row_quantise_q4(int64_t n, const rm_real *x, void *blocks)
{
    char *to = blocks;
    for (int64_t i = 0; i < n; i += RM_BLOCK_TERMS, to += RM_Q4_BYTES)
        quantise_block_q4(n - i, x + i, to);
}

static void pack_b_lines_q8(int64_t k, int n, const rm_real *const *lines, void *panel)
{
    rm_pack_quantised_lines(RM_Q8_BYTES, row_quantise_q8, k, n, lines, panel);
}

static void pack_b_lines_q4(int64_t k, int n, const rm_real *const *lines, void *panel)
{
    rm_pack_quantised_lines(RM_Q4_BYTES, row_quantise_q4, k, n, lines, panel);
}

#endif

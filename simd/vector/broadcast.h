/* SPDX-License-Identifier: MIT
 *
 * The words tile_column, for vocabularies whose multiply-add takes a number from memory to all
 * lanes at no cost: the elements of packed A stay where they are.
 */
#ifndef RM_VECTOR_BROADCAST_H
#define RM_VECTOR_BROADCAST_H

/* The TILE_ROWS elements of one term of packed A. */
typedef const rm_real *tile_column;

static inline tile_column tile_column_load(const rm_real *p)
{
    return p;
}

/* sum + column[i] b */
static inline vec tile_column_fma(tile_column column, int i, vec b, vec sum)
{
    return vec_fma(vec_all(column[i]), b, sum);
}

#endif

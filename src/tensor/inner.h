/* SPDX-License-Identifier: MIT
 *
 * Fixed blocks of an inner dimension, for sums that do not depend on how many ranks share it.
 * The whole dimension is always cut into RM_INNER_BLOCKS; a block's sum is formed by itself,
 * and the blocks' sums are added in a tree, of which each of 1, 2 or 4 ranks has a whole
 * subtree:
 *
 *   inner dimension  |  block 0  |  block 1  |  block 2  |  block 3  |
 *   2 ranks          |        rank 0         |        rank 1         |
 *   sum                 \     +     /           \     +     /           each within its rank
 *                              \         +         /                    over ranks (rm_sum)
 *
 * A matrix that is not cut has n = 0: one sum over all of it, as before there were ranks to
 * share it.
 */
#ifndef RM_INNER_H
#define RM_INNER_H

#include <stdbool.h>
#include <stdint.h>

#include "simd/kernels.h"

enum { RM_INNER_BLOCKS = 4 };

/* A rank's blocks of its own part: [bounds[b], bounds[b + 1]), b < n. They may be empty. */
typedef struct rm_inner_cut {
    int n;
    int64_t bounds[RM_INNER_BLOCKS + 1];
} rm_inner_cut;

/* Of n_units units of `unit` columns each, the blocks of one of `ranks` ranks (1, 2 or 4; n = 0
 * for other numbers, which cannot share whole blocks). Units are not divided. */
rm_inner_cut rm_inner_cut_of(int64_t n_units, int64_t unit, int ranks, int rank);

/* Sums of blocks in the order of the tree, as a binary counter forms them: after block b's,
 * which lies last, so many times the last one is added to the one before it. */
int rm_inner_joins(int block);

#endif

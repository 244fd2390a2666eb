/* SPDX-License-Identifier: MIT
 *
 * The sum of a token's rows from its experts, in an order that no layout changes: a binary tree
 * over the experts' numbers. Node [a, a + 2^j), a a multiple of 2^j, is its left half plus its
 * right half; a half without a chosen expert is left out.
 *
 *   experts  0   1   2   3   4   5   6   7
 *                |   |           |
 *                 \ /            |            chosen: 1, 2, 5
 *                  +            /             (y1 + y2) + y5
 *                    \         /
 *                        +
 *
 * A rank that has experts [first, last) adds what lies in the largest nodes within its range
 * and sends one row for each instead of one for each expert.
 */
#ifndef RM_COMBINE_H
#define RM_COMBINE_H

#include "tensor/compute.h"

/* A summand: the row of an expert, or the sum of a node that the expert lies in. */
typedef struct rm_term {
    int32_t expert;
    const rm_real *row;
} rm_term;

/* Room for a token's terms in the scratch of the calling thread, beside what rm_combine uses.
 */
rm_term *rm_combine_terms(const rm_compute *compute);
/* y (+)= the tree's sum of n terms, which are in ascending order of their experts; of none,
 * zeros. Called inside a parallel region over compute's threads, or alone: uses the thread's
 * scratch. */
void rm_combine(const rm_compute *compute, int64_t width, int n, const rm_term *terms, bool add,
                rm_real *y);

/* Number of the largest node that holds `expert` and of the n_experts only ones of
 * [first, last): its first expert. Pure. */
int32_t rm_combine_node(int32_t expert, int first, int last, int n_experts);

#endif

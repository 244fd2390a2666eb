/* SPDX-License-Identifier: MIT
 *
 * The sum of an array over the ranks of an axis, with an order of additions that depends on the
 * number of ranks alone: the reduction tree of comm/tree.h with one leaf a rank. So a rank that
 * has added up a whole subtree of smaller leaves gets the bits of the tree of all of them: with
 * the fixed blocks of an inner dimension (RM_INNER_BLOCKS) spread over 1, 2 or 4 ranks, the
 * same ones.
 *
 *   ranks    0   1   2   3   4   5
 *             \ /     \ /     \ /
 *              +       +       +
 *               \     /       /
 *                  +         /
 *                    \      /
 *                     total
 */
#ifndef RM_SUM_H
#define RM_SUM_H

#include "comm/context.h"

/* data[0 .. n) of all ranks, summed, on every rank. In place. Collective over the axis, with
 * the same n on all ranks; on an axis of one rank nothing is done. What is received lies in the
 * scratch of `compute`. times->exchange (times may be NULL) gets the time. Returns OK or MPI.
 */
ringmoe_status rm_sum(const rm_axis *axis, rm_real *data, int64_t n, const rm_compute *compute,
                      rm_comm_times *times, rm_error *error);

#endif

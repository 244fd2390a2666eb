/* SPDX-License-Identifier: MIT
 *
 * The rows of this rank's experts: runs of one source rank for one expert each, and groups of
 * runs that are computed together. Rows are numbered by group, then expert, then source, then
 * token, which is the order of all activations of the experts.
 *
 *   group 0   e0: own, near          rows of ranks whose memory this rank reads, experts of
 *             e1: own, near          the first half
 *   group 1   e0: rank 6, rank 7     rows that came by messages, some ranks a group
 *             ..
 *   last      e2: own, near ..       the other half
 *
 * What one rank of the node takes for all of them is known to be there, and goes back, only
 * when all of them have come so far: these rows are one group, the last, and near ones the
 * first.
 *
 * Own rows are computed while others travel, and results travel while own rows are computed.
 * Without overlap, or without messages, there is one group. Tensor ranks of one expert add up
 * what they make row by row, so their groups are the same, even where nodes cut between them
 * and one reads what another is sent. The results do not depend on it:
 * rows are independent of one another, and a weight's gradient is one sum over each run.
 */
#ifndef RM_ARRIVALS_H
#define RM_ARRIVALS_H

#include "moe/router.h"

/* What a count message says after the rows for each expert, of the message of rows that they
 * come in (far.h): its rows, all its choices, and those before the ones for this rank. */
typedef enum rm_far_count {
    RM_COUNT_ROWS,
    RM_COUNT_SLOTS,
    RM_COUNT_BEFORE,
    RM_N_FAR_COUNTS
} rm_far_count;

enum { RM_MOST_FAR_GROUPS = 4, RM_MOST_GROUPS = RM_MOST_FAR_GROUPS + 2, RM_NEAR = -1 };

typedef struct rm_arrivals {
    int n_local, n_sources, n_groups;
    int64_t n_rows, max_rows;
    int32_t *counts; /* [sources][n_local + RM_N_FAR_COUNTS], rows for each expert, and those */
    int *groups;     /* [sources], of its runs; RM_NEAR: the first and the last */
    int64_t *offsets;    /* [groups][n_local + 1], rows of each expert within a group */
    int64_t *run_firsts; /* [n_local][sources], first row of each run, */
    int64_t *run_rows;   /* and how many */
    int32_t *x_rows;     /* [n_rows], where the row of x is */
    rm_real *weights;    /* [n_rows] */
} rm_arrivals;

void rm_arrivals_layout(rm_arrivals *arrivals, int n_local, int n_sources, int64_t max_rows,
                        rm_arena *arena);
/* Assigns groups: `ways[s]` says how rows come, here or to another tensor rank; `rank` is this
 * one. Those that come by messages are in ring order, the rank below first; with two levels
 * they are one group. Pure. */
void rm_arrivals_group(rm_arrivals *arrivals, int rank, const int *ways, bool overlap,
                       bool two_level);
/* What a source said of its message. */
int32_t rm_arrivals_far_count(const rm_arrivals *arrivals, int source, rm_far_count which);
/* Runs, offsets and n_rows from the counts. ARGUMENT if there are more than max_rows. */
ringmoe_status rm_arrivals_plan(rm_arrivals *arrivals, rm_error *error);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Memory that the ranks of an axis on one node have in common (MPI-3 windows): each has a part
 * of the same size, laid out in the same way, and reads in the others' parts what it would have
 * to be sent else.
 *
 *   window   | board, part of member 0 | board, part of member 1 | ...      one mapping a rank
 *
 * Members take turns together: a rank says in its board which turn it has come to, and how far
 * it is in it. Where memory cannot be shared (other nodes, too little of it, not wanted) a rank
 * is the only member of its group, with a part in its own memory.
 */
#ifndef RM_SHARED_H
#define RM_SHARED_H

#include <stdatomic.h>

#include "base/arena.h"
#include "comm/context.h"

/* How far a member is, as the others see it. */
typedef struct rm_shared_board {
    _Alignas(64) atomic_llong published; /* its data of this turn is there, */
    _Alignas(64) atomic_llong computed;  /* its results of this turn are there, */
    _Alignas(64) atomic_llong finished;  /* it reads nothing of this turn any more */
} rm_shared_board;

typedef struct rm_shared {
    rm_arena arena; /* this rank's part; measuring at first */
    rm_arena alone; /* measuring: the same without members on other ranks */
    size_t unit;    /* what the size of a part is a multiple of: rows are found by index */
    bool knows_far;
    int n_far; /* ranks of the axis that are no members; while !knows_far, perhaps all */

    const rm_axis *axis;
    int *places; /* [axis->size], place of a rank among the members; -1: none */
    int n_members, place;
    char *base; /* of the window, or of the only part */
    size_t part_bytes;
    rm_arena own; /* the only part */
    MPI_Comm comm;
    MPI_Win window;
    long long turn;
} rm_shared;

/* For measuring: knows who may be a member. The axis may be NULL (then nobody does). */
rm_shared rm_shared_measuring(const rm_axis *axis);

/* Takes rows of `width` so that, in elements, they lie a multiple of the width behind the
 * window's base. */
rm_real *rm_shared_take_rows(rm_shared *shared, rm_arena *arena, int64_t n_rows, int64_t width);

/* Makes the memory that was measured. `expected` bytes are what a rank will touch; where the
 * system has not that much of shared memory, or allow is false on some rank, there are no
 * members. Collective over the axis, which must outlive it. The same status on all ranks. */
ringmoe_status rm_shared_create(const rm_axis *axis, const rm_shared *measured,
                                int64_t expected, bool allow, rm_shared **shared,
                                rm_error *error);
/* Collective. NULL or *shared NULL: nothing. */
void rm_shared_free(rm_shared **shared);

#endif

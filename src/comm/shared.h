/* SPDX-License-Identifier: MIT
 *
 * Memory that the ranks of an axis on one node have in common (an MPI-3 shared window): each
 * has a part, all laid out in the same way, and reads in the others' parts what it would have
 * to be sent else.
 *
 *   window   | board, part of member 0 | board, part of member 1 | ...      one mapping a rank
 *
 * Members take turns together. In its board a member says how far it is:
 *
 *   published   its data of this turn are there; others may read them
 *   relayed     what came to it from other nodes for all members is there
 *   computed    its results of this turn are there
 *   finished    it reads nothing more of this turn: the next one may write
 *
 * Where memory cannot be shared (other nodes, too little of it, not wanted) a rank is the only
 * member of its group, with a part in memory of its own.
 */
#ifndef RM_SHARED_H
#define RM_SHARED_H

#include <stdatomic.h>

#include "base/arena.h"
#include "comm/context.h"

/* How rows get to another rank, the shortest way first. */
typedef enum rm_way { RM_WAY_MEMORY, RM_WAY_MESSAGES, RM_WAY_NODES } rm_way;

typedef enum rm_mark { RM_PUBLISHED, RM_RELAYED, RM_COMPUTED, RM_FINISHED, RM_N_MARKS } rm_mark;

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "processes share these without a lock");

/* Last turns of each mark, and the last failure; on cache lines of their own. */
typedef struct rm_shared_board {
    struct {
        _Alignas(64) atomic_llong turn;
    } marks[RM_N_MARKS];
    _Alignas(64) atomic_llong failed;
} rm_shared_board;

/* Pieces of a part that get memory at once, in bytes. */
#define RM_SHARED_PIECE ((size_t)1 << 18)

typedef struct rm_shared {
    rm_arena arena;   /* this rank's part; measuring at first */
    rm_arena alone;   /* measuring: the part if there are no other members */
    size_t unit;      /* parts are a multiple of it */
    int n_near;       /* measuring: ranks of the axis on this node, that may be members */
    bool two_level;   /* asked for: a message to another node is for all its members */
    bool is_made;     /* all nodes of the axis share memory */
    size_t row_bytes; /* measuring: of the shortest rows, which 32-bit numbers count */

    const rm_axis *axis;
    int *places; /* [axis->size], place of a rank among the members; -1: none */
    int *ranks;  /* [n_members], and back */
    int *ways;   /* [axis->size], the longest way to a rank (rm_shared_join) */
    int n_members, place;
    int is_limited; /* some rank of the axis may run out of shared memory (rm_shared_join) */
    char *base;     /* of the window, or of the only part */
    size_t part_bytes;
    unsigned char *touched; /* of each piece of the part: there is memory behind it */
    long long turn;
    rm_arena own; /* the only part */
    MPI_Comm comm;
    MPI_Win window;
} rm_shared;

/* For measuring: knows how many may be members. The axis may be NULL: none but the rank. */
rm_shared rm_shared_measuring(const rm_axis *axis, bool two_level);
/* Takes rows from `arena`, which is the shared memory's, so that they begin a multiple of the
 * row's size behind the window's base: rows of all members have one numbering. */
rm_real *rm_shared_take_rows(rm_shared *shared, rm_arena *arena, int64_t n_rows, int64_t width);

/* Makes the memory that was measured; it is zero. `expected` bytes are what a rank will touch;
 * where the system has not as much shared memory, or `allow` is false on some rank, there are
 * no members. Collective over the axis, which must outlive it. The same status on all ranks. */
ringmoe_status rm_shared_create(const rm_axis *axis, const rm_shared *measured,
                                int64_t expected, bool allow, rm_shared **shared,
                                rm_error *error);
/* The axes of `across`'s members do the same work side by side: what depends on how a rank is
 * reached, other than how it is reached, must be decided alike by all of them. Makes `ways` the
 * longest ones of any member, and is_limited that of any. Collective over `across`. */
ringmoe_status rm_shared_join(rm_shared *shared, const rm_axis *across, rm_error *error);
/* Collective. NULL or *shared NULL: nothing. */
void rm_shared_free(rm_shared **shared);

/* What member `place` has where this rank has `mine`. */
const void *rm_shared_of(const rm_shared *shared, int place, const void *mine);
/* The number of the row that begins at `row`, counted from the window's base. */
int64_t rm_shared_row(const rm_shared *shared, const rm_real *row, int64_t width);

/* Makes sure that there is memory behind part of this rank's part, which is only taken when it
 * is touched. MEMORY if not. */
ringmoe_status rm_shared_touch(const rm_shared *shared, const void *begin, int64_t bytes,
                               rm_error *error);

/* Fills this rank's part with NaN, between turns, for tests: whoever reads what was not written
 * gives himself away. */
void rm_shared_poison(const rm_shared *shared);

/* Opens the next turn, once all members have finished the last one. */
void rm_shared_begin(rm_shared *shared);
/* Opens it at once: for a turn that only reads what earlier ones left. */
void rm_shared_begin_reading(rm_shared *shared);
void rm_shared_mark(const rm_shared *shared, rm_mark mark);
/* Waits until all members have set the mark in this turn; fails if one has failed in it. */
ringmoe_status rm_shared_await(const rm_shared *shared, rm_mark mark, rm_error *error);
/* Closes the turn: finished, and if it failed here, all marks with it, so that nobody waits. */
void rm_shared_end(const rm_shared *shared, ringmoe_status status);

#endif

/* SPDX-License-Identifier: MIT
 *
 * One arena per lifetime (parameters, gradients, activations, ...). Its size is computed before
 * it is allocated by running the same layout code on a measuring arena, whose base is NULL:
 *
 *   rm_arena arena = {0};          layout(&arena, ...);      arena.used is the size
 *   rm_arena_reserve(&arena, arena.used);  layout(&arena, ...);   the same calls, real pointers
 *
 * Pages are zero and take memory only when first touched, so a reservation for the worst case
 * costs address space, not memory.
 */
#ifndef RM_ARENA_H
#define RM_ARENA_H

#include "base/status.h"

#define RM_ARENA_ALIGN 64

typedef struct rm_arena {
    char *base;      /* NULL: measuring */
    size_t reserved; /* bytes at base */
    size_t used;     /* bytes taken, kept counting while measuring */
    int overflow;    /* a size did not fit into size_t */
} rm_arena;

/* Takes count * size bytes, aligned to RM_ARENA_ALIGN. While measuring, or past the
 * reservation, returns NULL and goes on counting. */
void *rm_arena_take(rm_arena *arena, int64_t count, size_t size);
#define RM_TAKE(arena, count, type) ((type *)rm_arena_take((arena), (count), sizeof(type)))

/* Reserves `bytes` of zeroed memory and starts over at 0. MEMORY if the system refuses. */
ringmoe_status rm_arena_reserve(rm_arena *arena, size_t bytes, rm_error *error);
/* Touches all of it by so many threads, since the system clears memory when it is first
 * touched: what is written there later waits for that no more. Its contents stay. */
void rm_arena_touch(const rm_arena *arena, int n_threads);
/* Gives everything back. A zeroed arena is allowed. */
void rm_arena_free(rm_arena *arena);

#endif

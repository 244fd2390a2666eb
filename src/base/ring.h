/* SPDX-License-Identifier: MIT
 *
 * A ring of bytes between two threads, one that fills it and one that drains it. Both work on
 * the bytes in place and count them in afterwards, so that nothing is copied under the lock.
 *
 *   bytes | filled, not yet drained | placed | room   | filled .. |
 *                                   ^ filled          ^ drained, both modulo the capacity
 *
 * What is placed is the draining side's only once it is shown: it may still be on its way, and
 * one round trip through the lock shows many pieces.
 *
 * Blocks that end a file are rounded up to RM_RING_ALIGN, so that each file begins at such a
 * place and may be written past the system's cache.
 */
#ifndef RM_RING_H
#define RM_RING_H

#include <pthread.h>
#include <stdbool.h>

#include "base/status.h"

#define RM_RING_ALIGN 4096

typedef struct rm_ring {
    char *bytes;      /* the caller's, aligned to RM_RING_ALIGN */
    int64_t capacity; /* a multiple of RM_RING_ALIGN */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t placed; /* bytes since the start, the filling side's own count */
    /* Under the lock: */
    int64_t filled, drained; /* bytes since the start */
    bool stopped;            /* one of the two has given up */
    bool ended;              /* the draining one has done all, or given up */
} rm_ring;

/* MEMORY if the system has no more locks. */
ringmoe_status rm_ring_init(rm_ring *ring, void *bytes, int64_t capacity, rm_error *error);
void rm_ring_free(rm_ring *ring);

/* Room in one piece at *place, up to the ring's end; 0: full, unless `wait` until there are
 * `least` bytes, or what lies before the ring's end; -1: stopped. Before it waits,
 * what is placed is shown. */
int64_t rm_ring_room(rm_ring *ring, int64_t least, bool wait, char **place);
/* n bytes have their place there; `align`: what follows begins at a multiple of
 * RM_RING_ALIGN. */
void rm_ring_place(rm_ring *ring, int64_t n, bool align);
/* Everything placed is there. */
void rm_ring_show(rm_ring *ring);

/* The next n bytes at *place, or as many of them as lie before the ring's end; 0: they are not
 * there, unless `wait` until they are; -1: stopped. */
int64_t rm_ring_next(rm_ring *ring, int64_t n, bool wait, char **place);
/* n bytes, rounded up to RM_RING_ALIGN, may be filled again. */
void rm_ring_drain(rm_ring *ring, int64_t n);

int64_t rm_ring_drained(rm_ring *ring);

/* Neither side waits any more. */
void rm_ring_stop(rm_ring *ring);
bool rm_ring_is_stopped(rm_ring *ring);
void rm_ring_end(rm_ring *ring);
bool rm_ring_has_ended(rm_ring *ring);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Pairs of neighbouring symbols: how often each occurs and where its list of places begins and
 * ends, and a queue that gives the most frequent one first.
 */
#ifndef RM_PAIR_COUNTS_H
#define RM_PAIR_COUNTS_H

#include <stdbool.h>
#include <stdint.h>

/* Left and right in one number, so that lower pairs of ids are lower numbers. */
static inline uint64_t rm_pair_key(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

typedef struct rm_pair {
    uint64_t key;
    int64_t count;
    int32_t first, last; /* places; -1: none */
    int32_t step;        /* of the merge that last made more of it */
    bool is_merge;       /* has its place in the list of merges */
} rm_pair;

/* Open addressing that grows. A zeroed one is empty. */
typedef struct rm_pair_counts {
    rm_pair *pairs;
    int64_t room, n; /* room: 0 or a power of two */
} rm_pair_counts;

/* NULL: it does not occur, or not any more. A pair stays in its place until the next put. */
rm_pair *rm_pair_counts_find(const rm_pair_counts *counts, uint64_t key);
/* The same, or a new one that does not occur; NULL without memory. */
rm_pair *rm_pair_counts_put(rm_pair_counts *counts, uint64_t key);
void rm_pair_counts_free(rm_pair_counts *counts);

typedef struct rm_queued_pair {
    int64_t count; /* when it was pushed */
    uint64_t key;
} rm_queued_pair;

/* A heap: the highest count first, of several the lowest key. A zeroed one is empty. */
typedef struct rm_pair_queue {
    rm_queued_pair *items;
    int64_t n, room;
} rm_pair_queue;

/* False without memory. */
bool rm_pair_queue_push(rm_pair_queue *queue, rm_queued_pair item);
/* False: it is empty. */
bool rm_pair_queue_pop(rm_pair_queue *queue, rm_queued_pair *item);
void rm_pair_queue_free(rm_pair_queue *queue);

#endif

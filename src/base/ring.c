/* SPDX-License-Identifier: MIT */
#include "base/ring.h"

static int64_t round_up(int64_t n)
{
    return (n + RM_RING_ALIGN - 1) / RM_RING_ALIGN * RM_RING_ALIGN;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

ringmoe_status rm_ring_init(rm_ring *ring, void *bytes, int64_t capacity, rm_error *error)
{
    *ring = (rm_ring){.bytes = bytes, .capacity = capacity};
    int refused = pthread_mutex_init(&ring->lock, NULL);
    if (!refused && (refused = pthread_cond_init(&ring->changed, NULL)))
        pthread_mutex_destroy(&ring->lock);
    if (!refused) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "the system refused a lock");
}

void rm_ring_free(rm_ring *ring)
{
    pthread_cond_destroy(&ring->changed);
    pthread_mutex_destroy(&ring->lock);
}

static void show(rm_ring *ring)
{
    ring->filled = ring->placed;
    pthread_cond_broadcast(&ring->changed);
}

int64_t rm_ring_room(rm_ring *ring, int64_t least, bool wait, char **place)
{
    int64_t at = ring->placed % ring->capacity, contiguous = ring->capacity - at;
    least = smaller(least, contiguous);
    *place = ring->bytes + at;
    pthread_mutex_lock(&ring->lock);
    if (wait && ring->capacity - (ring->placed - ring->drained) < least) show(ring);
    while (wait && !ring->stopped && ring->capacity - (ring->placed - ring->drained) < least)
        pthread_cond_wait(&ring->changed, &ring->lock);
    int64_t room = smaller(ring->capacity - (ring->placed - ring->drained), contiguous);
    if (ring->stopped) room = -1;
    pthread_mutex_unlock(&ring->lock);
    return room;
}

void rm_ring_place(rm_ring *ring, int64_t n, bool align)
{
    ring->placed += n;
    if (align) ring->placed = round_up(ring->placed);
}

void rm_ring_show(rm_ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    show(ring);
    pthread_mutex_unlock(&ring->lock);
}

int64_t rm_ring_next(rm_ring *ring, int64_t n, bool wait, char **place)
{
    pthread_mutex_lock(&ring->lock);
    int64_t at = ring->drained % ring->capacity;
    n = smaller(n, ring->capacity - at);
    while (wait && !ring->stopped && ring->filled - ring->drained < n)
        pthread_cond_wait(&ring->changed, &ring->lock);
    if (ring->filled - ring->drained < n) n = 0;
    if (ring->stopped) n = -1;
    pthread_mutex_unlock(&ring->lock);
    *place = ring->bytes + at;
    return n;
}

void rm_ring_drain(rm_ring *ring, int64_t n)
{
    pthread_mutex_lock(&ring->lock);
    ring->drained += round_up(n);
    pthread_cond_broadcast(&ring->changed);
    pthread_mutex_unlock(&ring->lock);
}

int64_t rm_ring_drained(rm_ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    int64_t drained = ring->drained;
    pthread_mutex_unlock(&ring->lock);
    return drained;
}

void rm_ring_stop(rm_ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    ring->stopped = true;
    pthread_cond_broadcast(&ring->changed);
    pthread_mutex_unlock(&ring->lock);
}

bool rm_ring_is_stopped(rm_ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    bool stopped = ring->stopped;
    pthread_mutex_unlock(&ring->lock);
    return stopped;
}

void rm_ring_end(rm_ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    ring->ended = true;
    pthread_mutex_unlock(&ring->lock);
}

bool rm_ring_has_ended(rm_ring *ring)
{
    pthread_mutex_lock(&ring->lock);
    bool ended = ring->ended;
    pthread_mutex_unlock(&ring->lock);
    return ended;
}

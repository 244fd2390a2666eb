/* SPDX-License-Identifier: MIT */
#include "tensor/team.h"

#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/pause.h"

/* Looks at the next turn, each of which gives the core to others, before a thread sleeps. */
enum { YIELDS = 1000 };
/* What is read ahead between two looks; and in all, so that it still lies in the second-level
 * cache when it is used. */
enum { LINE = 64, BYTES_A_LOOK = 16 * LINE, MOST_AHEAD = 256 << 10 };

typedef struct announced {
    rm_bytes bytes[RM_MOST_ANNOUNCED];
    int n;
} announced;

/* The gate: number of the turn, whether it is closed, and threads that are inside. */
enum { INSIDE_BITS = 16 };
static const uint64_t ONE_INSIDE = 1, CLOSED = (uint64_t)1 << INSIDE_BITS,
                      ONE_TURN = (uint64_t)2 << INSIDE_BITS;

struct rm_team {
    _Alignas(LINE) _Atomic uint64_t gate;
    /* Written by thread 0 alone, while nobody is inside. */
    _Alignas(LINE) rm_thread_function *run; /* NULL: the threads part */
    void *user;
    int n_threads; /* 0: not held */
    bool is_running;
    announced next;
    _Alignas(LINE) atomic_int n_asleep;
    pthread_mutex_t lock; /* of who sleeps */
    pthread_cond_t wake;
};

rm_team *rm_team_create(void)
{
    rm_team *team = aligned_alloc(LINE, sizeof *team);
    if (!team) return NULL;
    *team = (rm_team){.n_threads = 0};
    if (pthread_mutex_init(&team->lock, NULL) != 0) {
        free(team);
        return NULL;
    }
    if (pthread_cond_init(&team->wake, NULL) != 0) {
        pthread_mutex_destroy(&team->lock);
        free(team);
        return NULL;
    }
    return team;
}

void rm_team_free(rm_team *team)
{
    if (!team) return;
    pthread_cond_destroy(&team->wake);
    pthread_mutex_destroy(&team->lock);
    free(team);
}

/* --- reading ahead --- */

/* How far a thread is in its share of what was announced. */
typedef struct ahead {
    announced what;
    int at;
    int64_t offset, left;
} ahead;

static ahead share_of(const announced *what, int thread, int n_threads)
{
    ahead share = {.what = *what};
    int64_t total = 0;
    for (int i = 0; i < what->n; i++) total += what->bytes[i].size;
    int64_t first = total * thread / n_threads, size = total * (thread + 1) / n_threads - first;
    share.left = size < MOST_AHEAD ? size : MOST_AHEAD;
    for (; share.at < what->n && first >= what->bytes[share.at].size; share.at++)
        first -= what->bytes[share.at].size;
    share.offset = first;
    return share;
}

static void read_ahead(ahead *share)
{
    if (share->left <= 0 || share->at >= share->what.n) return;
    const rm_bytes *from = &share->what.bytes[share->at];
    for (int64_t i = 0; i < BYTES_A_LOOK && share->offset < from->size; i += LINE) {
        __builtin_prefetch(from->data + share->offset, 0, 2);
        share->offset += LINE;
    }
    share->left -= BYTES_A_LOOK;
    if (share->offset < from->size) return;
    share->at++;
    share->offset = 0;
}

void rm_team_announce(const rm_compute *compute, const rm_bytes *next, int n)
{
    rm_team *team = compute->team;
    if (!team || team->n_threads == 0) return;
    team->next.n = n;
    for (int i = 0; i < n; i++) team->next.bytes[i] = next[i];
}

/* --- turns --- */

static uint64_t turn_of(uint64_t gate)
{
    return gate / ONE_TURN;
}

static bool is_over(rm_team *team, uint64_t turn)
{
    return turn_of(atomic_load_explicit(&team->gate, memory_order_acquire)) != turn;
}

static void sleep_until_over(rm_team *team, uint64_t turn)
{
    pthread_mutex_lock(&team->lock);
    atomic_fetch_add(&team->n_asleep, 1);
    while (turn_of(atomic_load(&team->gate)) == turn)
        pthread_cond_wait(&team->wake, &team->lock);
    atomic_fetch_sub(&team->n_asleep, 1);
    pthread_mutex_unlock(&team->lock);
}

static void await_next_turn(rm_team *team, uint64_t turn, ahead *share)
{
    for (int look = 0; look < RM_LOOKS + YIELDS; look++) {
        if (is_over(team, turn)) return;
        read_ahead(share);
        rm_pause(look);
    }
    sleep_until_over(team, turn);
}

/* A sleeper says so before it looks at the gate for the last time, and thread 0 looks for
 * sleepers after it has changed the gate: one of them sees the other. */
static void open_turn(rm_team *team, rm_thread_function *run, void *user)
{
    team->run = run;
    team->user = user;
    atomic_store(&team->gate, (turn_of(atomic_load(&team->gate)) + 1) * ONE_TURN);
    if (atomic_load(&team->n_asleep) == 0) return;
    pthread_mutex_lock(&team->lock);
    pthread_cond_broadcast(&team->wake);
    pthread_mutex_unlock(&team->lock);
}

/* Who has not come in by now is late: there is nothing left to do. */
static void close_turn(rm_team *team)
{
    uint64_t gate = atomic_fetch_or(&team->gate, CLOSED);
    for (int look = 0; gate % CLOSED > 0; look++) {
        rm_pause(look);
        gate = atomic_load_explicit(&team->gate, memory_order_acquire);
    }
}

/* False: it is closed. */
static bool come_in(rm_team *team, uint64_t *turn)
{
    uint64_t gate = atomic_load_explicit(&team->gate, memory_order_relaxed);
    do {
        *turn = turn_of(gate);
        if (gate & CLOSED) return false;
    } while (!atomic_compare_exchange_weak(&team->gate, &gate, gate + ONE_INSIDE));
    return true;
}

/* What the other threads do until they part. */
static void serve(rm_team *team, int thread, int n_threads, uint64_t turn)
{
    ahead share = {.left = 0};
    for (;;) {
        await_next_turn(team, turn, &share);
        if (!come_in(team, &turn)) continue;
        if (!team->run) return;
        if (team->next.n > 0) share = share_of(&team->next, thread, n_threads);
        team->run(team->user, thread);
        atomic_fetch_sub_explicit(&team->gate, ONE_INSIDE, memory_order_release);
    }
}

/* Not within a run, whose threads are busy. A copy of a compute may have fewer threads, and
 * scratch of as many. */
static bool is_waiting(const rm_compute *compute)
{
    const rm_team *team = compute->team;
    return team && team->n_threads > 0 && team->n_threads <= compute->n_threads &&
           !team->is_running;
}

void rm_team_run(const rm_compute *compute, rm_thread_function *run, void *user)
{
    rm_team *team = compute->team;
    if (!is_waiting(compute)) {
#pragma omp parallel num_threads(compute->n_threads)
        run(user, omp_get_thread_num());
        return;
    }
    team->is_running = true;
    open_turn(team, run, user);
    run(user, 0);
    close_turn(team);
    team->is_running = false;
    team->next.n = 0;
}

void rm_team_hold(const rm_compute *compute, void (*pass)(void *user), void *user)
{
    rm_team *team = compute->team;
    if (!team || team->n_threads > 0) {
        pass(user);
        return;
    }
    uint64_t turn = turn_of(atomic_load(&team->gate));
#pragma omp parallel num_threads(compute->n_threads)
    if (omp_get_thread_num() > 0) {
        serve(team, omp_get_thread_num(), omp_get_num_threads(), turn);
    } else {
        team->n_threads = omp_get_num_threads();
        team->next.n = 0;
        pass(user);
        team->n_threads = 0;
        open_turn(team, NULL, NULL);
    }
}

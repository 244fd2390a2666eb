/* SPDX-License-Identifier: MIT
 *
 * Use of the shared memory: finding things in it, and turns. A mark is a store with release
 * order and is awaited with acquire order, so what a member wrote before it is seen after it.
 */
#include "comm/shared.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined __linux__ && !defined MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* older than the kernel: headers of the C library */
#endif

const void *rm_shared_of(const rm_shared *shared, int place, const void *mine)
{
    return (const char *)mine +
           ((ptrdiff_t)place - shared->place) * (ptrdiff_t)shared->part_bytes;
}

int64_t rm_shared_row(const rm_shared *shared, const rm_real *row, int64_t width)
{
    return ((const char *)row - shared->base) / (width * (int64_t)sizeof(rm_real));
}

/* Touching shared memory that the system has not got ends the process; asking for it first does
 * not. Kernels before Linux 5.14 cannot be asked. */
static bool populate(const rm_shared *shared, size_t first, size_t end)
{
#ifdef MADV_POPULATE_WRITE
    uintptr_t part = (uintptr_t)shared->base + (size_t)shared->place * shared->part_bytes;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = (part + first * RM_SHARED_PIECE) / page * page;
    uintptr_t to = part + end * RM_SHARED_PIECE;
    if (to > part + shared->part_bytes) to = part + shared->part_bytes;
    return madvise((void *)from, to - from, MADV_POPULATE_WRITE) == 0 || errno == EINVAL;
#else
    return true;
#endif
}

ringmoe_status rm_shared_touch(const rm_shared *shared, const void *begin, int64_t bytes,
                               rm_error *error)
{
    if (shared->n_members == 1 || bytes <= 0) return RINGMOE_OK;
    const char *part = shared->base + (size_t)shared->place * shared->part_bytes;
    size_t first = (size_t)((const char *)begin - part) / RM_SHARED_PIECE;
    size_t end =
        ((size_t)((const char *)begin - part) + (size_t)bytes - 1) / RM_SHARED_PIECE + 1;
    while (first < end && shared->touched[first]) first++;
    if (first == end) return RINGMOE_OK;
    if (!populate(shared, first, end))
        return rm_fail(error, RINGMOE_ERROR_MEMORY,
                       "no shared memory for %lld MiB of tokens; enlarge /dev/shm, use a "
                       "smaller microbatch, or exchange tokens by messages "
                       "(RINGMOE_EXCHANGE_MESSAGES)",
                       (long long)(bytes >> 20) + 1);
    memset(shared->touched + first, 1, end - first);
    return RINGMOE_OK;
}

void rm_shared_poison(const rm_shared *shared)
{
    memset(shared->arena.base + sizeof(rm_shared_board), 0xff,
           shared->arena.used - sizeof(rm_shared_board));
}

static rm_shared_board *board_of(const rm_shared *shared, int place)
{
    return (rm_shared_board *)(shared->base + (size_t)place * shared->part_bytes);
}

static void await_member(const rm_shared *shared, int place, rm_mark mark)
{
    static const char *const what[] = {
        "the tokens of a rank of this node", "a rank of this node to pass tokens on",
        "the experts of a rank of this node", "a rank of this node to read its tokens"};
    const atomic_llong *word = &board_of(shared, place)->marks[mark].turn;
    if (atomic_load_explicit(word, memory_order_acquire) >= shared->turn) return;
    rm_waiting waiting = rm_wait_begin(shared->axis, shared->ranks[place], what[mark]);
    while (atomic_load_explicit(word, memory_order_acquire) < shared->turn)
        rm_wait_idle(&waiting);
    rm_wait_end(&waiting);
}

void rm_shared_begin(rm_shared *shared)
{
    for (int place = 0; place < shared->n_members; place++)
        await_member(shared, place, RM_FINISHED);
    shared->turn++;
}

void rm_shared_begin_reading(rm_shared *shared)
{
    shared->turn++;
}

void rm_shared_mark(const rm_shared *shared, rm_mark mark)
{
    atomic_store_explicit(&board_of(shared, shared->place)->marks[mark].turn, shared->turn,
                          memory_order_release);
}

/* --- failures --- */

/* A failure is a turn and the member that failed first, in one word: those that give up because
 * another one did pass its name on. */
enum { PLACES = 1 << 20 };

/* Who failed first in this turn, as a member knows; -1: nobody. */
static int failed_first(const rm_shared *shared, int place)
{
    long long failed =
        atomic_load_explicit(&board_of(shared, place)->failed, memory_order_relaxed);
    return failed / PLACES == shared->turn ? (int)(failed % PLACES) : -1;
}

ringmoe_status rm_shared_await(const rm_shared *shared, rm_mark mark, rm_error *error)
{
    for (int place = 0; place < shared->n_members; place++) {
        await_member(shared, place, mark);
        int failed = failed_first(shared, place);
        if (failed >= 0)
            return rm_fail(error, RINGMOE_ERROR_MEMORY,
                           "rank %d gave up an exchange of tokens; its own message says why",
                           rm_axis_member(shared->axis, shared->ranks[failed]));
    }
    return RINGMOE_OK;
}

static void mark_failure(const rm_shared *shared)
{
    int first = shared->place;
    for (int place = 0; place < shared->n_members; place++)
        if (failed_first(shared, place) >= 0) first = failed_first(shared, place);
    atomic_store_explicit(&board_of(shared, shared->place)->failed,
                          shared->turn * PLACES + first, memory_order_relaxed);
}

void rm_shared_end(const rm_shared *shared, ringmoe_status status)
{
    if (status != RINGMOE_OK) mark_failure(shared);
    for (int mark = 0; mark < RM_N_MARKS; mark++) rm_shared_mark(shared, (rm_mark)mark);
}

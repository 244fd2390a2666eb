/* SPDX-License-Identifier: MIT
 *
 * Making the window. Everything that may differ between ranks (what MPI says of their memory,
 * what the system has left of it) is agreed on, so that all members come out with the same way.
 */
#include "comm/shared.h"

#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/number.h"

rm_shared rm_shared_measuring(const rm_axis *axis, bool two_level)
{
    rm_shared measuring = {.unit = RM_ARENA_ALIGN, .n_near = 1, .two_level = two_level};
    measuring.arena.used = measuring.alone.used = sizeof(rm_shared_board);
    if (!axis || axis->size == 1) return measuring;
    measuring.n_near = 0;
    for (int r = 0; r < axis->size; r++)
        measuring.n_near += rm_axis_node(axis, r) == rm_axis_node(axis, axis->rank);
    return measuring;
}

static size_t common_multiple(size_t a, size_t b)
{
    return a / (size_t)rm_common_divisor((int64_t)a, (int64_t)b) * b;
}

static size_t round_up(size_t bytes, size_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

rm_real *rm_shared_take_rows(rm_shared *shared, rm_arena *arena, int64_t n_rows, int64_t width)
{
    size_t unit = common_multiple(RM_ARENA_ALIGN, (size_t)width * sizeof(rm_real));
    shared->unit = common_multiple(shared->unit, unit);
    size_t row = (size_t)width * sizeof(rm_real);
    if (shared->row_bytes == 0 || row < shared->row_bytes) shared->row_bytes = row;
    arena->used = round_up(arena->used, unit);
    return RM_TAKE(arena, n_rows * width, rm_real);
}

/* --- members --- */

/* Those on this rank's node whose memory MPI can share. */
static ringmoe_status find_members(rm_shared *shared, bool *shareable, rm_error *error)
{
    const rm_axis *axis = shared->axis;
    MPI_Comm together;
    int same = MPI_UNEQUAL;
    RM_TRY(rm_mpi_check(
        MPI_Comm_split(axis->comm, rm_axis_node(axis, axis->rank), axis->rank, &shared->comm),
        "MPI_Comm_split", error));
    RM_TRY(rm_mpi_check(MPI_Comm_set_errhandler(shared->comm, MPI_ERRORS_RETURN),
                        "MPI_Comm_set_errhandler", error));
    RM_TRY(rm_mpi_check(
        MPI_Comm_split_type(shared->comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &together),
        "MPI_Comm_split_type", error));
    int code = MPI_Comm_compare(shared->comm, together, &same);
    MPI_Comm_free(&together);
    *shareable = same == MPI_IDENT || same == MPI_CONGRUENT;
    return rm_mpi_check(code, "MPI_Comm_compare", error);
}

/* Whether the system's shared memory holds what is expected of all ranks of this node, of which
 * other axes take as much at the same time. */
static bool has_room(const rm_shared *shared, int64_t expected)
{
    struct statvfs room;
    if (statvfs("/dev/shm", &room) != 0) return true;
    const rm_axis *axis = shared->axis;
    int64_t free_bytes = (int64_t)room.f_bavail * (int64_t)room.f_frsize;
    return expected <= free_bytes / (axis->node_ranks + 1);
}

/* Open MPI asks for the whole window, touched or not; other libraries' are sparse. */
static bool has_room_for_all(const rm_shared *shared)
{
    char version[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0;
    MPI_Get_library_version(version, &length);
    if (!strstr(version, "Open MPI")) return true;
    return has_room(shared, (int64_t)shared->part_bytes);
}

/* Whether 32 bits number the rows of all members. */
static bool has_numbers(const rm_shared *shared, size_t row_bytes)
{
    return row_bytes == 0 ||
           shared->part_bytes * (size_t)shared->n_members / row_bytes <= INT32_MAX;
}

static ringmoe_status allocate_window(rm_shared *shared, rm_error *error)
{
    void *unused;
    MPI_Aint size;
    int unit, place;
    MPI_Comm_rank(shared->comm, &place);
    size = place == 0 ? (MPI_Aint)(shared->part_bytes * (size_t)shared->n_members) : 0;
    RM_TRY(rm_mpi_check(
        MPI_Win_allocate_shared(size, 1, MPI_INFO_NULL, shared->comm, &unused, &shared->window),
        "MPI_Win_allocate_shared", error));
    MPI_Win_set_errhandler(shared->window, MPI_ERRORS_RETURN);
    RM_TRY(rm_mpi_check(MPI_Win_shared_query(shared->window, 0, &size, &unit, &shared->base),
                        "MPI_Win_shared_query", error));
    return rm_mpi_check(MPI_Win_lock_all(MPI_MODE_NOCHECK, shared->window), "MPI_Win_lock_all",
                        error);
}

static void name_members(rm_shared *shared)
{
    const rm_axis *axis = shared->axis;
    for (int r = 0; r < axis->size; r++) {
        shared->places[r] = -1;
        if (rm_axis_node(axis, r) != rm_axis_node(axis, axis->rank)) continue;
        shared->ranks[shared->n_members] = r;
        shared->places[r] = shared->n_members++;
    }
    shared->place = shared->places[axis->rank];
}

static void name_only_member(rm_shared *shared)
{
    const rm_axis *axis = shared->axis;
    for (int r = 0; r < axis->size; r++) shared->places[r] = r == axis->rank ? 0 : -1;
    shared->ranks[0] = axis->rank;
    shared->n_members = 1;
    shared->place = 0;
}

static void name_ways(rm_shared *shared)
{
    const rm_axis *axis = shared->axis;
    for (int r = 0; r < axis->size; r++) {
        bool same_node = rm_axis_node(axis, r) == rm_axis_node(axis, axis->rank);
        shared->ways[r] = shared->places[r] >= 0 ? RM_WAY_MEMORY
                          : same_node            ? RM_WAY_MESSAGES
                                                 : RM_WAY_NODES;
    }
}

static void release_window(rm_shared *shared)
{
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (finalized) return;
    if (shared->window != MPI_WIN_NULL) {
        MPI_Win_unlock_all(shared->window);
        MPI_Win_free(&shared->window);
    }
    if (shared->comm != MPI_COMM_NULL) MPI_Comm_free(&shared->comm);
}

/* Freeing a window takes all members: where one has none it is left to the end of MPI. */
static void leave_window(rm_shared *shared)
{
    int all_have = shared->window != MPI_WIN_NULL;
    rm_waiting waiting = rm_wait_begin(shared->axis, RM_EVERYONE, "giving up shared memory");
    int code = MPI_Allreduce(MPI_IN_PLACE, &all_have, 1, MPI_INT, MPI_MIN, shared->comm);
    rm_wait_end(&waiting);
    if (code != MPI_SUCCESS || !all_have) shared->window = MPI_WIN_NULL;
}

/* True if the members have a window. What fails on one of them is no error: there is another
 * way, which then all ranks of the axis take. */
static ringmoe_status make_window(rm_shared *shared, const rm_shared *measured,
                                  int64_t expected, bool *made, rm_error *error)
{
    const rm_axis *axis = shared->axis;
    rm_error trouble;
    bool shareable = false;
    rm_waiting waiting = rm_wait_begin(axis, RM_EVERYONE, "finding who shares memory");
    ringmoe_status status = find_members(shared, &shareable, error);
    rm_wait_end(&waiting);
    RM_TRY(status);
    name_members(shared);
    shared->part_bytes = round_up(measured->arena.used, measured->unit);
    int fine = shareable && has_room(shared, expected) && has_room_for_all(shared) &&
               has_numbers(shared, measured->row_bytes);
    RM_TRY(rm_allreduce(axis, &fine, 1, MPI_INT, MPI_MIN, error));
    waiting = rm_wait_begin(axis, RM_EVERYONE, "making shared memory");
    if (fine && shared->n_members > 1) fine = allocate_window(shared, &trouble) == RINGMOE_OK;
    rm_wait_end(&waiting);
    RM_TRY(rm_allreduce(axis, &fine, 1, MPI_INT, MPI_MIN, error));
    if (!fine && shared->n_members > 1) leave_window(shared);
    *made = fine;
    return RINGMOE_OK;
}

/* --- creation --- */

static ringmoe_status use_own_part(rm_shared *shared, const rm_shared *measured,
                                   rm_error *error)
{
    name_only_member(shared);
    shared->part_bytes = round_up(measured->alone.used, measured->unit);
    shared->own.overflow = measured->alone.overflow;
    RM_TRY(rm_arena_reserve(&shared->own, shared->part_bytes, error));
    shared->base = shared->own.base;
    return RINGMOE_OK;
}

static void clear_board(rm_shared_board *board)
{
    for (int mark = 0; mark < RM_N_MARKS; mark++) atomic_init(&board->marks[mark].turn, 0);
    atomic_init(&board->failed, 0);
}

static ringmoe_status prepare_part(rm_shared *shared, rm_error *error)
{
    char *part = shared->base + (size_t)shared->place * shared->part_bytes;
    shared->arena = (rm_arena){
        .base = part, .reserved = shared->part_bytes, .used = sizeof(rm_shared_board)};
    shared->touched = calloc(shared->part_bytes / RM_SHARED_PIECE + 1, 1);
    if (!shared->touched)
        return rm_fail(error, RINGMOE_ERROR_MEMORY,
                       "no memory for the state of %zu MiB of shared memory",
                       shared->part_bytes >> 20);
    RM_TRY(rm_shared_touch(shared, part, sizeof(rm_shared_board), error));
    clear_board((rm_shared_board *)part);
    return RINGMOE_OK;
}

static ringmoe_status make_memory(rm_shared *shared, const rm_shared *measured,
                                  int64_t expected, bool allow, rm_error *error)
{
    const rm_axis *axis = shared->axis;
    int wanted = allow && !measured->arena.overflow;
    bool made = false;
    RM_TRY(rm_allreduce(axis, &wanted, 1, MPI_INT, MPI_MIN, error));
    int near = measured->n_near;
    RM_TRY(rm_allreduce(axis, &near, 1, MPI_INT, MPI_MAX, error));
    if (wanted && near > 1) RM_TRY(make_window(shared, measured, expected, &made, error));
    ringmoe_status status = RINGMOE_OK;
    if (!made || shared->n_members == 1) {
        release_window(shared);
        status = use_own_part(shared, measured, error);
    }
    name_ways(shared);
    shared->is_limited = shared->is_made = made;
    if (status == RINGMOE_OK) status = prepare_part(shared, error);
    return rm_agree(axis, status, error);
}

ringmoe_status rm_shared_create(const rm_axis *axis, const rm_shared *measured,
                                int64_t expected, bool allow, rm_shared **shared,
                                rm_error *error)
{
    *shared = NULL;
    if (axis->size == 1) return RINGMOE_OK;
    rm_shared *made = calloc(1, sizeof *made);
    int *numbers = calloc((size_t)axis->size * 3, sizeof *numbers);
    ringmoe_status status = RINGMOE_OK;
    if (!made || !numbers)
        status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %d ranks", axis->size);
    status = rm_agree(axis, status, error);
    if (status != RINGMOE_OK) {
        free(made);
        free(numbers);
        return status;
    }
    *made = (rm_shared){.axis = axis,
                        .places = numbers,
                        .ranks = numbers + axis->size,
                        .ways = numbers + 2 * (size_t)axis->size,
                        .two_level = measured->two_level,
                        .comm = MPI_COMM_NULL,
                        .window = MPI_WIN_NULL};
    status = make_memory(made, measured, expected, allow, error);
    *shared = made;
    if (status != RINGMOE_OK) rm_shared_free(shared);
    return status;
}

ringmoe_status rm_shared_join(rm_shared *shared, const rm_axis *across, rm_error *error)
{
    if (!shared) return RINGMOE_OK;
    RM_TRY(rm_allreduce(across, &shared->is_limited, 1, MPI_INT, MPI_MAX, error));
    return rm_allreduce(across, shared->ways, shared->axis->size, MPI_INT, MPI_MAX, error);
}

void rm_shared_free(rm_shared **shared)
{
    if (!shared || !*shared) return;
    release_window(*shared);
    rm_arena_free(&(*shared)->own);
    free((*shared)->touched);
    free((*shared)->places);
    free(*shared);
    *shared = NULL;
}

/* SPDX-License-Identifier: MIT
 *
 * Sums over an axis. A piece of the array after the other, each in one of two ways; the order
 * of additions is the same in both:
 *
 *   small, or two ranks   everyone sends the piece to everyone and adds up all of it
 *   else                  rank r gets everyone's r-th part of the piece, adds that up and sends
 *                         it to everyone: 2 (size - 1) / size pieces a rank instead of size - 1
 *
 * What is received lies in the threads' scratch. Tags need no count of rounds: in each round
 * two ranks post one receive and one send for one another, and wait for all before the next, so
 * MPI, which keeps the order of messages between two ranks, pairs them as they were meant.
 * Nothing but an error of MPI ends a sum early.
 */
#include "comm/sum.h"

#include "base/clock.h"
#include "comm/tree_state.h"

enum { SUM_TAG = 900, SMALL_ELEMENTS = 4096, PIECE_ELEMENTS = 1 << 18 };

/* A sum at work. Member r's part of what is added up at once lies at slots[r]. */
typedef struct sum {
    const rm_axis *axis;
    const rm_compute *compute;
    rm_real **slots;         /* [size] */
    rm_real *received;       /* room for `piece` elements */
    MPI_Request *requests;   /* [2 * size], receives first */
    int *partners;           /* of the requests */
    rm_tree_node *nodes;     /* [size] */
    rm_tree_addition *order; /* [size], all into this rank's slot in the end */
    int64_t piece;
    int n_receives, n_requests;
} sum;

/* One leaf a rank. Both a + b and b + a have the same bits, so where this rank's slot takes
 * part the other one is added to it, and the total lies there. */
static void plan_order(sum *work)
{
    int n_nodes = work->axis->size, own = work->axis->rank;
    for (int r = 0; r < n_nodes; r++) work->nodes[r] = (rm_tree_node){r, 1, r};
    int n = rm_tree_join(work->nodes, &n_nodes, work->order);
    n += rm_tree_fold(work->nodes, n_nodes, work->order + n);
    for (int i = 0; i < n; i++) {
        if (work->order[i].from != own) continue;
        int left = work->order[i].into;
        work->order[i] = (rm_tree_addition){own, left};
        for (int later = i + 1; later < n; later++) {
            if (work->order[later].into == left) work->order[later].into = own;
            if (work->order[later].from == left) work->order[later].from = own;
        }
    }
}

static sum begin_sum(const rm_axis *axis, const rm_compute *compute)
{
    rm_arena scratch = {.base = compute->scratch.base, .reserved = compute->scratch.reserved};
    sum work = {.axis = axis, .compute = compute};
    work.slots = RM_TAKE(&scratch, axis->size, rm_real *);
    work.requests = RM_TAKE(&scratch, 2 * (int64_t)axis->size, MPI_Request);
    work.partners = RM_TAKE(&scratch, 2 * (int64_t)axis->size, int);
    work.nodes = RM_TAKE(&scratch, axis->size, rm_tree_node);
    work.order = RM_TAKE(&scratch, axis->size, rm_tree_addition);
    int64_t room = (int64_t)((scratch.reserved - scratch.used) / sizeof(rm_real));
    int64_t fits = (room - RM_ARENA_ALIGN) / axis->size;
    work.piece = fits < PIECE_ELEMENTS ? fits : PIECE_ELEMENTS;
    work.received = RM_TAKE(&scratch, work.piece * axis->size, rm_real);
    plan_order(&work);
    return work;
}

/* Notes a request that has been posted. */
static int note(sum *work, int code, int rank)
{
    if (code == MPI_SUCCESS) work->partners[work->n_requests++] = rank;
    return code;
}

static int receive(sum *work, int rank, rm_real *to, int64_t n)
{
    if (n == 0) return MPI_SUCCESS;
    int code = MPI_Irecv(to, (int)n, RM_MPI_REAL, rank, SUM_TAG, work->axis->comm,
                         &work->requests[work->n_requests]);
    code = note(work, code, rank);
    work->n_receives = work->n_requests;
    return code;
}

static int send(sum *work, int rank, const rm_real *from, int64_t n)
{
    if (n == 0) return MPI_SUCCESS;
    int code = MPI_Isend(from, (int)n, RM_MPI_REAL, rank, SUM_TAG, work->axis->comm,
                         &work->requests[work->n_requests]);
    return note(work, code, rank);
}

static ringmoe_status complete(sum *work, int code, rm_error *error)
{
    ringmoe_status status = rm_mpi_check(code, "summing over ranks", error);
    int n = work->n_requests;
    work->n_requests = 0;
    for (int i = 0; i < n && status == RINGMOE_OK; i++)
        status = rm_wait(work->axis, work->partners[i], &work->requests[i],
                         "summing over ranks", error);
    if (status == RINGMOE_OK) return RINGMOE_OK;
    rm_abandon_receives(work->axis, work->n_receives, work->requests);
    rm_abandon(n - work->n_receives, work->requests + work->n_receives);
    return status;
}

typedef struct part {
    rm_real *data;
    int64_t n;
} part;

/* The r-th part of a piece, or all of it. */
static part part_of(const sum *work, part piece, bool in_parts, int rank)
{
    if (!in_parts) return piece;
    int64_t first = rank * piece.n / work->axis->size;
    return (part){piece.data + first, (rank + 1) * piece.n / work->axis->size - first};
}

static ringmoe_status add_up(sum *work, part piece, bool in_parts, rm_error *error)
{
    int size = work->axis->size, own = work->axis->rank, code = MPI_SUCCESS;
    part mine = part_of(work, piece, in_parts, own);
    for (int r = 0; r < size; r++)
        work->slots[r] = r == own ? mine.data : work->received + r * work->piece;
    for (int i = 1; i < size && code == MPI_SUCCESS; i++) {
        int from = (own - i + size) % size;
        code = receive(work, from, work->slots[from], mine.n);
    }
    for (int i = 1; i < size && code == MPI_SUCCESS; i++) {
        part theirs = part_of(work, piece, in_parts, (own + i) % size);
        code = send(work, (own + i) % size, theirs.data, theirs.n);
    }
    RM_TRY(complete(work, code, error));
    rm_tree_add(work->compute, work->order, size - 1, work->slots, 0, mine.n);
    return RINGMOE_OK;
}

/* Every rank's finished part to everyone. */
static ringmoe_status hand_out(sum *work, part piece, rm_error *error)
{
    int size = work->axis->size, own = work->axis->rank, code = MPI_SUCCESS;
    part mine = part_of(work, piece, true, own);
    for (int i = 1; i < size && code == MPI_SUCCESS; i++) {
        part theirs = part_of(work, piece, true, (own - i + size) % size);
        code = receive(work, (own - i + size) % size, theirs.data, theirs.n);
    }
    for (int i = 1; i < size && code == MPI_SUCCESS; i++)
        code = send(work, (own + i) % size, mine.data, mine.n);
    return complete(work, code, error);
}

static ringmoe_status sum_pieces(sum *work, rm_real *data, int64_t n, rm_error *error)
{
    bool in_parts = work->axis->size > 2 && n > SMALL_ELEMENTS;
    for (int64_t first = 0; first < n; first += work->piece) {
        part piece = {data + first, n - first < work->piece ? n - first : work->piece};
        RM_TRY(add_up(work, piece, in_parts, error));
        if (in_parts) RM_TRY(hand_out(work, piece, error));
    }
    return RINGMOE_OK;
}

ringmoe_status rm_sum(const rm_axis *axis, rm_real *data, int64_t n, const rm_compute *compute,
                      rm_comm_times *times, rm_error *error)
{
    if (axis->size == 1) return RINGMOE_OK;
    double start = rm_clock_seconds();
    sum work = begin_sum(axis, compute);
    ringmoe_status status = sum_pieces(&work, data, n, error);
    if (times) times->exchange += rm_clock_seconds() - start;
    return status;
}

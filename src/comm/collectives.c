/* SPDX-License-Identifier: MIT
 *
 * Collectives over an axis in rm_wait's manner. On an axis of one rank they return at once.
 */
#include "comm/context.h"

ringmoe_status rm_allreduce(const rm_axis *axis, void *in_place, int count, MPI_Datatype type,
                            MPI_Op operation, rm_error *error)
{
    if (axis->size == 1 || count == 0) return RINGMOE_OK;
    MPI_Request request = MPI_REQUEST_NULL;
    int code =
        MPI_Iallreduce(MPI_IN_PLACE, in_place, count, type, operation, axis->comm, &request);
    RM_TRY(rm_mpi_check(code, "MPI_Iallreduce", error));
    return rm_wait(axis, RM_EVERYONE, &request, "MPI_Iallreduce", error);
}

ringmoe_status rm_broadcast(const rm_axis *axis, void *data, int count, MPI_Datatype type,
                            int root, rm_error *error)
{
    if (axis->size == 1 || count == 0) return RINGMOE_OK;
    MPI_Request request = MPI_REQUEST_NULL;
    int code = MPI_Ibcast(data, count, type, root, axis->comm, &request);
    RM_TRY(rm_mpi_check(code, "MPI_Ibcast", error));
    return rm_wait(axis, RM_EVERYONE, &request, "MPI_Ibcast", error);
}

ringmoe_status rm_barrier(const rm_axis *axis, rm_error *error)
{
    if (axis->size == 1) return RINGMOE_OK;
    MPI_Request request = MPI_REQUEST_NULL;
    RM_TRY(rm_mpi_check(MPI_Ibarrier(axis->comm, &request), "MPI_Ibarrier", error));
    return rm_wait(axis, RM_EVERYONE, &request, "MPI_Ibarrier", error);
}

enum { PIECE_BYTES = 64 << 20, PARTS_TAG = 1 };

/* Parts travel in pieces that are large for a message, and yet take no time in which a watchdog
 * would take a slow network for a dead one. */
typedef struct shared_array {
    char *elements;
    const int64_t *bounds;
    MPI_Datatype type;
    MPI_Aint extent;
    int piece; /* elements */
} shared_array;

static int piece_count(const shared_array *parts, int rank, int64_t offset)
{
    int64_t left = parts->bounds[rank + 1] - parts->bounds[rank] - offset;
    if (left < 0) left = 0;
    return left < parts->piece ? (int)left : parts->piece;
}

static char *piece_start(const shared_array *parts, int rank, int64_t offset)
{
    return parts->elements + (parts->bounds[rank] + offset) * parts->extent;
}

/* Sends a piece of this rank's part to `to` while receiving one of `from`'s. */
static ringmoe_status swap_piece(const rm_axis *axis, const shared_array *parts, int64_t offset,
                                 int to, int from, rm_error *error)
{
    MPI_Request requests[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
    int n_in = piece_count(parts, from, offset), n_out = piece_count(parts, axis->rank, offset);
    int code = MPI_SUCCESS;
    if (n_in)
        code = MPI_Irecv(piece_start(parts, from, offset), n_in, parts->type, from, PARTS_TAG,
                         axis->comm, &requests[0]);
    if (n_out && code == MPI_SUCCESS)
        code = MPI_Isend(piece_start(parts, axis->rank, offset), n_out, parts->type, to,
                         PARTS_TAG, axis->comm, &requests[1]);
    if (code != MPI_SUCCESS) {
        rm_abandon_receives(axis, 1, requests);
        return rm_mpi_check(code, "gathering parts", error);
    }
    return rm_wait_all(axis, 2, requests, "gathering parts", error);
}

/* Pairwise exchange: in turn d everyone sends to the rank d above and receives from the one d
 * below, so no displacement ever has to fit into an int. */
ringmoe_status rm_allgather_parts(const rm_axis *axis, void *array, const int64_t *bounds,
                                  MPI_Datatype type, rm_error *error)
{
    if (axis->size == 1) return RINGMOE_OK;
    shared_array parts = {.elements = array, .bounds = bounds, .type = type};
    MPI_Aint lower;
    RM_TRY(rm_mpi_check(MPI_Type_get_extent(type, &lower, &parts.extent), "MPI_Type_get_extent",
                        error));
    parts.piece = parts.extent < PIECE_BYTES ? (int)(PIECE_BYTES / parts.extent) : 1;
    int64_t longest = 0;
    for (int r = 0; r < axis->size; r++)
        if (bounds[r + 1] - bounds[r] > longest) longest = bounds[r + 1] - bounds[r];
    for (int64_t offset = 0; offset < longest; offset += parts.piece)
        for (int distance = 1; distance < axis->size; distance++) {
            int to = (axis->rank + distance) % axis->size;
            int from = (axis->rank - distance + axis->size) % axis->size;
            RM_TRY(swap_piece(axis, &parts, offset, to, from, error));
        }
    return RINGMOE_OK;
}

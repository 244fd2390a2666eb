/* SPDX-License-Identifier: MIT */
#include "train/transfer.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE_ELEMENTS = 1 << 20, TRANSFER_TAG = 2000 };

static int64_t widest_row(const rm_parameter_table *table)
{
    int64_t widest = 1;
    for (int i = 0; i < table->n_parameters; i++)
        if (table->parameters[i].shape[1] > widest) widest = table->parameters[i].shape[1];
    return widest;
}

ringmoe_status rm_collector_init(rm_collector *collector, const ringmoe_trainer *trainer,
                                 rm_error *error)
{
    const rm_axis *world = &trainer->mesh->context->world;
    *collector = (rm_collector){.trainer = trainer, .error = error};
    if (world->rank != 0) return RINGMOE_OK;
    size_t n = (size_t)widest_row(rm_model_parameters(trainer->model));
    if (n < PIECE_ELEMENTS) n = PIECE_ELEMENTS;
    collector->piece = malloc(n * sizeof(rm_real));
    collector->received = malloc(n * sizeof(rm_real));
    collector->shares = calloc((size_t)world->size, sizeof(rm_share));
    if (collector->piece && collector->received && collector->shares) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a piece of a checkpoint");
}

void rm_collector_free(rm_collector *collector)
{
    free(collector->piece);
    free(collector->received);
    free(collector->shares);
    rm_safetensors_abandon(&collector->writer);
}

void rm_collect_own(rm_collector *collector, const rm_real *values, int64_t n)
{
    if (collector->trainer->mesh->context->world.rank == 0 && collector->status == RINGMOE_OK)
        collector->status = rm_safetensors_append(
            collector->writer, values, n * (int64_t)sizeof *values, collector->error);
}

/* Rank 0 gets everyone's share of the parameter. */
static ringmoe_status gather_shares(rm_collector *collector, rm_share own)
{
    static const char what[] = "telling rank 0 the parts of a checkpoint";
    const rm_axis *world = &collector->trainer->mesh->context->world;
    if (world->size == 1) {
        collector->shares[0] = own;
        return RINGMOE_OK;
    }
    MPI_Request request = MPI_REQUEST_NULL;
    int64_t pair[] = {own.first, own.n};
    int code = MPI_Igather(pair, 2, MPI_INT64_T, collector->shares, 2, MPI_INT64_T, 0,
                           world->comm, &request);
    RM_TRY(rm_mpi_check(code, what, collector->error));
    return rm_wait(world, world->rank == 0 ? RM_EVERYONE : 0, &request, what, collector->error);
}

/* What of a share of a part lies in rows [first_row, end_row) of the whole. */
static rm_share share_of_rows(const rm_parameter_part *part, rm_share share, int64_t first_row,
                              int64_t end_row)
{
    int64_t first = (first_row - part->first_row) * part->n_columns;
    int64_t end = (end_row - part->first_row) * part->n_columns;
    if (first < share.first) first = share.first;
    if (end > share.first + share.n) end = share.first + share.n;
    return first < end ? (rm_share){first, end - first} : (rm_share){0, 0};
}

static ringmoe_status send_values(const rm_collector *collector, const rm_real *values,
                                  int64_t n)
{
    static const char what[] = "sending a part of a checkpoint";
    const rm_axis *world = &collector->trainer->mesh->context->world;
    MPI_Request request = MPI_REQUEST_NULL;
    int code = MPI_Isend(values, (int)n, RM_MPI_REAL, 0, TRANSFER_TAG, world->comm, &request);
    RM_TRY(rm_mpi_check(code, what, collector->error));
    return rm_wait(world, 0, &request, what, collector->error);
}

static ringmoe_status receive_values(const rm_collector *collector, int from, int64_t n)
{
    static const char what[] = "receiving a part of a checkpoint";
    const rm_axis *world = &collector->trainer->mesh->context->world;
    MPI_Request request = MPI_REQUEST_NULL;
    int code = MPI_Irecv(collector->received, (int)n, RM_MPI_REAL, from, TRANSFER_TAG,
                         world->comm, &request);
    RM_TRY(rm_mpi_check(code, what, collector->error));
    return rm_wait(world, from, &request, what, collector->error);
}

/* Puts the values of a share where they belong in the piece, which begins at first_row. */
static void place(const rm_collector *collector, const rm_parameter *parameter,
                  const rm_parameter_part *part, rm_share share, int64_t first_row,
                  const rm_real *values)
{
    for (int64_t done = 0; done < share.n;) {
        rm_part_run run = rm_part_run_at(parameter, part, share.first + done, share.n - done);
        memcpy(collector->piece + (run.global - first_row * parameter->shape[1]), values + done,
               (size_t)run.n * sizeof *values);
        done += run.n;
    }
}

/* On rank 0: all ranks' values of rows [first_row, end_row), its own at `own`. */
static ringmoe_status fill_piece(const rm_collector *collector, const rm_parameter *parameter,
                                 int64_t first_row, int64_t end_row, const rm_real *own)
{
    const ringmoe_mesh *mesh = collector->trainer->mesh;
    ringmoe_mesh_dims dims = ringmoe_mesh_get_dims(mesh);
    for (int rank = 0; rank < mesh->context->world.size; rank++) {
        if (collector->shares[rank].n == 0) continue;
        rm_parameter_part part =
            rm_parameter_part_of(parameter, dims.tensor, rm_mesh_place(&dims, rank).tensor);
        rm_share share = share_of_rows(&part, collector->shares[rank], first_row, end_row);
        if (share.n == 0) continue;
        if (rank > 0) RM_TRY(receive_values(collector, rank, share.n));
        place(collector, parameter, &part, share, first_row,
              rank > 0 ? collector->received
                       : own + (share.first - collector->shares[0].first));
    }
    return RINGMOE_OK;
}

ringmoe_status rm_collect(rm_collector *collector, const rm_parameter *parameter,
                          rm_share share, const rm_real *values)
{
    int rank = collector->trainer->mesh->context->world.rank;
    rm_parameter_part part = rm_own_part(collector->trainer, parameter);
    int64_t width = parameter->shape[1], n_rows = parameter->shape[0];
    int64_t most_rows = width < PIECE_ELEMENTS ? PIECE_ELEMENTS / width : 1;
    RM_TRY(gather_shares(collector, share));
    for (int64_t row = 0; row < n_rows; row += most_rows) {
        int64_t end = n_rows - row < most_rows ? n_rows : row + most_rows;
        rm_share own = share_of_rows(&part, share, row, end);
        if (rank == 0) {
            RM_TRY(fill_piece(collector, parameter, row, end, values));
            rm_collect_own(collector, collector->piece, (end - row) * width);
        } else if (own.n > 0) {
            RM_TRY(send_values(collector, values + (own.first - share.first), own.n));
        }
    }
    return RINGMOE_OK;
}

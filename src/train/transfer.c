/* SPDX-License-Identifier: MIT */
#include "train/transfer.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE_ELEMENTS = 1 << 20, SHARE_TAG = 2000, VALUES_TAG = 2001 };

/* Elements of the largest piece. */
static int64_t largest_piece(const rm_parameter_table *table)
{
    int64_t largest = 1;
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *parameter = &table->parameters[i];
        int64_t n = parameter->n_elements;
        if (n > PIECE_ELEMENTS) n = PIECE_ELEMENTS;
        if (n < parameter->shape[1]) n = parameter->shape[1];
        if (n > largest) largest = n;
    }
    return largest;
}

ringmoe_status rm_collector_init(rm_collector *collector, const ringmoe_trainer *trainer,
                                 const rm_writers *writers, rm_stream *stream, rm_error *error)
{
    size_t n_ranks = (size_t)writers->n_ranks;
    *collector = (rm_collector){
        .trainer = trainer, .writers = writers, .stream = stream, .error = error};
    collector->shares = calloc(n_ranks, sizeof *collector->shares);
    collector->requests = malloc(n_ranks * sizeof *collector->requests);
    bool complete = collector->shares && collector->requests;
    if (stream && n_ranks > 1) {
        size_t n = (size_t)largest_piece(rm_model_parameters(trainer->model));
        collector->piece = malloc(n * sizeof(rm_real));
        collector->received = malloc(n * sizeof(rm_real));
        complete = complete && collector->piece && collector->received;
    }
    if (complete) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a piece of a checkpoint");
}

void rm_collector_free(rm_collector *collector)
{
    free(collector->piece);
    free(collector->received);
    free(collector->shares);
    free(collector->requests);
}

/* A parameter on its way. */
typedef struct passage {
    const rm_parameter *parameter;
    int writer;
    bool of_shards;
    rm_share share; /* this rank's */
    const rm_real *values;
} passage;

/* True if the rank may have a share. A parameter that is not cut lies on all tensor ranks, of
 * which the first answers for it. */
static bool may_share(const rm_collector *collector, const passage *way, int rank)
{
    const rm_parameter *parameter = way->parameter;
    ringmoe_mesh_dims dims = ringmoe_mesh_get_dims(collector->trainer->mesh);
    ringmoe_mesh_dims place = rm_mesh_place(&dims, rank);
    ringmoe_mesh_dims writer = rm_mesh_place(&dims, way->writer);
    if (parameter->slice == RM_SLICE_NONE && place.tensor != 0) return false;
    if (place.pipeline != writer.pipeline) return false;
    if (!way->of_shards) return place.data == writer.data && place.expert == writer.expert;
    return parameter->expert_rank < 0 || place.expert == parameter->expert_rank;
}

static ringmoe_status send(const rm_collector *collector, const void *data, int n,
                           MPI_Datatype type, int to, int tag)
{
    static const char what[] = "sending a part of a checkpoint";
    const rm_axis *world = &collector->trainer->mesh->context->world;
    MPI_Request request = MPI_REQUEST_NULL;
    int code = MPI_Isend(data, n, type, to, tag, world->comm, &request);
    RM_TRY(rm_mpi_check(code, what, collector->error));
    return rm_wait(world, to, &request, what, collector->error);
}

static ringmoe_status receive_values(const rm_collector *collector, int from, int64_t n)
{
    static const char what[] = "receiving a part of a checkpoint";
    const rm_axis *world = &collector->trainer->mesh->context->world;
    MPI_Request request = MPI_REQUEST_NULL;
    int code = MPI_Irecv(collector->received, (int)n, RM_MPI_REAL, from, VALUES_TAG,
                         world->comm, &request);
    RM_TRY(rm_mpi_check(code, what, collector->error));
    return rm_wait(world, from, &request, what, collector->error);
}

/* On the writer: the shares of all ranks. */
static ringmoe_status receive_shares(const rm_collector *collector, const passage *way)
{
    static const char what[] = "learning the parts of a checkpoint";
    const rm_axis *world = &collector->trainer->mesh->context->world;
    ringmoe_status status = RINGMOE_OK;
    for (int rank = 0; rank < world->size; rank++) {
        collector->requests[rank] = MPI_REQUEST_NULL;
        collector->shares[rank] = rank == world->rank ? way->share : (rm_share){0, 0};
        if (rank == world->rank || status != RINGMOE_OK || !may_share(collector, way, rank))
            continue;
        int code = MPI_Irecv(&collector->shares[rank], 2, MPI_INT64_T, rank, SHARE_TAG,
                             world->comm, &collector->requests[rank]);
        status = rm_mpi_check(code, what, collector->error);
    }
    if (world->size == 1) return status;
    ringmoe_status waited =
        rm_wait_all(world, world->size, collector->requests, what, collector->error);
    return status == RINGMOE_OK ? waited : status;
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

/* On the writer: all ranks' values of rows [first_row, end_row), its own at `own`; *piece is
 * where they are. */
static ringmoe_status fill_piece(const rm_collector *collector, const rm_parameter *parameter,
                                 int64_t first_row, int64_t end_row, const rm_real *own,
                                 const rm_real **piece)
{
    const ringmoe_mesh *mesh = collector->trainer->mesh;
    ringmoe_mesh_dims dims = ringmoe_mesh_get_dims(mesh);
    int64_t n = (end_row - first_row) * parameter->shape[1];
    *piece = collector->piece;
    for (int rank = 0; rank < mesh->context->world.size; rank++) {
        if (collector->shares[rank].n == 0) continue;
        rm_parameter_part part =
            rm_parameter_part_of(parameter, dims.tensor, rm_mesh_place(&dims, rank).tensor);
        rm_share share = share_of_rows(&part, collector->shares[rank], first_row, end_row);
        if (share.n == 0) continue;
        const rm_real *values = collector->received;
        if (rank == mesh->context->world.rank)
            values = own + (share.first - collector->shares[rank].first);
        else
            RM_TRY(receive_values(collector, rank, share.n));
        if (share.n == n)
            *piece = values;
        else
            place(collector, parameter, &part, share, first_row, values);
    }
    return RINGMOE_OK;
}

static void write_values(const rm_collector *collector, const rm_real *values, int64_t n)
{
    const ringmoe_context *context = collector->trainer->mesh->context;
    rm_stream_write(collector->stream, values, n * (int64_t)sizeof *values,
                    context->compute.n_threads);
    rm_progress_tick(context->world.progress);
}

/* Pieces are alike on the writer and on those that send to it. */
static ringmoe_status collect_rows(const rm_collector *collector, const passage *way)
{
    const rm_parameter *parameter = way->parameter;
    rm_parameter_part part = rm_own_part(collector->trainer, parameter);
    bool writes = collector->trainer->mesh->context->world.rank == way->writer;
    int64_t width = parameter->shape[1], n_rows = parameter->shape[0];
    int64_t most_rows = width < PIECE_ELEMENTS ? PIECE_ELEMENTS / width : 1;
    for (int64_t row = 0; row < n_rows; row += most_rows) {
        int64_t end = n_rows - row < most_rows ? n_rows : row + most_rows;
        rm_share own = share_of_rows(&part, way->share, row, end);
        if (writes) {
            const rm_real *piece;
            RM_TRY(fill_piece(collector, parameter, row, end, way->values, &piece));
            write_values(collector, piece, (end - row) * width);
        } else if (own.n > 0) {
            RM_TRY(send(collector, way->values + (own.first - way->share.first), (int)own.n,
                        RM_MPI_REAL, way->writer, VALUES_TAG));
        }
    }
    return RINGMOE_OK;
}

static ringmoe_status collect(const rm_collector *collector, const passage *way)
{
    int rank = collector->trainer->mesh->context->world.rank;
    rm_share own = way->share;
    if (rank == way->writer) {
        RM_TRY(receive_shares(collector, way));
        if (own.n < way->parameter->n_elements) return collect_rows(collector, way);
        write_values(collector, way->values, own.n);
        return RINGMOE_OK;
    }
    if (!may_share(collector, way, rank)) return RINGMOE_OK;
    RM_TRY(
        send(collector, (int64_t[]){own.first, own.n}, 2, MPI_INT64_T, way->writer, SHARE_TAG));
    return own.n > 0 ? collect_rows(collector, way) : RINGMOE_OK;
}

static passage begin(const rm_collector *collector, int index, bool of_shards)
{
    const rm_parameter_table *table = rm_model_parameters(collector->trainer->model);
    return (passage){.parameter = &table->parameters[index],
                     .writer = collector->writers->writer[index],
                     .of_shards = of_shards};
}

ringmoe_status rm_collect_weights(rm_collector *collector, int index)
{
    const ringmoe_trainer *trainer = collector->trainer;
    passage way = begin(collector, index, false);
    if (may_share(collector, &way, trainer->mesh->context->world.rank)) {
        way.share.n = rm_own_part(trainer, way.parameter).n_elements;
        way.values = rm_model_weights(trainer->model, way.parameter);
    }
    return collect(collector, &way);
}

ringmoe_status rm_collect_shards(rm_collector *collector, int index, rm_real *const *values)
{
    passage way = begin(collector, index, true);
    way.share = rm_share_of_shards(collector->trainer, way.parameter);
    if (way.share.n > 0)
        way.values = rm_shards_at(collector->trainer, values, way.parameter, way.share.first);
    return collect(collector, &way);
}

/* SPDX-License-Identifier: MIT */
#include "train/transfer.h"

#include <stdlib.h>

#include "base/copy.h"

enum { PIECE_ELEMENTS = 1 << 20, VALUES_TAG = 2001 };

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
    RM_TRY(rm_sharers_init(&collector->sharers, trainer, writers, error));
    collector->shares = calloc(n_ranks, sizeof *collector->shares);
    bool complete = collector->shares;
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
    if (!collector->trainer) return;
    rm_abandon_receives(&collector->trainer->mesh->context->world, collector->n_receives,
                        collector->receives);
    rm_abandon(collector->n_sends, collector->sends);
    rm_sharers_free(&collector->sharers);
    free(collector->piece);
    free(collector->received);
    free(collector->shares);
}

/* --- on their way --------------------------------------------------------------------------
 */

ringmoe_status rm_collect_rest(rm_collector *collector)
{
    static const char what[] = "bringing together a checkpoint";
    const rm_axis *world = &collector->trainer->mesh->context->world;
    int n_receives = collector->n_receives, n_sends = collector->n_sends;
    collector->n_receives = collector->n_sends = 0;
    ringmoe_status received =
        rm_wait_all(world, n_receives, collector->receives, what, collector->error);
    ringmoe_status sent = rm_wait_all(world, n_sends, collector->sends, what, collector->error);
    if (n_receives > 0) rm_stream_arrived(collector->stream);
    return received == RINGMOE_OK ? sent : received;
}

/* The values stay as they are until all have been sent. */
static ringmoe_status send(rm_collector *collector, const rm_real *values, int64_t n, int to)
{
    const rm_axis *world = &collector->trainer->mesh->context->world;
    if (collector->n_sends == RM_COLLECTOR_MOST) RM_TRY(rm_collect_rest(collector));
    int code = MPI_Isend(values, (int)n, RM_MPI_REAL, to, VALUES_TAG, world->comm,
                         &collector->sends[collector->n_sends]);
    RM_TRY(rm_mpi_check(code, "sending a part of a checkpoint", collector->error));
    collector->n_sends++;
    return RINGMOE_OK;
}

/* What comes from one rank comes in the order of the receives. */
static ringmoe_status receive(rm_collector *collector, rm_real *values, int64_t n, int from)
{
    const rm_axis *world = &collector->trainer->mesh->context->world;
    if (collector->n_receives == RM_COLLECTOR_MOST) RM_TRY(rm_collect_rest(collector));
    int code = MPI_Irecv(values, (int)n, RM_MPI_REAL, from, VALUES_TAG, world->comm,
                         &collector->receives[collector->n_receives]);
    RM_TRY(rm_mpi_check(code, "receiving a part of a checkpoint", collector->error));
    collector->n_receives++;
    return RINGMOE_OK;
}

static ringmoe_status receive_now(const rm_collector *collector, rm_real *values, int64_t n,
                                  int from)
{
    static const char what[] = "receiving a part of a checkpoint";
    const rm_axis *world = &collector->trainer->mesh->context->world;
    MPI_Request request = MPI_REQUEST_NULL;
    int code = MPI_Irecv(values, (int)n, RM_MPI_REAL, from, VALUES_TAG, world->comm, &request);
    RM_TRY(rm_mpi_check(code, what, collector->error));
    return rm_wait(world, from, &request, what, collector->error);
}

/* --- a piece -------------------------------------------------------------------------------
 */

/* A parameter on its way. */
typedef struct passage {
    const rm_parameter *parameter;
    int writer;
    rm_share share; /* this rank's */
    const rm_real *values;
} passage;

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
                  const rm_real *values, rm_real *piece)
{
    int n_threads = collector->trainer->mesh->context->compute.n_threads;
    for (int64_t done = 0; done < share.n;) {
        rm_part_run run = rm_part_run_at(parameter, part, share.first + done, share.n - done);
        rm_copy(piece + (run.global - first_row * parameter->shape[1]), values + done,
                run.n * (int64_t)sizeof *values, n_threads);
        done += run.n;
    }
}

/* Another rank's share: into its place in the piece at once if it is one run, and waited for
 * only if it is not, or if `now`. */
static ringmoe_status receive_share(rm_collector *collector, const rm_parameter *parameter,
                                    const rm_parameter_part *part, rm_share share,
                                    int64_t first_row, int from, bool now, rm_real *piece)
{
    rm_part_run run = rm_part_run_at(parameter, part, share.first, share.n);
    rm_real *at = piece + (run.global - first_row * parameter->shape[1]);
    if (run.n == share.n && now) return receive_now(collector, at, share.n, from);
    if (run.n == share.n) return receive(collector, at, share.n, from);
    RM_TRY(receive_now(collector, collector->received, share.n, from));
    place(collector, parameter, part, share, first_row, collector->received, piece);
    return RINGMOE_OK;
}

/* On the writer: all ranks' values of rows [first_row, end_row), its own at `own`. */
static ringmoe_status fill_piece(rm_collector *collector, const rm_parameter *parameter,
                                 int64_t first_row, int64_t end_row, const rm_real *own,
                                 bool now, rm_real *piece)
{
    const ringmoe_mesh *mesh = collector->trainer->mesh;
    ringmoe_mesh_dims dims = ringmoe_mesh_get_dims(mesh);
    for (int rank = 0; rank < mesh->context->world.size; rank++) {
        if (collector->shares[rank].n == 0) continue;
        rm_parameter_part part =
            rm_parameter_part_of(parameter, dims.tensor, rm_mesh_place(&dims, rank).tensor);
        rm_share share = share_of_rows(&part, collector->shares[rank], first_row, end_row);
        if (share.n == 0) continue;
        if (rank == mesh->context->world.rank)
            place(collector, parameter, &part, share, first_row,
                  own + (share.first - collector->shares[rank].first), piece);
        else
            RM_TRY(
                receive_share(collector, parameter, &part, share, first_row, rank, now, piece));
    }
    return RINGMOE_OK;
}

/* Room in the stream for a piece that may arrive later; NULL: there is none. Before this rank
 * waits for its disk, what is on its way arrives. */
static ringmoe_status find_room(rm_collector *collector, int64_t bytes, rm_real **room)
{
    *room = rm_stream_room(collector->stream, bytes, false);
    if (*room) return RINGMOE_OK;
    RM_TRY(rm_collect_rest(collector));
    *room = rm_stream_room(collector->stream, bytes, true);
    return RINGMOE_OK;
}

static void write_values(const rm_collector *collector, const rm_real *values, int64_t n)
{
    const ringmoe_context *context = collector->trainer->mesh->context;
    rm_stream_write(collector->stream, values, n * (int64_t)sizeof *values,
                    context->compute.n_threads);
    rm_progress_tick(context->world.progress);
}

static ringmoe_status write_piece(rm_collector *collector, const passage *way,
                                  int64_t first_row, int64_t end_row)
{
    const rm_parameter *parameter = way->parameter;
    int64_t n = (end_row - first_row) * parameter->shape[1];
    rm_real *room;
    RM_TRY(find_room(collector, n * (int64_t)sizeof *room, &room));
    RM_TRY(fill_piece(collector, parameter, first_row, end_row, way->values, !room,
                      room ? room : collector->piece));
    if (!room) {
        write_values(collector, collector->piece, n);
        return RINGMOE_OK;
    }
    rm_stream_await(collector->stream, n * (int64_t)sizeof *room);
    if (collector->n_receives == 0) rm_stream_arrived(collector->stream);
    rm_progress_tick(collector->trainer->mesh->context->world.progress);
    return RINGMOE_OK;
}

/* Pieces are alike on the writer and on those that send to it. */
static ringmoe_status collect_rows(rm_collector *collector, const passage *way)
{
    const rm_parameter *parameter = way->parameter;
    rm_parameter_part part = rm_own_part(collector->trainer, parameter);
    bool writes = collector->trainer->mesh->context->world.rank == way->writer;
    int64_t width = parameter->shape[1], n_rows = parameter->shape[0];
    int64_t most_rows = width < PIECE_ELEMENTS ? PIECE_ELEMENTS / width : 1;
    for (int64_t row = 0; row < n_rows; row += most_rows) {
        int64_t end = n_rows - row < most_rows ? n_rows : row + most_rows;
        rm_share own = share_of_rows(&part, way->share, row, end);
        if (writes)
            RM_TRY(write_piece(collector, way, row, end));
        else if (own.n > 0)
            RM_TRY(send(collector, way->values + (own.first - way->share.first), own.n,
                        way->writer));
    }
    return RINGMOE_OK;
}

/* On the writer: a parameter of which it has all, which is lent to the stream. */
static ringmoe_status write_own(rm_collector *collector, const passage *way)
{
    int64_t n = way->share.n;
    int64_t bytes = n * (int64_t)sizeof *way->values;
    if (collector->n_receives > 0 && !rm_stream_room(collector->stream, bytes, false))
        RM_TRY(rm_collect_rest(collector));
    const ringmoe_context *context = collector->trainer->mesh->context;
    rm_stream_lend(collector->stream, way->values, bytes, context->compute.n_threads);
    rm_progress_tick(context->world.progress);
    return RINGMOE_OK;
}

static ringmoe_status collect(rm_collector *collector, const passage *way)
{
    int rank = collector->trainer->mesh->context->world.rank;
    if (rank == way->writer && way->share.n == way->parameter->n_elements)
        return write_own(collector, way);
    if (rank == way->writer || way->share.n > 0) return collect_rows(collector, way);
    return RINGMOE_OK;
}

static passage begin(const rm_collector *collector, int index)
{
    const rm_parameter_table *table = rm_model_parameters(collector->trainer->model);
    return (passage){.parameter = &table->parameters[index],
                     .writer = collector->writers->writer[index]};
}

ringmoe_status rm_collect_weights(rm_collector *collector, int index)
{
    const ringmoe_trainer *trainer = collector->trainer;
    const rm_axis *world = &trainer->mesh->context->world;
    ringmoe_mesh_dims dims = ringmoe_mesh_get_dims(trainer->mesh);
    passage way = begin(collector, index);
    for (int rank = 0; rank < world->size && world->rank == way.writer; rank++) {
        rm_parameter_part part =
            rm_parameter_part_of(way.parameter, dims.tensor, rm_mesh_place(&dims, rank).tensor);
        bool shares = rm_may_share_weights(&dims, way.parameter, way.writer, rank);
        collector->shares[rank] = (rm_share){0, shares ? part.n_elements : 0};
    }
    if (rm_may_share_weights(&dims, way.parameter, way.writer, world->rank)) {
        way.share.n = rm_own_part(trainer, way.parameter).n_elements;
        way.values = rm_model_weights(trainer->model, way.parameter);
    }
    return collect(collector, &way);
}

ringmoe_status rm_collect_moments(rm_collector *collector, int index)
{
    const ringmoe_trainer *trainer = collector->trainer;
    rm_real *const *const moments[] = {trainer->optimizer.moments1,
                                       trainer->optimizer.moments2};
    passage way = begin(collector, index);
    way.share = rm_share_of_shards(trainer, way.parameter);
    if (trainer->mesh->context->world.rank == way.writer)
        rm_sharers_next(&collector->sharers, index, collector->shares);
    for (int i = 0; i < 2; i++) {
        if (way.share.n > 0)
            way.values = rm_shards_at(trainer, moments[i], way.parameter, way.share.first);
        RM_TRY(collect(collector, &way));
    }
    return RINGMOE_OK;
}

/* SPDX-License-Identifier: MIT */
#include "train/sharers.h"

#include <stdlib.h>

enum { SHARE_TAG = 2000 };

static bool answers(const rm_parameter *parameter, const ringmoe_mesh_dims *place,
                    const ringmoe_mesh_dims *writer)
{
    return (parameter->slice != RM_SLICE_NONE || place->tensor == 0) &&
           place->pipeline == writer->pipeline;
}

bool rm_may_share_weights(const ringmoe_mesh_dims *dims, const rm_parameter *parameter,
                          int writer, int rank)
{
    ringmoe_mesh_dims place = rm_mesh_place(dims, rank), there = rm_mesh_place(dims, writer);
    return answers(parameter, &place, &there) && place.data == there.data &&
           place.expert == there.expert;
}

bool rm_may_share_moments(const ringmoe_mesh_dims *dims, const rm_parameter *parameter,
                          int writer, int rank)
{
    ringmoe_mesh_dims place = rm_mesh_place(dims, rank), there = rm_mesh_place(dims, writer);
    return answers(parameter, &place, &there) &&
           (parameter->expert_rank < 0 || place.expert == parameter->expert_rank);
}

/* True if a list goes from one rank to the other, and has the parameter in it. */
static bool is_told(const rm_sharers *sharers, int parameter, int from, int to)
{
    ringmoe_mesh_dims dims = ringmoe_mesh_get_dims(sharers->trainer->mesh);
    const rm_parameter_table *table = rm_model_parameters(sharers->trainer->model);
    return from != to && sharers->writers->writer[parameter] == to &&
           rm_may_share_moments(&dims, &table->parameters[parameter], to, from);
}

/* begin[rank + 1]: so many shares go to the rank, and come from it. */
static void count(rm_sharers *sharers, int me)
{
    const rm_writers *writers = sharers->writers;
    for (int k = 0; k < writers->n_written; k++) {
        int i = writers->order[k], writer = writers->writer[i];
        sharers->sent.begin[writer + 1] += is_told(sharers, i, me, writer);
        for (int rank = 0; rank < writers->n_ranks && writer == me; rank++)
            sharers->received.begin[rank + 1] += is_told(sharers, i, rank, me);
    }
}

static bool allocate(rm_share_lists *lists, int n_ranks)
{
    for (int rank = 0; rank < n_ranks; rank++) lists->begin[rank + 1] += lists->begin[rank];
    lists->shares = calloc((size_t)lists->begin[n_ranks] + 1, sizeof *lists->shares);
    return lists->shares;
}

/* What this rank's shards have, for each writer. */
static void fill(rm_sharers *sharers, int me)
{
    const rm_writers *writers = sharers->writers;
    const rm_parameter_table *table = rm_model_parameters(sharers->trainer->model);
    int *next = sharers->next;
    for (int rank = 0; rank < writers->n_ranks; rank++) next[rank] = sharers->sent.begin[rank];
    for (int k = 0; k < writers->n_written; k++) {
        int i = writers->order[k], writer = writers->writer[i];
        if (is_told(sharers, i, me, writer))
            sharers->sent.shares[next[writer]++] =
                rm_share_of_shards(sharers->trainer, &table->parameters[i]);
    }
    for (int rank = 0; rank < writers->n_ranks; rank++)
        next[rank] = sharers->received.begin[rank];
}

ringmoe_status rm_sharers_init(rm_sharers *sharers, const ringmoe_trainer *trainer,
                               const rm_writers *writers, rm_error *error)
{
    int me = trainer->mesh->context->world.rank, n_ranks = writers->n_ranks;
    *sharers = (rm_sharers){.trainer = trainer, .writers = writers};
    sharers->sent.begin = calloc((size_t)n_ranks + 1, sizeof(int));
    sharers->received.begin = calloc((size_t)n_ranks + 1, sizeof(int));
    sharers->next = calloc((size_t)n_ranks, sizeof(int));
    bool complete = sharers->sent.begin && sharers->received.begin && sharers->next;
    if (complete) {
        count(sharers, me);
        complete = allocate(&sharers->sent, n_ranks) && allocate(&sharers->received, n_ranks);
    }
    if (!complete)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the shares of %d tensors",
                       writers->n_written);
    fill(sharers, me);
    return RINGMOE_OK;
}

/* Shares are pairs of int64_t. */
static ringmoe_status post(const rm_axis *world, const rm_share_lists *lists, int rank,
                           bool sends, MPI_Request *request, rm_error *error)
{
    rm_share *shares = lists->shares + lists->begin[rank];
    int n = 2 * (lists->begin[rank + 1] - lists->begin[rank]);
    int code = MPI_SUCCESS;
    *request = MPI_REQUEST_NULL;
    if (n > 0 && sends)
        code = MPI_Isend(shares, n, MPI_INT64_T, rank, SHARE_TAG, world->comm, request);
    else if (n > 0)
        code = MPI_Irecv(shares, n, MPI_INT64_T, rank, SHARE_TAG, world->comm, request);
    return rm_mpi_check(code, "learning the parts of a checkpoint", error);
}

ringmoe_status rm_sharers_exchange(rm_sharers *sharers, rm_error *error)
{
    const rm_axis *world = &sharers->trainer->mesh->context->world;
    ringmoe_status status = RINGMOE_OK;
    for (int turn = 0; turn < world->size && status == RINGMOE_OK; turn++) {
        MPI_Request requests[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
        int to = (world->rank + turn) % world->size;
        int from = (world->rank - turn + world->size) % world->size;
        status = post(world, &sharers->received, from, false, &requests[0], error);
        if (status == RINGMOE_OK)
            status = post(world, &sharers->sent, to, true, &requests[1], error);
        ringmoe_status waited =
            rm_wait_all(world, 2, requests, "learning the parts of a checkpoint", error);
        if (status == RINGMOE_OK) status = waited;
    }
    return status;
}

void rm_sharers_next(rm_sharers *sharers, int parameter, rm_share *shares)
{
    const rm_parameter_table *table = rm_model_parameters(sharers->trainer->model);
    int me = sharers->trainer->mesh->context->world.rank;
    for (int rank = 0; rank < sharers->writers->n_ranks; rank++) {
        shares[rank] = (rm_share){0, 0};
        if (rank == me)
            shares[rank] = rm_share_of_shards(sharers->trainer, &table->parameters[parameter]);
        else if (is_told(sharers, parameter, rank, me))
            shares[rank] = sharers->received.shares[sharers->next[rank]++];
    }
}

void rm_sharers_free(rm_sharers *sharers)
{
    free(sharers->sent.begin);
    free(sharers->sent.shares);
    free(sharers->received.begin);
    free(sharers->received.shares);
    free(sharers->next);
    *sharers = (rm_sharers){0};
}

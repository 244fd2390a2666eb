/* SPDX-License-Identifier: MIT */
#include "train/transfer.h"

#include <stdlib.h>

enum { PIECE_ELEMENTS = 1 << 20, TRANSFER_TAG = 2000 };

ringmoe_status rm_collector_init(rm_collector *collector, const rm_axis *axis, rm_error *error)
{
    *collector = (rm_collector){.axis = axis, .error = error};
    if (axis->rank != 0) return RINGMOE_OK;
    collector->buffer = malloc(PIECE_ELEMENTS * sizeof *collector->buffer);
    if (collector->buffer) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a piece of a checkpoint");
}

void rm_collector_free(rm_collector *collector)
{
    free(collector->buffer);
    rm_safetensors_abandon(&collector->writer);
}

static void write_piece(rm_collector *collector, const rm_real *values, int64_t n)
{
    if (collector->status == RINGMOE_OK)
        collector->status = rm_safetensors_append(
            collector->writer, values, n * (int64_t)sizeof *values, collector->error);
}

static ringmoe_status send_piece(rm_collector *collector, const rm_real *values, int64_t n)
{
    MPI_Request request;
    rm_error *error = collector->error;
    RM_TRY(rm_mpi_check(MPI_Isend(values, (int)n, RM_MPI_REAL, 0, TRANSFER_TAG,
                                  collector->axis->comm, &request),
                        "sending a part of a checkpoint", error));
    return rm_wait(collector->axis, 0, &request, "sending a part of a checkpoint", error);
}

static ringmoe_status receive_piece(rm_collector *collector, int owner, int64_t n)
{
    MPI_Request request;
    rm_error *error = collector->error;
    RM_TRY(rm_mpi_check(MPI_Irecv(collector->buffer, (int)n, RM_MPI_REAL, owner, TRANSFER_TAG,
                                  collector->axis->comm, &request),
                        "receiving a part of a checkpoint", error));
    return rm_wait(collector->axis, owner, &request, "receiving a part of a checkpoint", error);
}

ringmoe_status rm_collect(rm_collector *collector, int owner, const rm_real *values, int64_t n)
{
    int rank = collector->axis->rank;
    if (rank != 0 && rank != owner) return RINGMOE_OK;
    if (owner == 0) {
        write_piece(collector, values, n);
        return RINGMOE_OK;
    }
    for (int64_t done = 0; done < n; done += PIECE_ELEMENTS) {
        int64_t count = n - done < PIECE_ELEMENTS ? n - done : PIECE_ELEMENTS;
        if (rank == owner) {
            RM_TRY(send_piece(collector, values + done, count));
        } else {
            RM_TRY(receive_piece(collector, owner, count));
            write_piece(collector, collector->buffer, count);
        }
    }
    return RINGMOE_OK;
}

ringmoe_status rm_collect_weights(rm_collector *collector, const ringmoe_trainer *trainer,
                                  const rm_parameter *parameter)
{
    int owner = parameter->expert_rank < 0 ? 0 : parameter->expert_rank;
    const rm_real *values = NULL;
    if (collector->axis->rank == owner)
        values = rm_model_space(trainer->model, parameter->space) + parameter->offset;
    return rm_collect(collector, owner, values, parameter->n_elements);
}

/* Ranks along the space's axis have one part each, in order. */
ringmoe_status rm_collect_shards(rm_collector *collector, const ringmoe_trainer *trainer,
                                 rm_real *const values[RM_N_SPACES],
                                 const rm_parameter *parameter)
{
    const ringmoe_mesh *mesh = trainer->mesh;
    const rm_shard *shard = &trainer->shards[parameter->space];
    bool dense = parameter->space == RM_SPACE_DENSE;
    int n_parts = rm_space_axis(mesh, parameter->space)->size;
    for (int part = 0; part < n_parts; part++) {
        int owner = dense ? part : part * mesh->expert.size + parameter->expert_rank;
        rm_range range = rm_shard_overlap(shard, part, parameter);
        const rm_real *from = NULL;
        if (collector->axis->rank == owner)
            from = values[parameter->space] + (range.first - shard->first);
        RM_TRY(rm_collect(collector, owner, from, range.n_elements));
    }
    return RINGMOE_OK;
}

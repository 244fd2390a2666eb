/* SPDX-License-Identifier: MIT */
#include "comm/context.h"

ringmoe_status rm_axis_init(rm_axis *axis, MPI_Comm comm, int first, int stride,
                            rm_error *error)
{
    *axis = (rm_axis){.comm = comm, .size = 1, .first = first, .stride = stride};
    if (comm == MPI_COMM_NULL) return RINGMOE_OK;
    RM_TRY(rm_mpi_check(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN),
                        "MPI_Comm_set_errhandler", error));
    RM_TRY(rm_mpi_check(MPI_Comm_size(comm, &axis->size), "MPI_Comm_size", error));
    RM_TRY(rm_mpi_check(MPI_Comm_rank(comm, &axis->rank), "MPI_Comm_rank", error));
    return RINGMOE_OK;
}

void rm_axis_join(rm_axis *axis, ringmoe_context *context)
{
    axis->progress = &context->progress;
    axis->nodes = context->nodes;
    axis->node_ranks = context->node_ranks;
}

void rm_axis_free(rm_axis *axis)
{
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (axis->size && axis->comm != MPI_COMM_NULL && !finalized) MPI_Comm_free(&axis->comm);
    *axis = (rm_axis){.comm = MPI_COMM_NULL};
}

int rm_axis_member(const rm_axis *axis, int rank)
{
    return axis->first + rank * axis->stride;
}

int rm_axis_node(const rm_axis *axis, int rank)
{
    return axis->nodes[rm_axis_member(axis, rank)];
}

/* SPDX-License-Identifier: MIT
 *
 * Messages between ranks, by MPI's own second names: a rank may die as it begins one. MPI is
 * not linked; a program without it never gets here.
 */
#include <mpi.h>

#include "inject.h"

int MPI_Isend(const void *data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm,
              MPI_Request *request)
{
    inject_strikes(INJECT_MESSAGE, __builtin_return_address(0));
    return PMPI_Isend(data, count, type, to, tag, comm, request);
}

int MPI_Iallreduce(const void *from, void *to, int count, MPI_Datatype type, MPI_Op op,
                   MPI_Comm comm, MPI_Request *request)
{
    inject_strikes(INJECT_MESSAGE, __builtin_return_address(0));
    return PMPI_Iallreduce(from, to, count, type, op, comm, request);
}

int MPI_Ialltoall(const void *from, int n_from, MPI_Datatype from_type, void *to, int n_to,
                  MPI_Datatype to_type, MPI_Comm comm, MPI_Request *request)
{
    inject_strikes(INJECT_EXCHANGE, __builtin_return_address(0));
    inject_strikes(INJECT_MESSAGE, __builtin_return_address(0));
    return PMPI_Ialltoall(from, n_from, from_type, to, n_to, to_type, comm, request);
}

int MPI_Ibcast(void *data, int count, MPI_Datatype type, int root, MPI_Comm comm,
               MPI_Request *request)
{
    inject_strikes(INJECT_MESSAGE, __builtin_return_address(0));
    return PMPI_Ibcast(data, count, type, root, comm, request);
}

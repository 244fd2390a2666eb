/* SPDX-License-Identifier: MIT
 *
 * Which ranks share a node: those whose memory MPI says they can share. Nodes are numbered in
 * the order of their first ranks.
 */
#include "comm/context.h"

#include <stdlib.h>

/* The lowest rank of the context on this node. */
static ringmoe_status first_on_node(const rm_axis *world, int *first, rm_error *error)
{
    MPI_Comm node;
    RM_TRY(rm_mpi_check(MPI_Comm_split_type(world->comm, MPI_COMM_TYPE_SHARED, world->rank,
                                            MPI_INFO_NULL, &node),
                        "MPI_Comm_split_type", error));
    *first = world->rank;
    int code = MPI_Bcast(first, 1, MPI_INT, 0, node);
    MPI_Comm_free(&node);
    return rm_mpi_check(code, "MPI_Bcast within a node", error);
}

/* First ranks become numbers: 0 0 2 2 0 -> 0 0 1 1 0. Returns how many nodes there are. */
static int number_nodes(int *nodes, int n_ranks)
{
    int n_nodes = 0;
    for (int rank = 0; rank < n_ranks; rank++)
        nodes[rank] = nodes[rank] == rank ? n_nodes++ : nodes[nodes[rank]];
    return n_nodes;
}

ringmoe_status rm_nodes_find(ringmoe_context *context, int ranks_per_node)
{
    const rm_axis *world = &context->world;
    rm_error *error = &context->error;
    int64_t pretended = ranks_per_node;
    RM_TRY(rm_agree_equal(world, &pretended, 1, "ranks_per_node", error));
    context->nodes = calloc((size_t)world->size, sizeof *context->nodes);
    ringmoe_status status = RINGMOE_OK;
    if (!context->nodes)
        status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the nodes of %d ranks",
                         world->size);
    RM_TRY(rm_agree(world, status, error));
    if (ranks_per_node > 0)
        context->nodes[world->rank] = world->rank / ranks_per_node * ranks_per_node;
    else
        RM_TRY(first_on_node(world, &context->nodes[world->rank], error));
    RM_TRY(rm_allreduce(world, context->nodes, world->size, MPI_INT, MPI_MAX, error));
    context->n_nodes = number_nodes(context->nodes, world->size);
    context->node_ranks = 0;
    for (int rank = 0; rank < world->size; rank++)
        context->node_ranks += context->nodes[rank] == context->nodes[world->rank];
    rm_axis_join(&context->world, context);
    return RINGMOE_OK;
}

/* SPDX-License-Identifier: MIT */
#ifndef RM_MESH_H
#define RM_MESH_H

#include <ringmoe/mesh.h>

#include "comm/context.h"

/* What all ranks must agree on is agreed on over context->world. */
struct ringmoe_mesh {
    ringmoe_context *context;
    rm_axis pipeline; /* P ranks, one of each stage: a microbatch passes through them */
    rm_axis dense;    /* D*E ranks that hold the same dense weights; rank = data * E + expert */
    rm_axis data;     /* D ranks that hold the same experts */
    rm_axis expert;   /* E ranks that share one replica of the experts */
    rm_axis tensor;   /* T ranks that share every matrix; they compute the same tokens */
};

/* Fills in the sizes of `dims` that are 0 and checks the rest, as ringmoe_mesh_create says.
 * Pure. */
ringmoe_status rm_mesh_choose(int n_ranks, int n_experts, ringmoe_mesh_dims *dims,
                              rm_error *error);

/* The coordinates of a rank of the context. Pure. */
ringmoe_mesh_dims rm_mesh_place(const ringmoe_mesh_dims *dims, int rank);
/* The rank at coordinates. Pure. */
int rm_mesh_rank(const ringmoe_mesh_dims *dims, const ringmoe_mesh_dims *place);

/* Of n things split as evenly as can be over `ranks`, those of rank `rank`: [*first, *first +
 * count), count is returned. Experts over E; heads, inner columns, vocabulary over T. */
int64_t rm_split(int64_t n, int ranks, int rank, int64_t *first);

/* The experts of expert rank `rank`: [*first, *first + count), count is returned. */
int rm_mesh_experts(int n_experts, int expert_ranks, int rank, int *first);

#endif

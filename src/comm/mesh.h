/* SPDX-License-Identifier: MIT */
#ifndef RM_MESH_H
#define RM_MESH_H

#include <ringmoe/mesh.h>

#include "comm/context.h"

struct ringmoe_mesh {
    ringmoe_context *context;
    rm_axis dense;  /* all D*E ranks: the data axis of dense layers; rank = data * E + expert.
                       The  context's own axis, which the context frees */
    rm_axis expert; /* E ranks that share one replica of the experts */
    rm_axis data;   /* D ranks that hold the same experts */
};

/* Fills in the sizes of `dims` that are 0 and checks the rest, as ringmoe_mesh_create says.
 * Pure. */
ringmoe_status rm_mesh_choose(int n_ranks, int n_experts, ringmoe_mesh_dims *dims,
                              rm_error *error);

/* The experts of expert rank `rank`: [*first, *first + count), count is returned. */
int rm_mesh_experts(int n_experts, int expert_ranks, int rank, int *first);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef RM_MESH_H
#define RM_MESH_H

#include <ringmoe/mesh.h>

#include "comm/context.h"

struct ringmoe_mesh {
    ringmoe_context *context;
    rm_axis dense;  /* all D*E ranks: the data axis of dense layers; rank = data * E + expert */
    rm_axis expert; /* E ranks that share one replica of the experts */
    rm_axis data;   /* D ranks that hold the same experts */
};

/* The experts of expert rank `rank`: [*first, *first + count), count is returned. */
int rm_mesh_experts(int n_experts, int expert_ranks, int rank, int *first);

#endif

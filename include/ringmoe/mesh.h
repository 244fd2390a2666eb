/* SPDX-License-Identifier: MIT
 *
 * The mesh: how the ranks of a context are laid out over the axes of parallelism.
 *
 *   rank = data * E + expert      (experts innermost: ranks of one node share them)
 *
 * Dense layers see D*E as their data axis: each rank has its own microbatches and a replica of
 * the dense weights. Expert weights are split over E and replicated over D. This is the
 * sharding of arXiv 2405.15052 with its model axis at 1.
 */
#ifndef RINGMOE_MESH_H
#define RINGMOE_MESH_H

#include <ringmoe/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ringmoe_mesh ringmoe_mesh;

typedef struct ringmoe_mesh_dims {
    int data;   /**< D, replicas of the experts; 0: chosen so that D*E = ranks */
    int expert; /**< E, ranks the experts are split over; 0: chosen so that D*E = ranks */
} ringmoe_mesh_dims;

/**
 * Lays the context's ranks out. Collective.
 *   dims       in   NULL or both 0: E is the largest number that divides both the ranks and
 *                   n_experts (1 without experts), D the rest. One 0: it follows from the other
 *   n_experts  in   experts to be split; 0 if there are none, or not known
 *   mesh       out  destroy before the context
 * Returns OK; ARGUMENT (a negative number); LAYOUT (D*E is not the number of ranks; n_experts
 * not divisible by E; more expert ranks than experts); MISMATCH (ranks gave different numbers);
 * MEMORY; MPI. The same on all ranks.
 */
RINGMOE_API ringmoe_status ringmoe_mesh_create(ringmoe_context *context,
                                               const ringmoe_mesh_dims *dims, int n_experts,
                                               ringmoe_mesh **mesh);

/** Frees a mesh. Collective. NULL or *mesh NULL: nothing. */
RINGMOE_API void ringmoe_mesh_destroy(ringmoe_mesh **mesh);

/** The sizes of the axes. Local. */
RINGMOE_API ringmoe_mesh_dims ringmoe_mesh_get_dims(const ringmoe_mesh *mesh);
/** This rank's coordinates on the axes. Local. */
RINGMOE_API ringmoe_mesh_dims ringmoe_mesh_get_coordinates(const ringmoe_mesh *mesh);
/** The context the mesh was made from. Local. */
RINGMOE_API ringmoe_context *ringmoe_mesh_get_context(const ringmoe_mesh *mesh);

#ifdef __cplusplus
}
#endif
#endif

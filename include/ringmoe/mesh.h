/* SPDX-License-Identifier: MIT
 *
 * The mesh: how the ranks of a context are laid out over the four axes of parallelism.
 *
 *   rank = ((pipeline * D + data) * E + expert) * T + tensor
 *
 *   pipeline  P  stages of the layers; activations travel round the ring of stages
 *   data      D  replicas of the experts
 *   expert    E  ranks that the experts are split over
 *   tensor    T  ranks that share the inner dimension of each expert, the attention heads, the
 *                dense feed-forward and the vocabulary
 *
 * The innermost axes lie within a node. Dense layers see D*E as their data axis: each of these
 * ranks has its own microbatches and a replica of the dense weights. Expert weights are split
 * over E and T and replicated over D. This is the sharding of arXiv 2405.15052 with a pipeline
 * around it.
 */
#ifndef RINGMOE_MESH_H
#define RINGMOE_MESH_H

#include <ringmoe/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ringmoe_mesh ringmoe_mesh;

typedef struct ringmoe_mesh_dims {
    int pipeline; /**< P; 0: 1 */
    int data;     /**< D; 0: chosen so that P*D*E*T = ranks */
    int expert;   /**< E; 0: chosen so that P*D*E*T = ranks */
    int tensor;   /**< T; 0: 1 */
} ringmoe_mesh_dims;

/**
 * Lays the context's ranks out. Collective.
 *   dims       in   NULL: all 0. A size of 0 is chosen: P and T are 1; of what P and T leave, E
 *                   is the largest number that divides both it and n_experts (1 without
 *                   experts), D the rest; with one of D and E given, the other follows
 *   n_experts  in   experts to be split; 0 if there are none, or not known
 *   mesh       out  destroy before the context
 * Returns OK; ARGUMENT (a negative number); LAYOUT (P*D*E*T is not the number of ranks;
 * n_experts not divisible by E; more expert ranks than experts); MISMATCH (ranks gave different
 * numbers); MEMORY; MPI. The same on all ranks.
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

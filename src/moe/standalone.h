/* SPDX-License-Identifier: MIT
 *
 * The inside of the public layer: what a transformer's model and trainer do for its layers, for
 * one layer alone. Parameters lie in two flat spaces, as do their gradients and the leaves of
 * their reduction trees:
 *
 *   dense    router | router noise | shared expert: gate, up, down | shared gate     every rank
 *   expert   of each expert of this rank: gate, up, down                             E ranks
 *
 * Of gate and up a tensor rank has some rows, of down the same columns; the rest they all have.
 */
#ifndef RM_STANDALONE_H
#define RM_STANDALONE_H

#include "comm/tree.h"
#include "moe/saved.h"

enum { RM_MOE_DENSE = 0, RM_MOE_EXPERT = 1, RM_MOE_SPACES = 2, RM_MOE_NAME_BYTES = 64 };

typedef struct rm_moe_parameter {
    char name[RM_MOE_NAME_BYTES];
    int n_dims;
    int64_t shape[2];           /* of this rank's part, */
    int64_t first[2], whole[2]; /* where it begins, and all of it */
    int space;
    int64_t offset, n_elements;
} rm_moe_parameter;

/* One flat space: values, the reduced gradients, and the tree that sums them over the ranks of
 * an axis, `bounds` giving the part that each finishes. */
typedef struct rm_moe_space {
    int64_t n_elements;
    const rm_axis *axis;
    rm_real *values, *gradients;
    rm_tree *tree;
    int64_t *bounds; /* [axis->size + 1] */
    int n_sources;
    rm_sink *leaves; /* [n_sources], of the microbatch in work */
} rm_moe_space;

struct ringmoe_moe {
    ringmoe_mesh *mesh;
    ringmoe_moe_settings settings;
    int n_local;

    rm_moe_parameter *parameters; /* gradients' owners first, the selection bias last */
    int n_parameters;
    rm_moe_space spaces[RM_MOE_SPACES];

    rm_arena arena;
    rm_shared *shared; /* NULL on one expert rank */
    rm_moe_weights weights;
    rm_matrix **matrices;
    int n_matrices;
    rm_moe_saved *saved;
    rm_moe_sinks sinks;

    int64_t step;
    int microbatch;    /* of this rank, within the step: pairs done */
    bool forward_done; /* a backward pass may follow, of: */
    rm_moe_pass pass;
    const rm_real *x;
    int64_t *pass_counts; /* [n_experts] each: choices of that forward pass, */
    int64_t *step_counts; /* of this rank's microbatches so far, */
    int64_t *last_counts; /* and of the whole previous global batch */
};

/* Names, shapes and offsets, and the size of each space. MEMORY. */
ringmoe_status rm_moe_parameters_create(ringmoe_moe *layer);
/* Points the weights at the spaces' values; initial values. */
void rm_moe_parameters_bind(ringmoe_moe *layer);
void rm_moe_parameters_initialize(ringmoe_moe *layer);
/* Points the sinks at the spaces' leaves. */
void rm_moe_parameters_bind_sinks(ringmoe_moe *layer);

#endif

/* SPDX-License-Identifier: MIT
 *
 * A tied head: the last stage has a copy of the embedding to multiply with, and a gradient of
 * its own for it. Both gradients are reduced over their ranks like any others; then the head's
 * total is added to the embedding's, shard by shard, and after the update the embedding's
 * weights are copied back:
 *
 *   head's total       |-- rank 0 of the last stage --|---- rank 1 ----|
 *                              |               |   |          |            pieces that overlap
 *   embedding's total  |- rank 0 of the first stage -|----- rank 1 ----|
 */
#ifndef RM_TIED_H
#define RM_TIED_H

#include "train/gradients.h"

typedef struct rm_tied {
    const ringmoe_mesh *mesh;
    const rm_parameter *embedding, *head; /* NULL: the head is not tied, or there is none */
    int last_rank; /* of the pipeline axis, which has the head; rank 0 has the embedding */
    rm_shard embedding_shard, head_shard; /* the same bounds on all ranks */
    rm_real *received;                    /* for this rank's shard of the embedding */
    MPI_Request *requests;
    rm_matrix *matrix; /* the head, on a rank that has it */
} rm_tied;

ringmoe_status rm_tied_create(rm_tied *tied, const ringmoe_model *model, int n_stages,
                              bool reproducible, rm_error *error);
void rm_tied_free(rm_tied *tied);

/* embedding's total += head's total. Collective over all ranks. */
ringmoe_status rm_tied_add_totals(const rm_tied *tied, const ringmoe_model *model,
                                  const rm_gradients *gradients);
/* head = embedding, and packed. Collective over all ranks. */
ringmoe_status rm_tied_copy_weights(const rm_tied *tied, ringmoe_model *model);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Tensors whose parts lie on several ranks, brought to rank 0 and into a file piece by piece.
 */
#ifndef RM_TRANSFER_H
#define RM_TRANSFER_H

#include "format/safetensors.h"
#include "train/trainer.h"

/* The dtype of rm_real in a file. */
#ifdef RINGMOE_DOUBLE
#define RM_DTYPE_REAL RM_DTYPE_F64
#else
#define RM_DTYPE_REAL RM_DTYPE_F32
#endif

/* Where the pieces go. Rank 0 has a writer; a failure of writing is kept here, and the pieces
 * that follow are dropped, so that the ranks that send them need not know of it. */
typedef struct rm_collector {
    const rm_axis *axis; /* all ranks */
    rm_safetensors_writer *writer;
    rm_real *buffer; /* of a piece; on rank 0 */
    ringmoe_status status;
    rm_error *error;
} rm_collector;

ringmoe_status rm_collector_init(rm_collector *collector, const rm_axis *axis, rm_error *error);
void rm_collector_free(rm_collector *collector);

/* `n` values of rank `owner`, where they are at `values`, to the file. Collective in that the
 * owner and rank 0 must call it alike; others may. Returns failures of MPI alone. */
ringmoe_status rm_collect(rm_collector *collector, int owner, const rm_real *values, int64_t n);

/* A whole parameter from the weights, of which a rank of data coordinate 0 has all. */
ringmoe_status rm_collect_weights(rm_collector *collector, const ringmoe_trainer *trainer,
                                  const rm_parameter *parameter);
/* Its values in arrays that are spread as the shards are: `values` are this rank's shards. */
ringmoe_status rm_collect_shards(rm_collector *collector, const ringmoe_trainer *trainer,
                                 rm_real *const values[RM_N_SPACES],
                                 const rm_parameter *parameter);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Tensors whose elements lie on several ranks, brought to rank 0 and into a file piece by
 * piece. A piece is some whole rows; each rank that answers for elements of them sends those,
 * and rank 0 puts them where they belong:
 *
 *   rows of the piece | rank 2: columns 0..3  | rank 3: columns 4..7  |
 *                     |-- rank 4's shard, from here ...  | rank 5's --|
 *
 * How the ranks share a tensor rank 0 learns from the ranks themselves, so it need not know
 * the stages and shards of others.
 */
#ifndef RM_TRANSFER_H
#define RM_TRANSFER_H

#include "format/safetensors.h"
#include "train/shares.h"

/* The dtype of rm_real in a file. */
#ifdef RINGMOE_DOUBLE
#define RM_DTYPE_REAL RM_DTYPE_F64
#else
#define RM_DTYPE_REAL RM_DTYPE_F32
#endif

/* Where the pieces go. Rank 0 has a writer; a failure of writing is kept here, and the pieces
 * that follow are dropped, so that the ranks that send them need not know of it. */
typedef struct rm_collector {
    const ringmoe_trainer *trainer;
    rm_safetensors_writer *writer;
    rm_real *piece, *received; /* on rank 0, as is what follows */
    rm_share *shares;          /* [ranks], of the parameter at hand */
    ringmoe_status status;
    rm_error *error;
} rm_collector;

ringmoe_status rm_collector_init(rm_collector *collector, const ringmoe_trainer *trainer,
                                 rm_error *error);
void rm_collector_free(rm_collector *collector);

/* A parameter's values to the file, of which this rank answers for `share`, at `values`.
 * Together the shares of all ranks are every element once. Collective. Returns failures of MPI
 * alone. */
ringmoe_status rm_collect(rm_collector *collector, const rm_parameter *parameter,
                          rm_share share, const rm_real *values);
/* Values that rank 0 has. */
void rm_collect_own(rm_collector *collector, const rm_real *values, int64_t n);

#endif

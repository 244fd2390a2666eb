/* SPDX-License-Identifier: MIT
 *
 * Parameters whose elements lie on several ranks, brought to the rank that writes them and into
 * its stream piece by piece. A piece is some whole rows; each rank that answers for elements of
 * them sends those, and the writer puts them where they belong:
 *
 *   rows of the piece | rank 2: columns 0..3  | rank 3: columns 4..7  |
 *                     |-- rank 4's shard, from here ...  | rank 5's --|
 *
 * How large the shares are the writer learns from the ranks that may have some. Of weights
 * those are the ones that share the writer's matrices, of moments all with the parameter's
 * stage and experts.
 */
#ifndef RM_TRANSFER_H
#define RM_TRANSFER_H

#include "base/stream.h"
#include "train/shares.h"
#include "train/writers.h"

typedef struct rm_collector {
    const ringmoe_trainer *trainer;
    const rm_writers *writers;
    rm_stream *stream; /* NULL on a rank that writes nothing */
    rm_real *piece, *received;
    rm_share *shares;      /* [ranks], of the parameter at hand, as are the requests */
    MPI_Request *requests; /* [ranks] */
    rm_error *error;
} rm_collector;

ringmoe_status rm_collector_init(rm_collector *collector, const ringmoe_trainer *trainer,
                                 const rm_writers *writers, rm_stream *stream, rm_error *error);
void rm_collector_free(rm_collector *collector);

/* A parameter's weights, or what the ranks' shards have of it in arrays that are spread as they
 * are (`values`, one array a space), to its writer's stream. Collective over the ranks that
 * hold the parameter; others return at once. Returns failures of MPI alone. */
ringmoe_status rm_collect_weights(rm_collector *collector, int parameter);
ringmoe_status rm_collect_shards(rm_collector *collector, int parameter,
                                 rm_real *const *values);

#endif

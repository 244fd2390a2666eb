/* SPDX-License-Identifier: MIT
 *
 * Parameters whose elements lie on several ranks, brought to the rank that writes them and into
 * its stream piece by piece. A piece is some whole rows; each rank that answers for elements of
 * them sends those, and the writer puts them where they belong:
 *
 *   rows of the piece | rank 2: columns 0..3  | rank 3: columns 4..7  |
 *                     |-- rank 4's shard, from here ...  | rank 5's --|
 *
 * Many pieces are on their way at a time: those that are sent stay where they are, and those
 * that come go straight into the stream's ring, as far as it has room. Pieces are in one order
 * on all ranks, so whoever waits for the earliest of them does not wait in vain.
 */
#ifndef RM_TRANSFER_H
#define RM_TRANSFER_H

#include "base/stream.h"
#include "train/sharers.h"

/* Messages on their way, of each direction. */
enum { RM_COLLECTOR_MOST = 64 };

typedef struct rm_collector {
    const ringmoe_trainer *trainer;
    const rm_writers *writers;
    rm_stream *stream; /* NULL on a rank that writes nothing */
    rm_sharers sharers;
    rm_real *piece, *received; /* where the ring has no room in one piece */
    rm_share *shares;          /* [ranks], of the parameter at hand */
    MPI_Request receives[RM_COLLECTOR_MOST], sends[RM_COLLECTOR_MOST];
    int n_receives, n_sends;
    rm_error *error;
} rm_collector;

/* To be freed, also after a failure. */
ringmoe_status rm_collector_init(rm_collector *collector, const ringmoe_trainer *trainer,
                                 const rm_writers *writers, rm_stream *stream, rm_error *error);
void rm_collector_free(rm_collector *collector);

/* A parameter's weights, or its moments, to its writer's stream, in the writers' order.
 * Collective over the ranks that hold the parameter; others return at once. The moments of the
 * first one come after rm_sharers_exchange. Values must not change before rm_collect_rest.
 * Returns failures of MPI alone. */
ringmoe_status rm_collect_weights(rm_collector *collector, int parameter);
ringmoe_status rm_collect_moments(rm_collector *collector, int parameter);
/* Waits for all that is on its way. */
ringmoe_status rm_collect_rest(rm_collector *collector);

#endif

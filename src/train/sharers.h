/* SPDX-License-Identifier: MIT
 *
 * Who has a part of a parameter that another rank writes. Of weights those share the writer's
 * matrices, and their parts are known; of moments they are all with the parameter's stage and
 * experts, and how much of it their shards have the writer learns from them, for all its
 * parameters by one message each:
 *
 *   rank 3 to writer 0 | share of parameter 0 | of parameter 2 | ...   in the writers' order
 */
#ifndef RM_SHARERS_H
#define RM_SHARERS_H

#include "train/shares.h"
#include "train/writers.h"

/* Shares to or from each rank, in the writers' order. */
typedef struct rm_share_lists {
    int *begin;       /* [ranks + 1]: in shares */
    rm_share *shares; /* [begin[ranks]] */
} rm_share_lists;

typedef struct rm_sharers {
    const ringmoe_trainer *trainer;
    const rm_writers *writers;
    rm_share_lists sent, received;
    int *next; /* [ranks]: of received, the next one */
} rm_sharers;

/* True if the rank has a part of the weights, resp. may have one of the moments, that `writer`
 * writes. A parameter that is not cut lies on all tensor ranks, of which the first answers. */
bool rm_may_share_weights(const ringmoe_mesh_dims *dims, const rm_parameter *parameter,
                          int writer, int rank);
bool rm_may_share_moments(const ringmoe_mesh_dims *dims, const rm_parameter *parameter,
                          int writer, int rank);

/* MEMORY. To be freed, also after a failure. */
ringmoe_status rm_sharers_init(rm_sharers *sharers, const ringmoe_trainer *trainer,
                               const rm_writers *writers, rm_error *error);
/* Collective. Returns failures of MPI alone. */
ringmoe_status rm_sharers_exchange(rm_sharers *sharers, rm_error *error);
/* On its writer, in the writers' order: all ranks' shares of a parameter's moments. */
void rm_sharers_next(rm_sharers *sharers, int parameter, rm_share *shares);
void rm_sharers_free(rm_sharers *sharers);

#endif

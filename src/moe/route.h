/* SPDX-License-Identifier: MIT
 *
 * The route plan: which row of which buffer a choice is, on its way to the expert and back.
 *
 *   this rank's choices          (t, j)          token t, its j-th expert
 *   send order                   by expert, then token: so by rank of the expert first
 *   received order               by source rank, then expert, then token
 *   expert order                 by expert, then source rank, then token: the rows of an expert
 *                                lie together, in the global order of their tokens
 *
 *   rank 0 sends  | e0: t1 t4 | e1: t0 | e2: t1 | e3: t0 t4 |        e0, e1 live on rank 0
 *                   to rank 0 ---------  to rank 1 ----------        e2, e3 on rank 1
 *   rank 1 receives  from 0: | e2: t1 | e3: t0 t4 |   from 1: | e2: t7 t9 | e3: t8 |
 *   expert order             | e2: t1 (0)  t7 t9 (1) | e3: t0 t4 (0)  t8 (1) |
 *
 * On one expert rank the three orders are the same and nothing is copied.
 */
#ifndef RM_ROUTE_H
#define RM_ROUTE_H

#include "moe/router.h"

typedef struct rm_route_plan {
    int64_t n_sent;       /* choices that go to an expert */
    int64_t n_dropped;    /* and those that do not */
    int32_t *slots;       /* [T*k], row of choice (t, j) in send order; -1: dropped */
    int32_t *tokens;      /* [n_sent], token of each row in send order */
    int32_t *send_counts; /* [n_experts] */
    int64_t *send_rows;   /* [ranks], rows for each rank */

    int64_t n_received, max_received;
    int32_t *recv_counts; /* [ranks][n_local] */
    int64_t *recv_rows;   /* [ranks], rows from each rank */
    int64_t *offsets;     /* [n_local + 1], rows of each expert in expert order */
    int64_t *run_rows;    /* [n_local][ranks], rows of each source within an expert */
    int32_t *order;       /* [n_received], expert order -> received order; NULL on one rank */

    int32_t *workspace; /* of the count exchange */
} rm_route_plan;

/* Room for max_tokens tokens of this rank and max_received rows of all ranks. */
void rm_route_layout(rm_route_plan *plan, const ringmoe_moe_settings *settings,
                     int expert_ranks, int64_t max_received, rm_arena *arena);

/* Most choices an expert takes of a microbatch of n_tokens; INT64_MAX when dropless. */
int64_t rm_route_capacity(const ringmoe_moe_settings *settings, int64_t n_tokens);

/* The sending half, from the routing. */
void rm_route_plan_send(rm_route_plan *plan, const ringmoe_moe_settings *settings,
                        int expert_ranks, const rm_routing *routing);
/* The receiving half, once recv_counts are known. ARGUMENT if they exceed max_received. */
ringmoe_status rm_route_plan_receive(rm_route_plan *plan, int expert_ranks, int n_local,
                                     rm_error *error);

#endif

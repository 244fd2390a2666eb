/* SPDX-License-Identifier: MIT
 *
 * The route plan: which choices go to which expert, in send order, and the same choices by
 * token.
 *
 *   this rank's choices   (t, j)           token t, its j-th expert
 *   send order            by expert, then token: so by rank of the expert first
 *   by token              the rows in send order of each token, in the order of their experts
 *
 *   send order    | e0: t1 t4 | e1: t0 | e2: t1 | e3: t0 t4 |        e0, e1 live on rank 0
 *   slot              0  1        2        3        4  5             e2, e3 on rank 1
 *   by token      | t0: 2 4 | t1: 0 3 | t4: 1 5 |
 *
 * Choices of experts that every rank has a copy of are not sent; they have the last slots.
 */
#ifndef RM_ROUTE_H
#define RM_ROUTE_H

#include "moe/router.h"

typedef struct rm_route_plan {
    rm_shadows shadows;   /* whose choices stay here; to be set before */
    int64_t n_sent;       /* choices that go to an expert, */
    int64_t n_away;       /* without those that stay here */
    int64_t n_dropped;    /* and those that do not */
    int32_t *slots;       /* [T*k], row of choice (t, j) in send order; -1: dropped */
    int32_t *tokens;      /* [n_sent], token of each row in send order */
    int32_t *experts;     /* [n_sent], likewise its expert */
    int32_t *first_slots; /* [n_experts + 1], first row of each expert in send order */
    int32_t first_shadow_slots[RM_MOST_SHADOWS + 1];
    int32_t *token_firsts; /* [T + 1], first entry of each token in */
    int32_t *token_slots;  /* [n_sent], slots by token, then expert */
} rm_route_plan;

/* Room for max_tokens tokens of this rank. */
void rm_route_layout(rm_route_plan *plan, const ringmoe_moe_settings *settings,
                     rm_arena *arena);

/* Which of the shadows it is; -1: none of them. */
int rm_shadow_number(const rm_shadows *shadows, int expert);

/* Most choices an expert takes of a microbatch of n_tokens; INT64_MAX when dropless. */
int64_t rm_route_capacity(const ringmoe_moe_settings *settings, int64_t n_tokens);

void rm_route_plan_make(rm_route_plan *plan, const ringmoe_moe_settings *settings,
                        const rm_routing *routing);

#endif

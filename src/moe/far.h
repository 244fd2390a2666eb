/* SPDX-License-Identifier: MIT
 *
 * What goes to and from a rank by message. A token that goes to several experts of one rank
 * travels once, and what they make of it comes back added up (moe/combine.h), one row for each
 * node of experts that lies within the rank.
 *
 *   out    | rows of x: t1 t4 t9 | weights | which row each choice is of |
 *   back   | sums: t1 t1' t4 t9 | (gradients of the weights) |
 *
 * Choices are in send order: by expert, then token. In the backward pass rows of d_y travel in
 * the same places, and no weights.
 *
 * With two levels a message is for the experts of all ranks of a node. Rank i sends it to the
 * node's member i modulo their number, which takes it for all of them, each of whom reads its
 * own choices there, and adds up what all of them made of it:
 *
 *   node 0            node 1
 *   rank 0 ---------> rank 2    2 and 3 read in 2's memory what 0 sent,
 *   rank 1 ---------> rank 3    and in 3's what 1 sent
 *
 * Node 1's experts are neighbours, so the sum's tree is cut as if one rank had them all.
 */
#ifndef RM_FAR_H
#define RM_FAR_H

#include "moe/arrivals.h"
#include "moe/route.h"

/* One rank of the expert axis as this rank's partner. Numbers of rows in messages and where
 * these begin in their buffers, in rows. */
typedef struct rm_partner {
    bool far; /* by messages */
    /* The ranks whose experts messages to it are for; none if another one takes them */
    int first_rank, end_rank;
    /* To these experts and back */
    int64_t slots, rows, sums;
    int64_t rows_at, sums_at;
    /* From it to experts here and back; got_before: slots before those for this rank;
     * got_rows_at: in the memory of the rank that takes them; first_sum: among all sums */
    int64_t got_slots, got_before, got_rows, got_sums;
    int64_t got_rows_at, got_sums_at, first_sum;
} rm_partner;

typedef struct rm_far {
    int n_ranks;
    rm_shadows shadows;       /* the plan's: no sum goes over their place */
    bool relays;              /* messages are for all ranks of a node */
    bool *is_far;             /* [ranks] */
    int *through;             /* [ranks], who takes what goes to a rank */
    int *takers;              /* [ranks], who takes here what a rank sends */
    int first_rank, end_rank; /* ranks here that messages from others are for */
    rm_partner *partners;     /* [ranks] */
    int32_t *slot_rows;       /* [T*k] by slot: its row in the message */
    int32_t *row_tokens;      /* [ranks][T]: token of each row of a message */
    int32_t *sum_firsts;  /* [max_rows + 1], first of the rows that each sum is made of, in */
    int32_t *sum_rows;    /* [max_rows], rows of outputs as all members number them, */
    int32_t *sum_experts; /* [max_rows], and their experts */
    /* Of each rank here that messages are for: */
    int64_t *output_rows;           /* number of its first row of outputs */
    int64_t *run_firsts, *run_rows; /* [n_local][ranks], its runs (arrivals.h) */
    int32_t *counts;                /* [T + 1], scratch */
    int64_t n_sums;                 /* of all partners */
} rm_far;

/* max_rows: of this rank's experts, or of those of all members, that are added up here;
 * n_members: most ranks that messages are for. */
void rm_far_layout(rm_far *far, const ringmoe_moe_settings *settings, int n_ranks,
                   int n_members, int64_t max_rows, rm_arena *arena);

/* Rows that n_slots choices take behind the rows of a message: weights and row numbers, or
 * the weights' gradients alone. */
int64_t rm_far_notes(int64_t n_slots, int64_t width);
int64_t rm_far_gradient_notes(int64_t n_slots, int64_t width);

/* Who takes what, before each plan. Pure. */
void rm_far_find_ways(rm_far *far, const rm_shared *shared, int rank);

/* What goes out, from the route plan: rows, and places[slot], the number of the sum that holds
 * a choice's output in what its rank sends back; -1 for one that the sum before it holds. Slots
 * of ranks that are not far are left alone. */
void rm_far_plan_out(rm_far *far, const rm_route_plan *plan, int n_experts, int64_t n_tokens,
                     int64_t max_tokens, int64_t width, int32_t *places);

/* Sizes and places of what comes in, from the counts of the arrivals. */
void rm_far_plan_in(rm_far *far, const rm_arrivals *arrivals, int rank, int64_t width);
/* One message's notes, read: which rows of x are whose (x_rows counts from first_row, the
 * number of the message's first row), and the weights. */
void rm_far_read_notes(const rm_far *far, rm_arrivals *arrivals, int source,
                       const rm_real *notes, int64_t first_row);
/* What is to be added up for the source, from the message's notes and the runs of all ranks
 * that it is for; its sums follow those planned before. */
void rm_far_plan_sums(rm_far *far, int source, int n_experts, const rm_real *notes);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Which buffer each line of a rank's list reads and writes, worked out before the first run:
 *
 *   received activations   from a little before their forward to the last backward operation
 *   received gradients     from a little before their backward to its end
 *   what is sent           one buffer after the other, round and round, in each direction
 *
 * A receive is posted as soon as its buffer's last user is done, so that a message that comes
 * early finds its place. On a ring of one rank a stage writes straight into the buffer that the
 * next one reads.
 */
#ifndef RM_RING_PLAN_H
#define RM_RING_PLAN_H

#include "pipeline/lists.h"

/* The two directions of travel, and of buffers. */
typedef enum rm_direction { RM_ACTIVATIONS, RM_GRADIENTS, RM_N_DIRECTIONS } rm_direction;

static inline rm_direction rm_direction_of(const ringmoe_schedule_item *item)
{
    return item->operation == RINGMOE_STAGE_FORWARD ? RM_ACTIVATIONS : RM_GRADIENTS;
}

/* Buffers of a line, by number; -1: none. */
typedef struct rm_ring_line {
    int input;   /* among received activations */
    int d_input; /* among received gradients: gradient of the output */
    int given;   /* what it makes: among those to be sent, or on one rank the receiver's */
    int post;    /* its receive is posted before line `post`; -1: it takes nothing */
} rm_ring_line;

typedef struct rm_ring_plan {
    int n_lines;
    rm_ring_line *lines;
    int *posts; /* [n_posts]: the lines that take something, by `post` */
    int n_posts;
    int n_received[RM_N_DIRECTIONS], n_sent[RM_N_DIRECTIONS]; /* buffers */
} rm_ring_plan;

/* The plan of a rank, but for n_sent and what lines give to other ranks. */
ringmoe_status rm_ring_plan_create(const ringmoe_schedule *schedule, int rank,
                                   rm_ring_plan *plan, rm_error *error);
void rm_ring_plan_free(rm_ring_plan *plan);
/* Of the lists of a schedule and a rank's plan for it, in memory. */
int64_t rm_ring_plan_bytes(const ringmoe_schedule *schedule, int rank);

/* The plan of one rank, with as many buffers to send from as all ranks need to come to the end
 * when no message leaves before it finds its receive posted. */
ringmoe_status rm_ring_plan_settle(const ringmoe_schedule *schedule, int rank,
                                   rm_ring_plan *plan, rm_error *error);

#endif

/* SPDX-License-Identifier: MIT
 *
 * The inside of a pipeline: its buffers and messages. A message is an activation or gradient
 * with a trailer, which tells whether the sender still computes:
 *
 *   | elements ........................ | padding | status |      in pieces of `piece_bytes`
 *
 *   arena   | received activations 0, 1, .. | received gradients | to be sent: both kinds |
 *
 * Messages are told apart by tags made of direction, microbatch and chunk, so that a receive
 * may be posted in another order than the neighbour sends.
 */
#ifndef RM_RING_H
#define RM_RING_H

#include "base/arena.h"
#include "comm/mesh.h"
#include "pipeline/ring_plan.h"

/* Buffers of one kind, with the requests of the message in each. */
typedef struct rm_ring_buffers {
    int n;
    char *memory;          /* [n][message bytes] */
    MPI_Request *requests; /* [n][pieces] */
} rm_ring_buffers;

struct ringmoe_pipeline {
    ringmoe_mesh *mesh;
    const ringmoe_schedule *schedule;
    rm_axis ring; /* the mesh's pipeline axis with a communicator of its own */
    rm_ring_plan plan;
    int64_t n_elements, message_bytes, piece_bytes;
    int n_pieces, n_tags;
    rm_ring_buffers received[RM_N_DIRECTIONS], sent[RM_N_DIRECTIONS];
    MPI_Request *requests;
    rm_arena arena;
    rm_background background; /* while a schedule runs */
};

/* ringmoe_pipeline_create with the size of a piece. */
ringmoe_status rm_pipeline_create(ringmoe_mesh *mesh, const ringmoe_schedule *schedule,
                                  int64_t n_elements, int64_t piece_bytes,
                                  ringmoe_pipeline **pipeline);

/* Fills all buffers with NaN. */
void rm_pipeline_poison(ringmoe_pipeline *pipeline);

/* The elements of a buffer. */
ringmoe_real *rm_ring_elements(const ringmoe_pipeline *pipeline, const rm_ring_buffers *buffers,
                               int number);

/* Posts the receive of what a line takes, into its buffer. */
ringmoe_status rm_ring_post(ringmoe_pipeline *pipeline, int line, rm_error *error);
/* Waits for it; *sender: the status that came with it. */
ringmoe_status rm_ring_take(ringmoe_pipeline *pipeline, int line, ringmoe_status *sender,
                            rm_error *error);
/* Waits until the buffer that a line gives from has left. */
ringmoe_status rm_ring_clear(ringmoe_pipeline *pipeline, int line, rm_error *error);
/* Sends it. */
ringmoe_status rm_ring_give(ringmoe_pipeline *pipeline, int line, ringmoe_status status,
                            rm_error *error);
/* Waits until everything has left. */
ringmoe_status rm_ring_finish(ringmoe_pipeline *pipeline, rm_error *error);

#endif

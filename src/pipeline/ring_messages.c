/* SPDX-License-Identifier: MIT
 *
 * Messages between neighbours on the ring: nonblocking calls, completed by rm_wait. Activations
 * go to the next rank, gradients to the one before.
 */
#include <math.h>
#include <string.h>

#include "pipeline/ring.h"

static const ringmoe_schedule_item *item_of(const ringmoe_pipeline *pipeline, int line)
{
    return &pipeline->schedule->items[pipeline->ring.rank][line];
}

static int neighbour(const ringmoe_pipeline *pipeline, int distance)
{
    int size = pipeline->ring.size;
    return (pipeline->ring.rank + distance + size) % size;
}

/* Where a line's message comes from and goes to. */
static int giver(const ringmoe_pipeline *pipeline, rm_direction direction)
{
    return neighbour(pipeline, direction == RM_ACTIVATIONS ? -1 : 1);
}

static int taker(const ringmoe_pipeline *pipeline, rm_direction direction)
{
    return neighbour(pipeline, direction == RM_ACTIVATIONS ? 1 : -1);
}

/* Of a message for a stage. Messages with the same tag are so far apart in the schedule that
 * they are never under way together. */
static int tag_of(const ringmoe_pipeline *pipeline, rm_direction direction, int stage,
                  int microbatch)
{
    int chunk = stage / pipeline->schedule->n_ranks;
    int64_t number = (int64_t)microbatch * pipeline->schedule->n_chunks + chunk;
    return (int)(number % pipeline->n_tags) * RM_N_DIRECTIONS + (int)direction;
}

static char *message(const ringmoe_pipeline *pipeline, const rm_ring_buffers *buffers,
                     int number)
{
    return buffers->memory + number * pipeline->message_bytes;
}

ringmoe_real *rm_ring_elements(const ringmoe_pipeline *pipeline, const rm_ring_buffers *buffers,
                               int number)
{
    return number < 0 ? NULL : (ringmoe_real *)(void *)message(pipeline, buffers, number);
}

static MPI_Request *requests_of(const ringmoe_pipeline *pipeline,
                                const rm_ring_buffers *buffers, int number)
{
    return buffers->requests + (size_t)number * (size_t)pipeline->n_pieces;
}

/* The trailer lies at the end of the message. */
static int64_t *trailer(const ringmoe_pipeline *pipeline, const rm_ring_buffers *buffers,
                        int number)
{
    char *end = message(pipeline, buffers, number) + pipeline->message_bytes;
    return (int64_t *)(void *)(end - RM_ARENA_ALIGN);
}

static int piece_count(const ringmoe_pipeline *pipeline, int piece)
{
    int64_t left = pipeline->message_bytes - piece * pipeline->piece_bytes;
    return (int)(left < pipeline->piece_bytes ? left : pipeline->piece_bytes);
}

static int received_buffer(const ringmoe_pipeline *pipeline, int line, rm_direction direction)
{
    const rm_ring_line *plan = &pipeline->plan.lines[line];
    return direction == RM_ACTIVATIONS ? plan->input : plan->d_input;
}

ringmoe_status rm_ring_post(ringmoe_pipeline *pipeline, int line, rm_error *error)
{
    const ringmoe_schedule_item *item = item_of(pipeline, line);
    rm_direction direction = rm_direction_of(item);
    rm_ring_buffers *buffers = &pipeline->received[direction];
    int number = received_buffer(pipeline, line, direction);
    int stage = rm_stage_of(pipeline->schedule, pipeline->ring.rank, item->chunk);
    int tag = tag_of(pipeline, direction, stage, item->microbatch);
    for (int i = 0; i < pipeline->n_pieces; i++) {
        int code =
            MPI_Irecv(message(pipeline, buffers, number) + i * pipeline->piece_bytes,
                      piece_count(pipeline, i), MPI_BYTE, giver(pipeline, direction), tag,
                      pipeline->ring.comm, &requests_of(pipeline, buffers, number)[i]);
        RM_TRY(rm_mpi_check(code, "MPI_Irecv of a pipeline", error));
    }
    return RINGMOE_OK;
}

/* Completes the message in a buffer. */
static ringmoe_status wait_for(ringmoe_pipeline *pipeline, const rm_ring_buffers *buffers,
                               int number, int partner, const char *what, rm_error *error)
{
    ringmoe_status first = RINGMOE_OK;
    MPI_Request *requests = requests_of(pipeline, buffers, number);
    for (int i = 0; i < pipeline->n_pieces; i++) {
        if (requests[i] == MPI_REQUEST_NULL) continue;
        ringmoe_status status =
            rm_wait(&pipeline->ring, partner, &requests[i], what, first ? NULL : error);
        if (first == RINGMOE_OK) first = status;
    }
    return first;
}

ringmoe_status rm_ring_take(ringmoe_pipeline *pipeline, int line, ringmoe_status *sender,
                            rm_error *error)
{
    static const char *const texts[RM_N_DIRECTIONS] = {"receiving activations",
                                                       "receiving gradients"};
    rm_direction direction = rm_direction_of(item_of(pipeline, line));
    const rm_ring_buffers *buffers = &pipeline->received[direction];
    int number = received_buffer(pipeline, line, direction);
    RM_TRY(wait_for(pipeline, buffers, number, giver(pipeline, direction), texts[direction],
                    error));
    *sender = (ringmoe_status)*trailer(pipeline, buffers, number);
    return RINGMOE_OK;
}

static const char *const sending_texts[RM_N_DIRECTIONS] = {"sending activations",
                                                           "sending gradients"};

ringmoe_status rm_ring_clear(ringmoe_pipeline *pipeline, int line, rm_error *error)
{
    rm_direction direction = rm_direction_of(item_of(pipeline, line));
    return wait_for(pipeline, &pipeline->sent[direction], pipeline->plan.lines[line].given,
                    taker(pipeline, direction), sending_texts[direction], error);
}

ringmoe_status rm_ring_give(ringmoe_pipeline *pipeline, int line, ringmoe_status status,
                            rm_error *error)
{
    const ringmoe_schedule_item *item = item_of(pipeline, line);
    rm_direction direction = rm_direction_of(item);
    rm_ring_buffers *buffers = &pipeline->sent[direction];
    int number = pipeline->plan.lines[line].given;
    int stage = rm_line_gives(pipeline->schedule, pipeline->ring.rank, item).stage;
    int tag = tag_of(pipeline, direction, stage, item->microbatch);
    *trailer(pipeline, buffers, number) = status;
    for (int i = 0; i < pipeline->n_pieces; i++) {
        int code =
            MPI_Isend(message(pipeline, buffers, number) + i * pipeline->piece_bytes,
                      piece_count(pipeline, i), MPI_BYTE, taker(pipeline, direction), tag,
                      pipeline->ring.comm, &requests_of(pipeline, buffers, number)[i]);
        RM_TRY(rm_mpi_check(code, "MPI_Isend of a pipeline", error));
    }
    return RINGMOE_OK;
}

ringmoe_status rm_ring_finish(ringmoe_pipeline *pipeline, rm_error *error)
{
    ringmoe_status first = RINGMOE_OK;
    for (int d = 0; d < RM_N_DIRECTIONS; d++)
        for (int i = 0; i < pipeline->sent[d].n; i++) {
            ringmoe_status status =
                wait_for(pipeline, &pipeline->sent[d], i, taker(pipeline, (rm_direction)d),
                         sending_texts[d], first ? NULL : error);
            if (first == RINGMOE_OK) first = status;
        }
    return first;
}

void rm_pipeline_poison(ringmoe_pipeline *pipeline)
{
    for (int d = 0; d < RM_N_DIRECTIONS; d++)
        for (int k = 0; k < 2; k++) {
            rm_ring_buffers *buffers = k ? &pipeline->sent[d] : &pipeline->received[d];
            for (int i = 0; i < buffers->n; i++) {
                ringmoe_real *elements = rm_ring_elements(pipeline, buffers, i);
                for (int64_t j = 0; j < pipeline->n_elements; j++)
                    elements[j] = (ringmoe_real)NAN;
            }
        }
}

/* SPDX-License-Identifier: MIT
 *
 * A ring's plan, communicator and buffers, once for all its runs.
 */
#include <stdlib.h>

#include "pipeline/ring.h"

enum { PIECE_BYTES = 1 << 30 };

/* One number for all lines of a schedule. */
static int64_t fingerprint(const ringmoe_schedule *schedule)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (int rank = 0; rank < schedule->n_ranks; rank++)
        for (int i = 0; i < schedule->n_items[rank]; i++) {
            const ringmoe_schedule_item *item = &schedule->items[rank][i];
            const int words[] = {rank, (int)item->operation, item->microbatch, item->chunk};
            for (int w = 0; w < 4; w++)
                hash = (hash ^ (uint64_t)words[w]) * UINT64_C(1099511628211);
        }
    return (int64_t)(hash >> 1);
}

static ringmoe_status check_arguments(const ringmoe_mesh *mesh,
                                      const ringmoe_schedule *schedule, int64_t n_elements,
                                      ringmoe_pipeline *const *pipeline, rm_error *error)
{
    if (!pipeline)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "the place for the pipeline's handle is NULL");
    if (!schedule)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "the pipeline's schedule is NULL");
    if (n_elements < 1)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "n_elements is %lld; an activation has at least 1",
                       (long long)n_elements);
    if (schedule->n_ranks != mesh->pipeline.size)
        return rm_fail(error, RINGMOE_ERROR_LAYOUT,
                       "the schedule is for %d ranks, the mesh's pipeline axis has %d",
                       schedule->n_ranks, mesh->pipeline.size);
    return RINGMOE_OK;
}

static void lay_out_buffers(ringmoe_pipeline *pipeline)
{
    for (int d = 0; d < RM_N_DIRECTIONS; d++) {
        rm_ring_buffers *received = &pipeline->received[d], *sent = &pipeline->sent[d];
        received->n = pipeline->plan.n_received[d];
        received->memory =
            rm_arena_take(&pipeline->arena, received->n, (size_t)pipeline->message_bytes);
        sent->n = pipeline->plan.n_sent[d];
        sent->memory =
            rm_arena_take(&pipeline->arena, sent->n, (size_t)pipeline->message_bytes);
    }
}

/* A request for each piece in each buffer. */
static ringmoe_status make_requests(ringmoe_pipeline *pipeline, rm_error *error)
{
    size_t n = 0;
    for (int d = 0; d < RM_N_DIRECTIONS; d++)
        n += (size_t)(pipeline->received[d].n + pipeline->sent[d].n);
    n *= (size_t)pipeline->n_pieces;
    pipeline->requests = malloc((n + 1) * sizeof *pipeline->requests);
    if (!pipeline->requests)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the requests of a ring");
    for (size_t i = 0; i < n; i++) pipeline->requests[i] = MPI_REQUEST_NULL;
    MPI_Request *next = pipeline->requests;
    for (int d = 0; d < RM_N_DIRECTIONS; d++)
        for (int k = 0; k < 2; k++) {
            rm_ring_buffers *buffers = k ? &pipeline->sent[d] : &pipeline->received[d];
            buffers->requests = next;
            next += (size_t)buffers->n * (size_t)pipeline->n_pieces;
        }
    return RINGMOE_OK;
}

static ringmoe_status make_buffers(ringmoe_pipeline *pipeline, rm_error *error)
{
    RM_TRY(rm_ring_plan_settle(pipeline->schedule, pipeline->mesh->pipeline.rank,
                               &pipeline->plan, error));
    int64_t align = RM_ARENA_ALIGN,
            most = INT64_MAX / (int64_t)sizeof(ringmoe_real) - 2 * align;
    if (pipeline->n_elements > most)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %lld elements",
                       (long long)pipeline->n_elements);
    int64_t bytes = pipeline->n_elements * (int64_t)sizeof(ringmoe_real);
    pipeline->message_bytes = (bytes + align - 1) / align * align + align;
    pipeline->n_pieces = (int)((pipeline->message_bytes - 1) / pipeline->piece_bytes) + 1;
    lay_out_buffers(pipeline);
    if (pipeline->arena.overflow)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %lld elements",
                       (long long)pipeline->n_elements);
    RM_TRY(rm_arena_reserve(&pipeline->arena, pipeline->arena.used, error));
    lay_out_buffers(pipeline);
    return make_requests(pipeline, error);
}

/* The ring's messages must not meet those of others who use the axis. */
static ringmoe_status make_ring(ringmoe_pipeline *pipeline, rm_error *error)
{
    const rm_axis *axis = &pipeline->mesh->pipeline;
    MPI_Comm comm = MPI_COMM_NULL;
    int has_limit = 0, *limit = NULL;
    if (axis->size > 1) {
        MPI_Request request = MPI_REQUEST_NULL;
        RM_TRY(
            rm_mpi_check(MPI_Comm_idup(axis->comm, &comm, &request), "MPI_Comm_idup", error));
        RM_TRY(rm_wait(axis, RM_EVERYONE, &request, "MPI_Comm_idup", error));
    }
    RM_TRY(rm_axis_init(&pipeline->ring, comm, axis->first, axis->stride, error));
    rm_axis_join(&pipeline->ring, pipeline->mesh->context);
    if (axis->size > 1)
        RM_TRY(rm_mpi_check(MPI_Comm_get_attr(comm, MPI_TAG_UB, &limit, &has_limit),
                            "MPI_Comm_get_attr", error));
    pipeline->n_tags = (has_limit ? *limit : 32767) / RM_N_DIRECTIONS;
    return RINGMOE_OK;
}

ringmoe_status rm_pipeline_create(ringmoe_mesh *mesh, const ringmoe_schedule *schedule,
                                  int64_t n_elements, int64_t piece_bytes,
                                  ringmoe_pipeline **pipeline)
{
    rm_error *error = &mesh->context->error;
    const rm_axis *axis = &mesh->pipeline;
    if (pipeline) *pipeline = NULL;
    RM_TRY(rm_agree(axis, check_arguments(mesh, schedule, n_elements, pipeline, error), error));
    const int64_t values[] = {fingerprint(schedule), schedule->n_microbatches,
                              schedule->n_chunks, n_elements};
    RM_TRY(rm_agree_equal(axis, values, 4,
                          "the pipeline's schedule (as a hash, microbatches, chunks) and "
                          "elements",
                          error));
    ringmoe_status status = RINGMOE_OK;
    ringmoe_pipeline *made = calloc(1, sizeof *made);
    if (!made) status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the pipeline");
    RM_TRY(rm_agree(axis, status, error));
    made->mesh = mesh;
    made->schedule = schedule;
    made->n_elements = n_elements;
    made->piece_bytes = piece_bytes;
    status = make_ring(made, error);
    if (status == RINGMOE_OK) status = make_buffers(made, error);
    status = rm_agree(axis, status, error);
    *pipeline = made;
    if (status != RINGMOE_OK) ringmoe_pipeline_destroy(pipeline);
    return status;
}

ringmoe_status ringmoe_pipeline_create(ringmoe_mesh *mesh, const ringmoe_schedule *schedule,
                                       int64_t n_elements, ringmoe_pipeline **pipeline)
{
    if (!mesh) return RINGMOE_ERROR_ARGUMENT;
    return rm_pipeline_create(mesh, schedule, n_elements, PIECE_BYTES, pipeline);
}

void ringmoe_pipeline_destroy(ringmoe_pipeline **pipeline)
{
    if (!pipeline || !*pipeline) return;
    rm_ring_plan_free(&(*pipeline)->plan);
    rm_axis_free(&(*pipeline)->ring);
    rm_arena_free(&(*pipeline)->arena);
    free((*pipeline)->requests);
    free(*pipeline);
    *pipeline = NULL;
}

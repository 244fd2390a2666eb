/* SPDX-License-Identifier: MIT
 *
 * The ring: runs a schedule on the ranks of a mesh's pipeline axis. Each rank goes through its
 * list; for a line it
 *
 *   posts the receives whose buffers have come free   (ring_plan.c)
 *   waits for what the line takes and for the buffer it writes
 *   calls the caller's function
 *   sends what it made, and does not wait for it
 *
 * A rank whose function failed goes on with its list without computing, and so does every rank
 * that gets a message of it, so nobody waits in vain; at the end all agree on the first
 * failure.
 */
#include "pipeline/ring.h"

#include <stdlib.h>

#include "base/clock.h"

enum { PIECE_BYTES = 1 << 30 };

static const rm_operation operations[] = {RM_OPERATION_FORWARD, RM_OPERATION_BACKWARD,
                                          RM_OPERATION_BACKWARD_INPUT,
                                          RM_OPERATION_BACKWARD_WEIGHT};

/* --- one run --- */

typedef struct rm_run {
    ringmoe_pipeline *pipeline;
    int64_t step;
    ringmoe_stage_function function;
    void *user;
    int n_posted;                  /* of the plan's posts */
    ringmoe_status status;         /* the first failure of this rank */
    ringmoe_status from_neighbour; /* a failure elsewhere, which messages told of */
    rm_error error;                /* the line of `status` */
    double stages, waiting;        /* seconds */
} rm_run;

static void note(rm_run *run, ringmoe_status status, const rm_error *error)
{
    if (status == RINGMOE_OK || run->status != RINGMOE_OK) return;
    run->status = status;
    run->error = *error;
}

/* Whether there is anything left to compute for. */
static bool has_failed(const rm_run *run)
{
    return run->status != RINGMOE_OK || run->from_neighbour != RINGMOE_OK;
}

static void post_receives(rm_run *run, int line)
{
    const rm_ring_plan *plan = &run->pipeline->plan;
    while (run->n_posted < plan->n_posts) {
        int next = plan->posts[run->n_posted];
        if (plan->lines[next].post > line) return;
        rm_error error = {""};
        note(run, rm_ring_post(run->pipeline, next, &error), &error);
        run->n_posted++;
    }
}

/* Waits until the line has what it needs. */
static void wait_for_line(rm_run *run, int line)
{
    ringmoe_pipeline *pipeline = run->pipeline;
    rm_error error = {""};
    double start = rm_clock_seconds();
    if (pipeline->plan.lines[line].post >= 0) {
        ringmoe_status sender = RINGMOE_OK;
        note(run, rm_ring_take(pipeline, line, &sender, &error), &error);
        if (run->from_neighbour == RINGMOE_OK) run->from_neighbour = sender;
    }
    if (pipeline->plan.lines[line].given >= 0)
        note(run, rm_ring_clear(pipeline, line, &error), &error);
    run->waiting += rm_clock_seconds() - start;
}

static ringmoe_stage_call call_of(const rm_run *run, int line)
{
    const ringmoe_pipeline *pipeline = run->pipeline;
    const ringmoe_schedule_item *item = &pipeline->schedule->items[pipeline->ring.rank][line];
    const rm_ring_line *plan = &pipeline->plan.lines[line];
    const rm_ring_buffers *given =
        pipeline->ring.size == 1 ? pipeline->received : pipeline->sent;
    ringmoe_stage_call call = {
        .operation = item->operation,
        .step = run->step,
        .microbatch = item->microbatch,
        .chunk = item->chunk,
        .stage = rm_stage_of(pipeline->schedule, pipeline->ring.rank, item->chunk),
        .slot = item->slot,
        .input = rm_ring_elements(pipeline, &pipeline->received[RM_ACTIVATIONS], plan->input),
        .d_output =
            rm_ring_elements(pipeline, &pipeline->received[RM_GRADIENTS], plan->d_input)};
    if (item->operation == RINGMOE_STAGE_FORWARD)
        call.output = rm_ring_elements(pipeline, &given[RM_ACTIVATIONS], plan->given);
    else
        call.d_input = rm_ring_elements(pipeline, &given[RM_GRADIENTS], plan->given);
    return call;
}

/* Calls the caller's function. What failed in it stands in the context, if it was the library.
 */
static void compute(rm_run *run, int line)
{
    rm_error *error = &run->pipeline->mesh->context->error;
    ringmoe_stage_call call = call_of(run, line);
    double start = rm_clock_seconds();
    error->text[0] = '\0';
    ringmoe_status status = run->function(run->user, &call);
    run->stages += rm_clock_seconds() - start;
    if (status != RINGMOE_OK && !error->text[0])
        rm_fail(error, status, "the function of stage %d, microbatch %d, %s: %s", call.stage,
                call.microbatch, rm_operation_name(operations[call.operation]),
                ringmoe_status_text(status));
    note(run, status, error);
}

static void do_line(rm_run *run, int line)
{
    ringmoe_pipeline *pipeline = run->pipeline;
    const ringmoe_schedule_item *item = &pipeline->schedule->items[pipeline->ring.rank][line];
    bool travels = pipeline->ring.size > 1;
    rm_progress_at(pipeline->ring.progress,
                   (rm_label){.step = run->step,
                              .layer = -1,
                              .microbatch = item->microbatch,
                              .operation = operations[item->operation]});
    if (travels) {
        post_receives(run, line);
        wait_for_line(run, line);
    }
    if (!has_failed(run)) compute(run, line);
    if (travels && pipeline->plan.lines[line].given >= 0) {
        ringmoe_status status = run->status ? run->status : run->from_neighbour;
        rm_error error = {""};
        note(run, rm_ring_give(pipeline, line, status, &error), &error);
    }
}

/* While stages compute, messages move on when MPI is called at all. */
static ringmoe_status advance(rm_background *self, bool may_compute, rm_error *error)
{
    ringmoe_pipeline *pipeline =
        (ringmoe_pipeline *)(void *)((char *)self - offsetof(ringmoe_pipeline, background));
    int found;
    (void)may_compute;
    return rm_mpi_check(
        MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, pipeline->ring.comm, &found, MPI_STATUS_IGNORE),
        "MPI_Iprobe of a pipeline", error);
}

static void run_lines(rm_run *run)
{
    ringmoe_pipeline *pipeline = run->pipeline;
    bool travels = pipeline->ring.size > 1;
    if (travels) {
        pipeline->background = (rm_background){.advance = advance};
        rm_background_start(pipeline->ring.progress, &pipeline->background);
    }
    for (int line = 0; line < pipeline->plan.n_lines; line++) do_line(run, line);
    if (travels) rm_background_remove(pipeline->ring.progress, &pipeline->background);
}

/* Everyone learns of the first failure. */
static ringmoe_status settle(rm_run *run)
{
    ringmoe_pipeline *pipeline = run->pipeline;
    rm_error error = {""};
    double start = rm_clock_seconds();
    if (pipeline->ring.size > 1) note(run, rm_ring_finish(pipeline, &error), &error);
    if (run->status != RINGMOE_OK) pipeline->mesh->context->error = run->error;
    ringmoe_status status =
        rm_agree(&pipeline->ring, run->status, &pipeline->mesh->context->error);
    run->waiting += rm_clock_seconds() - start;
    return status;
}

ringmoe_status ringmoe_pipeline_run(ringmoe_pipeline *pipeline, int64_t step,
                                    ringmoe_stage_function function, void *user,
                                    ringmoe_pipeline_times *times)
{
    if (!pipeline) return RINGMOE_ERROR_ARGUMENT;
    if (!function)
        return rm_fail(&pipeline->mesh->context->error, RINGMOE_ERROR_ARGUMENT,
                       "the function of a pipeline's stages is NULL");
    rm_run run = {.pipeline = pipeline, .step = step, .function = function, .user = user};
    double start = rm_clock_seconds();
    run_lines(&run);
    ringmoe_status status = settle(&run);
    if (times)
        *times = (ringmoe_pipeline_times){
            .total = rm_clock_seconds() - start, .stages = run.stages, .waiting = run.waiting};
    return status;
}

/* --- its buffers --- */

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
                                      rm_error *error)
{
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
    if (axis->size > 1)
        RM_TRY(rm_mpi_check(MPI_Comm_dup(axis->comm, &comm), "MPI_Comm_dup", error));
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
    RM_TRY(rm_agree(axis, check_arguments(mesh, schedule, n_elements, error), error));
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
    if (!pipeline)
        return rm_fail(&mesh->context->error, RINGMOE_ERROR_ARGUMENT,
                       "the place for the pipeline's handle is NULL");
    *pipeline = NULL;
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

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

#include "base/clock.h"

static const rm_operation operations[] = {RM_OPERATION_FORWARD, RM_OPERATION_BACKWARD,
                                          RM_OPERATION_BACKWARD_INPUT,
                                          RM_OPERATION_BACKWARD_WEIGHT};

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
static ringmoe_status advance(rm_background *self, bool has_threads, rm_error *error)
{
    ringmoe_pipeline *pipeline =
        (ringmoe_pipeline *)(void *)((char *)self - offsetof(ringmoe_pipeline, background));
    int found;
    (void)has_threads;
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
    rm_progress_at(pipeline->ring.progress,
                   (rm_label){.step = run->step,
                              .layer = -1,
                              .microbatch = pipeline->schedule->n_microbatches - 1,
                              .operation = RM_OPERATION_AGREE});
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
    rm_run run = {.pipeline = pipeline, .step = step, .function = function, .user = user};
    if (!function)
        run.status = rm_fail(&run.error, RINGMOE_ERROR_ARGUMENT,
                             "the function of a pipeline's stages is NULL");
    double start = rm_clock_seconds();
    run_lines(&run);
    ringmoe_status status = settle(&run);
    rm_progress_leave(pipeline->ring.progress);
    if (times)
        *times = (ringmoe_pipeline_times){
            .total = rm_clock_seconds() - start, .stages = run.stages, .waiting = run.waiting};
    return status;
}

void ringmoe_pipeline_poll(ringmoe_pipeline *pipeline)
{
    if (pipeline) rm_progress_poll(pipeline->ring.progress, false);
}

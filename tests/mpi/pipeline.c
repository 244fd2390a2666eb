/* SPDX-License-Identifier: MIT
 *
 * Rings that run every schedule with stages whose results are whole numbers, so that each value
 * a stage gets is known exactly: activations and gradients are the right ones, inputs stay
 * until the last backward operation, weights come in order, and nothing unwritten is read.
 * Stages of uneven length and messages in pieces change nothing; a stage that fails ends the
 * run on all ranks of the ring, and the next run is as good as new.
 */
#include <ringmoe.h>

#include <math.h>
#include <unistd.h>

#include "check.h"
#include "pipeline/ring.h"

static int rank, size;

/* What a ring of the tests does, and what has been seen. */
typedef struct test_rig {
    ringmoe_context *context;
    ringmoe_mesh *mesh;
    const ringmoe_schedule *schedule;
    int64_t n_elements, step;
    int n_stages;
    unsigned delay_us;               /* longest that a stage takes; 0: none waits */
    uint64_t random;                 /* of this rank */
    int fail_stage, fail_microbatch; /* -1: none */
    ringmoe_stage_operation fail_operation;
    int n_calls, next_weights[64];
} test_rig;

/* --- the stages: y = -x + (stage + 1) * (microbatch + 1) + i % 7, backward alike --- */

static double added(int stage, int microbatch, int64_t i)
{
    return (stage + 1) * (microbatch + 1) + (double)(i % 7);
}

/* Element i of what stage `stage` makes. */
static double activation(int stage, int microbatch, int64_t step, int64_t i)
{
    double x = (double)(step % 100);
    for (int s = 0; s <= stage; s++) x = -x + added(s, microbatch, i);
    return x;
}

/* Element i of the gradient of the input of stage `stage`. */
static double gradient(int stage, int n_stages, int microbatch, int64_t step, int64_t i)
{
    double d = (double)(step % 50);
    for (int s = n_stages - 1; s >= stage; s--) d = -d + added(s, microbatch, i + 3);
    return d;
}

static void check_input(const test_rig *rig, const ringmoe_stage_call *call)
{
    CHECK((call->input == NULL) == (call->stage == 0));
    for (int64_t i = 0; call->input && i < rig->n_elements; i++)
        CHECK(call->input[i] ==
              (ringmoe_real)activation(call->stage - 1, call->microbatch, rig->step, i));
}

static void check_gradient(const test_rig *rig, const ringmoe_stage_call *call)
{
    CHECK((call->d_output == NULL) == (call->stage == rig->n_stages - 1));
    for (int64_t i = 0; call->d_output && i < rig->n_elements; i++)
        CHECK(call->d_output[i] == (ringmoe_real)gradient(call->stage + 1, rig->n_stages,
                                                          call->microbatch, rig->step, i));
}

static void write_output(const test_rig *rig, const ringmoe_stage_call *call)
{
    CHECK((call->output == NULL) == (call->stage == rig->n_stages - 1));
    for (int64_t i = 0; call->output && i < rig->n_elements; i++) {
        double x = call->input ? (double)call->input[i] : (double)(rig->step % 100);
        call->output[i] = (ringmoe_real)(-x + added(call->stage, call->microbatch, i));
    }
}

static void write_gradient(const test_rig *rig, const ringmoe_stage_call *call)
{
    CHECK((call->d_input == NULL) == (call->stage == 0));
    for (int64_t i = 0; call->d_input && i < rig->n_elements; i++) {
        double d = call->d_output ? (double)call->d_output[i] : (double)(rig->step % 50);
        call->d_input[i] = (ringmoe_real)(-d + added(call->stage, call->microbatch, i + 3));
    }
}

static ringmoe_status stage(void *user, const ringmoe_stage_call *call)
{
    test_rig *rig = user;
    rig->n_calls++;
    CHECK(call->step == rig->step);
    CHECK(call->stage % rig->mesh->pipeline.size == rig->mesh->pipeline.rank);
    CHECK(call->slot >= 0 &&
          call->slot <
              ringmoe_schedule_slots(rig->schedule, rig->mesh->pipeline.rank, call->chunk));
    if (rig->delay_us) usleep(check_random(&rig->random) % rig->delay_us);
    if (call->stage == rig->fail_stage && call->microbatch == rig->fail_microbatch &&
        call->operation == rig->fail_operation)
        return rm_fail(&rig->context->error, RINGMOE_ERROR_NUMERIC, "stage %d has burst",
                       call->stage);
    check_input(rig, call);
    if (call->operation == RINGMOE_STAGE_FORWARD) {
        write_output(rig, call);
        return RINGMOE_OK;
    }
    if (call->operation != RINGMOE_STAGE_BACKWARD_WEIGHT) {
        check_gradient(rig, call);
        write_gradient(rig, call);
    }
    if (call->operation != RINGMOE_STAGE_BACKWARD_INPUT)
        CHECK(rig->next_weights[call->chunk]++ == call->microbatch);
    return RINGMOE_OK;
}

/* --- runs --- */

static ringmoe_status run(test_rig *rig, ringmoe_pipeline *pipeline)
{
    ringmoe_pipeline_times times;
    rig->n_calls = 0;
    memset(rig->next_weights, 0, sizeof rig->next_weights);
    rm_pipeline_poison(pipeline);
    ringmoe_status status = ringmoe_pipeline_run(pipeline, rig->step, stage, rig, &times);
    CHECK(times.stages >= 0 && times.waiting >= 0 &&
          times.stages + times.waiting <= times.total);
    return status;
}

/* A rig over a mesh whose pipeline axis has `p` ranks, and several rings if that is not all. */
static test_rig rig_create(ringmoe_context *context, int p)
{
    test_rig rig = {.context = context, .n_elements = 37, .step = 5, .fail_stage = -1};
    ringmoe_mesh_dims dims = {.pipeline = p, .data = size / p, .expert = 1, .tensor = 1};
    rig.random = (uint64_t)rank * 77 + 1;
    CHECK_STATUS(ringmoe_mesh_create(context, &dims, 0, &rig.mesh), RINGMOE_OK,
                 ringmoe_context_error(context));
    return rig;
}

static void use_schedule(test_rig *rig, const ringmoe_schedule *schedule)
{
    int p, m, v;
    ringmoe_schedule_sizes(schedule, &p, &m, &v);
    rig->schedule = schedule;
    rig->n_stages = p * v;
}

/* Two runs of one pipeline, all as it should be. */
static void check_schedule(test_rig *rig, const ringmoe_schedule *schedule, int64_t piece_bytes)
{
    const char *message = rig->context->error.text;
    ringmoe_pipeline *pipeline = NULL;
    use_schedule(rig, schedule);
    CHECK_STATUS(
        rm_pipeline_create(rig->mesh, schedule, rig->n_elements, piece_bytes, &pipeline),
        RINGMOE_OK, message);
    for (rig->step = 41; pipeline && rig->step < 43; rig->step++) {
        int n_items;
        ringmoe_schedule_items(schedule, rig->mesh->pipeline.rank, &n_items);
        CHECK_STATUS(run(rig, pipeline), RINGMOE_OK, message);
        CHECK(rig->n_calls == n_items);
    }
    ringmoe_pipeline_destroy(&pipeline);
}

static void check_named(test_rig *rig, const char *name, int m, int v, int64_t piece_bytes)
{
    ringmoe_schedule *schedule;
    CHECK_STATUS(
        ringmoe_schedule_create(rig->context, name, rig->mesh->pipeline.size, m, v, &schedule),
        RINGMOE_OK, rig->context->error.text);
    check_schedule(rig, schedule, piece_bytes);
    ringmoe_schedule_destroy(&schedule);
}

static void every_schedule_gives_every_stage_its_values(test_rig *rig)
{
    const int sizes[][2] = {{1, 1}, {2, 1}, {5, 1}, {8, 2}, {7, 3}, {1, 2}};
    for (const char *const *name = ringmoe_schedule_names(); *name; name++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            check_named(rig, *name, sizes[i][0], sizes[i][1], 1 << 30);
}

static void uneven_stages_change_nothing(test_rig *rig)
{
    rig->delay_us = rank % 2 ? 900 : 100;
    for (const char *const *name = ringmoe_schedule_names(); *name; name++)
        check_named(rig, *name, 6, 2, 1 << 30);
    rig->delay_us = 0;
}

static void messages_may_come_in_pieces(test_rig *rig)
{
    for (int64_t piece = 1; piece < 400; piece = piece * 3 + 1)
        check_named(rig, "interleaved", 3, 2, piece);
}

/* Long messages are not sent before their receives are posted. */
static void long_messages_pass(test_rig *rig)
{
    rig->n_elements = 60001;
    for (const char *const *name = ringmoe_schedule_names(); *name; name++)
        check_named(rig, *name, 4, 2, 1 << 30);
    rig->n_elements = 37;
}

/* A caller's own lists, in which the last rank takes the microbatches in the opposite order, so
 * that all of them have to wait in buffers. */
static void the_other_way_round(test_rig *rig)
{
    enum { M = 6 };
    int p = rig->mesh->pipeline.size, n_items[16];
    ringmoe_schedule_item lists[2][M];
    const ringmoe_schedule_item *items[16];
    for (int i = 0; i < M; i++) {
        lists[0][i] = (ringmoe_schedule_item){RINGMOE_STAGE_FORWARD, i, 0, 0};
        lists[1][i] = (ringmoe_schedule_item){RINGMOE_STAGE_FORWARD, M - 1 - i, 0, 0};
    }
    for (int r = 0; r < p; r++) {
        items[r] = lists[r == p - 1];
        n_items[r] = M;
    }
    ringmoe_schedule *schedule;
    CHECK_STATUS(ringmoe_schedule_from_items(rig->context, p, M, 1, items, n_items, &schedule),
                 RINGMOE_OK, rig->context->error.text);
    rig->n_elements = 60001;
    check_schedule(rig, schedule, 1 << 30);
    rig->n_elements = 37;
    ringmoe_schedule_destroy(&schedule);
}

/* --- failures --- */

static void check_failure(test_rig *rig, ringmoe_pipeline *pipeline, int stage_number)
{
    char expected[64];
    rig->fail_stage = stage_number;
    snprintf(expected, sizeof expected, "stage %d has burst", stage_number);
    CHECK_STATUS(run(rig, pipeline), RINGMOE_ERROR_NUMERIC, rig->context->error.text);
    CHECK(strstr(rig->context->error.text, expected));
    rig->fail_stage = -1;
    CHECK_STATUS(run(rig, pipeline), RINGMOE_OK, rig->context->error.text);
}

static void a_failing_stage_ends_the_run_everywhere(test_rig *rig)
{
    const struct {
        const char *name;
        ringmoe_stage_operation operation;
    } cases[] = {{"gpipe", RINGMOE_STAGE_FORWARD},
                 {"1f1b", RINGMOE_STAGE_BACKWARD},
                 {"interleaved", RINGMOE_STAGE_FORWARD},
                 {"zb-h1", RINGMOE_STAGE_BACKWARD_INPUT},
                 {"zb-h1", RINGMOE_STAGE_BACKWARD_WEIGHT}};
    for (size_t n = 0; n < sizeof cases / sizeof cases[0]; n++) {
        ringmoe_schedule *schedule;
        ringmoe_pipeline *pipeline;
        CHECK_STATUS(ringmoe_schedule_create(rig->context, cases[n].name,
                                             rig->mesh->pipeline.size, 5, 2, &schedule),
                     RINGMOE_OK, rig->context->error.text);
        use_schedule(rig, schedule);
        CHECK_STATUS(ringmoe_pipeline_create(rig->mesh, schedule, rig->n_elements, &pipeline),
                     RINGMOE_OK, rig->context->error.text);
        rig->fail_operation = cases[n].operation;
        for (int s = 0; s < rig->n_stages; s += 1 + rig->n_stages / 4) {
            rig->fail_microbatch = (s + (int)n) % 5;
            check_failure(rig, pipeline, s);
        }
        ringmoe_pipeline_destroy(&pipeline);
        ringmoe_schedule_destroy(&schedule);
    }
}

/* Returns a status and no text. */
static ringmoe_status silent_stage(void *user, const ringmoe_stage_call *call)
{
    int *n_calls = user;
    ++*n_calls;
    return call->stage == 0 && call->microbatch == 1 ? RINGMOE_ERROR_FILE : RINGMOE_OK;
}

static void a_silent_failure_gets_a_line(test_rig *rig)
{
    ringmoe_schedule *schedule;
    ringmoe_pipeline *pipeline;
    int n_calls = 0;
    CHECK_STATUS(ringmoe_schedule_create(rig->context, "forward", rig->mesh->pipeline.size, 9,
                                         1, &schedule),
                 RINGMOE_OK, rig->context->error.text);
    CHECK_STATUS(ringmoe_pipeline_create(rig->mesh, schedule, rig->n_elements, &pipeline),
                 RINGMOE_OK, rig->context->error.text);
    CHECK_STATUS(ringmoe_pipeline_run(pipeline, 0, silent_stage, &n_calls, NULL),
                 RINGMOE_ERROR_FILE, rig->context->error.text);
    CHECK(n_calls == (rig->mesh->pipeline.rank == 0 ? 2 : 1));
    CHECK_TEXT(rig->context->error.text, "stage 0, microbatch 1, forward: file error");
    ringmoe_pipeline_destroy(&pipeline);
    ringmoe_schedule_destroy(&schedule);
}

static void what_does_not_fit_is_refused(test_rig *rig)
{
    ringmoe_schedule *schedule, *longer;
    ringmoe_pipeline *pipeline;
    int p = rig->mesh->pipeline.size;
    CHECK(ringmoe_schedule_create(rig->context, "1f1b", p + 1, 2, 1, &longer) == RINGMOE_OK);
    CHECK(ringmoe_pipeline_create(rig->mesh, longer, 1, &pipeline) == RINGMOE_ERROR_LAYOUT);
    CHECK(pipeline == NULL);
    CHECK(ringmoe_schedule_create(rig->context, "1f1b", p, 2 + (rig->mesh->pipeline.rank > 0),
                                  1, &schedule) == RINGMOE_OK);
    CHECK(ringmoe_pipeline_create(rig->mesh, schedule, 0, &pipeline) == RINGMOE_ERROR_ARGUMENT);
    if (p > 1)
        CHECK(ringmoe_pipeline_create(rig->mesh, schedule, 1, &pipeline) ==
              RINGMOE_ERROR_MISMATCH);
    ringmoe_schedule_destroy(&schedule);
    ringmoe_schedule_destroy(&longer);
}

int main(int argc, char **argv)
{
    ringmoe_context *context;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    CHECK_STATUS(ringmoe_context_create(MPI_COMM_WORLD, NULL, &context), RINGMOE_OK, "");
    for (int p = 1; p <= size; p++) {
        if (size % p || (p == 1 && size > 2)) continue;
        test_rig rig = rig_create(context, p);
        every_schedule_gives_every_stage_its_values(&rig);
        uneven_stages_change_nothing(&rig);
        messages_may_come_in_pieces(&rig);
        long_messages_pass(&rig);
        the_other_way_round(&rig);
        a_failing_stage_ends_the_run_everywhere(&rig);
        a_silent_failure_gets_a_line(&rig);
        what_does_not_fit_is_refused(&rig);
        ringmoe_mesh_destroy(&rig.mesh);
    }
    ringmoe_context_destroy(&context);
    return check_finish("pipeline");
}

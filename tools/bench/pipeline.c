/* SPDX-License-Identifier: MIT
 *
 * `ringmoe bench pipeline`: the bubble of each schedule, measured and as its formula has it.
 * The schedules run in turns, since the speed of a shared machine changes within seconds.
 *
 * A formula takes all stages to cost the same. Where one core was slower than another in a run,
 * the schedule alone leaves more idle: how much tells the simulator, played with what the
 * operations took on each rank and messages that cost nothing. What is measured beyond that is
 * messages, waking up, and operations that differ from one another on the same rank.
 */
#include "pipeline.h"

#include <stdlib.h>
#include <string.h>

#include "json_text.h"

enum { SCHEDULES = 4, PLAIN = 1 };

static const char *const names[SCHEDULES] = {"gpipe", "1f1b", "interleaved", "zb-h1"};

#define ROW(member, ...) OPTION_ROW(pipeline_options, member, __VA_ARGS__)

static const option_row rows[] = {
    ROW(microbatches, INTEGER, "microbatches", "N", "of a run", .low = 1, .high = 65536),
    ROW(chunks, INTEGER, "chunks", "N", "stages a rank, where interleaved", .low = 2,
        .high = 64),
    ROW(work, CHOICE, "work", "auto|products|sleep",
        "of the stages; auto: products if each rank has a core"),
    ROW(rows, INTEGER, "rows", "N", "of a microbatch", .low = 1, .high = 1 << 24),
    ROW(width, INTEGER, "width", "N", "of the square matrices it is multiplied with", .low = 1,
        .high = 1 << 16),
    ROW(stage_ms, NUMBER, "stage-ms", "MS", "a stage that sleeps takes, forward", .low = 0,
        .high = 1e6),
    ROW(repeat, INTEGER, "repeat", "N", "runs to time, after one that is not", .low = 1,
        .high = BENCH_MAX_REPEAT),
    ROW(placement.precision, CHOICE, "precision", "fp32|bf16", "operands of the products"),
    ROW(placement.threads, INTEGER, "threads", "N", "threads of a rank", .high = 4096,
        .otherwise = "this node's cpus shared out"),
    WATCHDOG_ROW(pipeline_options),
    ROW(json, FLAG, "json", NULL, "the result as JSON"),
};

static const option_set set = {
    .usage = "mpiexec -n RANKS ringmoe bench pipeline [options]",
    .summary =
        "The bubble of each pipeline schedule: the share of the ranks' time in which they\n"
        "do not compute, beside what the schedule's formula says.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

/* One schedule with its measurements. */
typedef struct pipeline_subject {
    const char *name;
    int n_chunks,
        peak; /* of microbatches kept on the fullest rank, in ranks' worth of stages */
    ringmoe_schedule *schedule;
    ringmoe_pipeline *pipeline;
    bench_samples bubble, uneven, step_ms; /* uneven: the simulator's, of the same run */
    double best_ms, best_bubble;           /* of the fastest run, which was disturbed least */
    double operation[4];                   /* mean seconds of an operation over all ranks */
} pipeline_subject;

typedef struct pipeline_bench {
    pipeline_stages stages;
    pipeline_subject subjects[SCHEDULES];
    double (*seconds)[4];      /* [ranks]: of the last run's operations, on average */
    ringmoe_stage_cost *costs; /* [ranks * chunks] */
} pipeline_bench;

/* What each stage's operations took on average in the run that has ended, on all ranks: those
 * of an operation that the schedule does not have are 0. */
static void share_costs(const tool_session *session, const pipeline_bench *bench,
                        double seconds[][4], double calls)
{
    for (int rank = 0; rank < session->size; rank++)
        for (int i = 0; i < 4; i++) {
            double own = rank == session->rank ? bench->stages.seconds[i] / calls : 0;
            seconds[rank][i] = session_largest(session, own);
        }
}

/* The bubble of a run of just these costs. */
static int play_run(const tool_session *session, const pipeline_subject *subject,
                    double seconds[][4], ringmoe_stage_cost *costs, double *bubble)
{
    ringmoe_schedule_times times;
    int p = session->size;
    for (int stage = 0; stage < p * subject->n_chunks; stage++) {
        const double *of_rank = seconds[stage % p];
        costs[stage] =
            (ringmoe_stage_cost){.forward = of_rank[RINGMOE_STAGE_FORWARD],
                                 .backward_input = of_rank[RINGMOE_STAGE_BACKWARD] +
                                                   of_rank[RINGMOE_STAGE_BACKWARD_INPUT],
                                 .backward_weight = of_rank[RINGMOE_STAGE_BACKWARD_WEIGHT]};
    }
    int status =
        session_check(session, ringmoe_schedule_simulate(session->context, subject->schedule,
                                                         costs, 0, NULL, &times));
    *bubble = status ? 0 : times.bubble;
    return status;
}

static double sum_over_ranks(const tool_session *session, double value)
{
    double sum = 0;
    for (int rank = 0; rank < session->size; rank++)
        sum += session_largest(session, rank == session->rank ? value : 0);
    return sum;
}

static int open_subject(tool_session *session, const pipeline_options *options,
                        pipeline_subject *subject)
{
    int p = session->size, v = subject->n_chunks;
    int status = session_check(session, ringmoe_schedule_create(session->context, subject->name,
                                                                p, (int)options->microbatches,
                                                                v, &subject->schedule));
    if (status) return status;
    for (int rank = 0; rank < p; rank++) {
        int kept = 0;
        for (int chunk = 0; chunk < v; chunk++)
            kept += ringmoe_schedule_slots(subject->schedule, rank, chunk);
        if (kept > subject->peak) subject->peak = kept;
    }
    return session_check(session, ringmoe_pipeline_create(session->mesh, subject->schedule,
                                                          options->rows * options->width,
                                                          &subject->pipeline));
}

static int open_bench(tool_session *session, const pipeline_options *options,
                      pipeline_bench *bench)
{
    size_t p = (size_t)session->size;
    bench->seconds = calloc(p, sizeof *bench->seconds);
    bench->costs = calloc(p * (size_t)options->chunks, sizeof *bench->costs);
    bool allocated = bench->seconds && bench->costs;
    int status = session_settle(session, allocated ? EXIT_DONE : EXIT_FAILED, "no memory");
    if (!status) status = pipeline_stages_open(session, options, &bench->stages);
    for (int i = 0; i < SCHEDULES && !status; i++) {
        pipeline_subject *subject = &bench->subjects[i];
        subject->name = names[i];
        subject->n_chunks = strcmp(names[i], "interleaved") == 0 ? (int)options->chunks : 1;
        status = open_subject(session, options, subject);
    }
    return status;
}

static void close_bench(pipeline_bench *bench)
{
    for (int i = 0; i < SCHEDULES; i++) {
        ringmoe_pipeline_destroy(&bench->subjects[i].pipeline);
        ringmoe_schedule_destroy(&bench->subjects[i].schedule);
    }
    pipeline_stages_close(&bench->stages);
    free(bench->seconds);
    free(bench->costs);
}

/* One run, which all ranks begin together. */
static int time_run(tool_session *session, const pipeline_options *options,
                    pipeline_bench *bench, pipeline_subject *subject, int64_t turn)
{
    ringmoe_pipeline_times times;
    bench->stages.n_chunks = subject->n_chunks;
    memset(bench->stages.seconds, 0, sizeof bench->stages.seconds);
    int status = session_settle(session, EXIT_DONE, "");
    if (!status)
        status =
            session_check(session, ringmoe_pipeline_run(subject->pipeline, turn, pipeline_stage,
                                                        &bench->stages, &times));
    if (status) return status;
    double total = session_largest(session, times.total);
    double work = sum_over_ranks(session, times.stages);
    double uneven, calls = (double)options->microbatches * subject->n_chunks;
    share_costs(session, bench, bench->seconds, calls);
    status = play_run(session, subject, bench->seconds, bench->costs, &uneven);
    if (status || turn < 0) return status;
    double bubble = 1 - work / (session->size * total), ms = 1e3 * total;
    bench_add(&subject->bubble, bubble);
    bench_add(&subject->uneven, uneven);
    bench_add(&subject->step_ms, ms);
    if (subject->step_ms.count == 1 || ms < subject->best_ms) {
        subject->best_ms = ms;
        subject->best_bubble = bubble;
    }
    for (int rank = 0; rank < session->size; rank++)
        for (int i = 0; i < 4; i++)
            subject->operation[i] +=
                bench->seconds[rank][i] / (session->size * (double)options->repeat);
    return EXIT_DONE;
}

/* The share of time that the formula of the schedule's paper leaves idle; the interleaved one's
 * is that of microbatches that the ranks divide, others have more. ZB-H1's depends on
 * what the three parts of the work cost (Qi et al. 2023, table 2). */
static double formula(const tool_session *session, const pipeline_options *options,
                      const pipeline_subject *subject)
{
    double p = session->size, m = (double)options->microbatches;
    if (strcmp(subject->name, "zb-h1") != 0) return (p - 1) / (subject->n_chunks * m + p - 1);
    double forward = subject->operation[RINGMOE_STAGE_FORWARD];
    double input = subject->operation[RINGMOE_STAGE_BACKWARD_INPUT];
    double weight = subject->operation[RINGMOE_STAGE_BACKWARD_WEIGHT];
    double idle = (p - 1) * (forward + input - weight);
    return idle / (m * (forward + input + weight) + idle);
}

static void print_table(const tool_session *session, const pipeline_options *options,
                        const pipeline_bench *bench)
{
    printf("%d ranks, %lld microbatches, stages of ", session->size,
           (long long)options->microbatches);
    if (options->work == WORK_PRODUCTS)
        printf("products [%lld][%lld]\n", (long long)options->rows, (long long)options->width);
    else
        printf("sleep, %g ms forward\n", options->stage_ms);
    printf("schedule     chunks  bubble: formula    uneven    median   fastest    run ms  over "
           "1f1b  kept\n");
    double plain = bench_median(&bench->subjects[PLAIN].step_ms);
    for (int i = 0; i < SCHEDULES; i++) {
        const pipeline_subject *subject = &bench->subjects[i];
        double ms = bench_median(&subject->step_ms);
        printf("%-11s  %6d  %13.1f %%  %6.1f %%  %6.1f %%  %6.1f %%  %8.2f  %9.3f  %4.1f\n",
               subject->name, subject->n_chunks, 100 * formula(session, options, subject),
               100 * bench_median(&subject->uneven), 100 * bench_median(&subject->bubble),
               100 * subject->best_bubble, ms, ms / plain,
               (double)subject->peak / subject->n_chunks);
    }
    printf("medians of %lld runs in turns, and the bubble of the fastest; kept: microbatches' "
           "activations on the fullest rank;\nuneven: the schedule's bubble with what the "
           "operations took on each rank, if messages cost nothing\n",
           (long long)options->repeat);
}

static json_t *subject_to_json(const tool_session *session, const pipeline_options *options,
                               const pipeline_subject *subject, double plain_ms)
{
    double ms = bench_median(&subject->step_ms);
    json_t *object = json_object();
    json_object_set_new(object, "schedule", json_string(subject->name));
    json_object_set_new(object, "chunks", json_integer(subject->n_chunks));
    json_object_set_new(object, "formula", json_number(formula(session, options, subject)));
    json_object_set_new(object, "uneven", json_number(bench_median(&subject->uneven)));
    json_object_set_new(object, "measured", json_number(bench_median(&subject->bubble)));
    json_object_set_new(object, "measured_fastest", json_number(subject->best_bubble));
    json_object_set_new(object, "run_ms", json_number(ms));
    json_object_set_new(object, "over_1f1b", json_number(ms / plain_ms));
    json_object_set_new(object, "kept", json_number((double)subject->peak / subject->n_chunks));
    return object;
}

static json_t *bench_to_json(const tool_session *session, const pipeline_options *options,
                             const pipeline_bench *bench)
{
    double plain = bench_median(&bench->subjects[PLAIN].step_ms);
    json_t *object = json_object(), *list = json_array();
    json_object_set_new(object, "ranks", json_integer(session->size));
    json_object_set_new(object, "microbatches", json_integer(options->microbatches));
    json_object_set_new(object, "work",
                        json_string(options->work == WORK_PRODUCTS ? "products" : "sleep"));
    for (int i = 0; i < SCHEDULES; i++)
        json_array_append_new(list,
                              subject_to_json(session, options, &bench->subjects[i], plain));
    json_object_set_new(object, "schedules", list);
    return object;
}

/* Every rank is a stage. */
static int open_ring(tool_session *session, pipeline_options *options)
{
    ringmoe_mesh_dims dims = {.pipeline = session->size, .data = 1, .expert = 1, .tensor = 1};
    int status = session_open(session, &options->placement);
    if (status) return status;
    bool is_shared = session_largest(session, session->cpu_share < 1 - 1e-6) > 0;
    if (options->work == WORK_AUTO) options->work = is_shared ? WORK_SLEEP : WORK_PRODUCTS;
    return session_check(session,
                         ringmoe_mesh_create(session->context, &dims, 0, &session->mesh));
}

static int check_options(const tool_session *session, const pipeline_options *options)
{
    if (session->size == 1)
        return session_fail(session, EXIT_USAGE,
                            "one rank has no bubble: start it with mpiexec -n 2 or more");
    if (options->rows % options->chunks)
        return session_fail(session, EXIT_USAGE,
                            "--rows %lld: %lld chunks of a rank could not share them: give a "
                            "multiple",
                            (long long)options->rows, (long long)options->chunks);
    return EXIT_DONE;
}

int bench_pipeline(tool_session *session, int argc, char **argv)
{
    pipeline_options options = {.microbatches = 8,
                                .chunks = 2,
                                .rows = 512,
                                .width = 1024,
                                .stage_ms = 20,
                                .repeat = 5,
                                PLACEMENT_DEFAULT};
    option_result given;
    int status;
    if (!session_parse(session, &set, argc, argv, &options, &given, &status)) return status;
    status = check_options(session, &options);
    if (status) return status;
    pipeline_bench *bench = calloc(1, sizeof *bench);
    status = open_ring(session, &options);
    if (!status) status = session_settle(session, bench ? EXIT_DONE : EXIT_FAILED, "no memory");
    if (!status) status = open_bench(session, &options, bench);
    for (int64_t turn = -1; turn < options.repeat && !status; turn++)
        for (int i = 0; i < SCHEDULES && !status; i++)
            status = time_run(session, &options, bench, &bench->subjects[i], turn);
    if (!status && session->rank == 0) {
        if (options.json)
            status = session_print_json(session, bench_to_json(session, &options, bench));
        else
            print_table(session, &options, bench);
    }
    if (bench) close_bench(bench);
    free(bench);
    return status;
}

/* SPDX-License-Identifier: MIT
 *
 * One product by all contenders in turns. A turn is one call, or as many as take two
 * milliseconds; the best turn counts, since other programs can only make one slower. Before the
 * clock runs, everyone's numbers are compared with OpenBLAS's.
 */
#include "gemm.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RUNNERS = GEMM_MAX_LIBRARIES + 2, MOST_SAMPLED = 4096, LEAST_TURNS = 2, TRIALS = 3 };
static const double turn_seconds = 0.002;
/* After so long a case has had turns enough; a first call this long is itself a turn; and one
 * turn this long says enough. */
static const double case_seconds = 0.15, long_call_seconds = 0.1, longest_call_seconds = 0.5;
/* Of the numbers' size, by precision: rounding stays far below. */
static const double most_difference[GEMM_PRECISIONS] = {1e-4, 2e-2, 6e-2, 6e-1};

const gemm_contender *const gemm_libraries[] = {&gemm_openblas,
#ifdef RINGMOE_HAVE_ONEDNN
                                                &gemm_onednn,
#endif
                                                NULL};

typedef struct runner {
    const gemm_contender *contender;
    const gemm_problem *problem;
    void *state;
    bool is_ready;
    int set; /* whose turn it is */
    int64_t calls;
    bench_samples samples;
} runner;

/* Libraries, then ours, then ours with a single expert. */
typedef struct runners {
    runner all[MAX_RUNNERS];
    int count, n_libraries;
    gemm_problem single;
} runners;

/* What a problem writes, with its size. */
static ringmoe_real *output_of(const gemm_problem *problem, int64_t rows, int64_t *n)
{
    const gemm_shape *shape = &problem->shape;
    switch (problem->operation) {
    case GEMM_FORWARD:
        *n = rows * shape->n_out;
        return problem->y;
    case GEMM_BACKWARD_INPUT:
        *n = rows * shape->n_in;
        return problem->d_x;
    default:
        *n = problem->n_experts * shape->n_in * shape->n_out;
        return problem->d_w;
    }
}

/* Some numbers of an output, spread over all of it. */
typedef struct sample {
    double values[MOST_SAMPLED];
    int n;
} sample;

/* Runs with the first set, from an output that is NaN where it is looked at. */
static bool run_sampled(const runner *r, const int64_t *offsets, sample *seen, double *seconds)
{
    int64_t n;
    ringmoe_real *output = output_of(r->problem, offsets[r->problem->n_experts], &n);
    int64_t step = n / MOST_SAMPLED + 1;
    seen->n = 0;
    for (int64_t i = 0; i < n; i += step) output[i] = (ringmoe_real)NAN;
    double start = clock_seconds();
    bool done = r->contender->run(r->state, 0);
    *seconds = clock_seconds() - start;
    for (int64_t i = 0; i < n; i += step) seen->values[seen->n++] = (double)output[i];
    return done;
}

/* Root mean square of the differences over that of the numbers. */
static double difference(const sample *seen, const sample *expected)
{
    double squares = 0, total = 0;
    for (int i = 0; i < expected->n; i++) {
        double off = seen->values[i] - expected->values[i];
        squares += off * off;
        total += expected->values[i] * expected->values[i];
    }
    return sqrt(squares / (total > 0 ? total : 1));
}

static bool take_turn(runner *r, double *seconds)
{
    bool done = true;
    double start = clock_seconds();
    for (int64_t i = 0; i < r->calls; i++) {
        done = done && r->contender->run(r->state, r->set);
        r->set = (r->set + 1) % r->problem->n_sets;
    }
    *seconds = (clock_seconds() - start) / (double)r->calls;
    return done;
}

/* How many calls make a turn, from the best of a few that are not the first. */
static bool set_turn(runner *r, double first_seconds)
{
    double best = first_seconds, seconds;
    r->calls = 1;
    r->samples.count = 0;
    r->set = 1 % r->problem->n_sets;
    if (first_seconds >= long_call_seconds) {
        bench_add(&r->samples, first_seconds);
        return true;
    }
    for (int i = 0; i < TRIALS && (i == 0 || best < turn_seconds); i++) {
        if (!take_turn(r, &seconds)) return false;
        if (seconds < best) best = seconds;
    }
    if (best < turn_seconds) r->calls = (int64_t)(turn_seconds / (best + 1e-9)) + 1;
    return true;
}

static int fail_run(const gemm_run *run, const runner *r, const char *what)
{
    return session_fail(run->session, EXIT_FAILED, "%s %s: %s %s, %lldx%lld",
                        r->contender->name, what, gemm_operation_names[r->problem->operation],
                        gemm_precision_name((int)r->problem->precision),
                        (long long)r->problem->shape.n_in, (long long)r->problem->shape.n_out);
}

static int prepare_all(const gemm_run *run, runners *them, const gemm_rows *rows,
                       const int64_t single_offsets[2])
{
    sample seen, expected;
    double seconds;
    for (int i = 0; i < them->count; i++) {
        runner *r = &them->all[i];
        bool is_single = r->problem == &them->single;
        const int64_t *offsets = is_single ? single_offsets : rows->offsets;
        r->is_ready = r->contender->prepare(r->state, offsets);
        if (!r->is_ready) continue;
        if (!run_sampled(r, offsets, i == 0 ? &expected : &seen, &seconds) ||
            !set_turn(r, seconds))
            return fail_run(run, r, "cannot multiply");
        bool is_compared = i > 0 && !is_single;
        if (is_compared &&
            !(difference(&seen, &expected) <= most_difference[r->problem->precision]))
            return fail_run(run, r, "gives other numbers than OpenBLAS; please report it");
    }
    return EXIT_DONE;
}

static bool has_enough(const runners *them)
{
    for (int i = 0; i < them->count; i++) {
        const bench_samples *samples = &them->all[i].samples;
        if (!them->all[i].is_ready || samples->count >= LEAST_TURNS) continue;
        if (samples->count == 0 || samples->values[0] < longest_call_seconds) return false;
    }
    return true;
}

/* Spent on calls that count as turns. */
static double first_seconds(const runners *them)
{
    double sum = 0;
    for (int i = 0; i < them->count; i++)
        if (them->all[i].is_ready && them->all[i].samples.count)
            sum += them->all[i].samples.values[0];
    return sum;
}

static int take_turns(const gemm_run *run, runners *them)
{
    double start = clock_seconds() - first_seconds(them), seconds;
    for (int64_t turn = 0; turn < run->plan.repeat; turn++) {
        if (has_enough(them) && clock_seconds() - start > case_seconds) break;
        for (int i = 0; i < them->count; i++) {
            runner *r = &them->all[i];
            if (!r->is_ready || r->samples.count >= run->plan.repeat) continue;
            if (!take_turn(r, &seconds)) return fail_run(run, r, "cannot multiply");
            bench_add(&r->samples, seconds);
        }
    }
    return EXIT_DONE;
}

static gemm_timing timing_of(const runner *r)
{
    if (!r->is_ready) return (gemm_timing){.best = 0};
    return (gemm_timing){.best = bench_least(&r->samples),
                         .median = bench_median(&r->samples),
                         .note = r->contender->note(r->state)};
}

static int measure_rows(gemm_run *run, runners *them, const gemm_problem *problem,
                        const gemm_rows *rows)
{
    const int64_t single_offsets[2] = {0, rows->single_rows};
    gemm_result result = {.operation = problem->operation,
                          .precision = problem->precision,
                          .shape = problem->shape,
                          .n_threads = problem->n_threads,
                          .n_experts = problem->n_experts,
                          .n_sets = problem->n_sets,
                          .rows = rows->offsets[problem->n_experts],
                          .single_rows = rows->single_rows};
    int status = prepare_all(run, them, rows, single_offsets);
    if (!status) status = take_turns(run, them);
    if (status) return status;
    gemm_result_describe(&result, rows->offsets);
    for (int i = 0; i < them->n_libraries; i++) result.libraries[i] = timing_of(&them->all[i]);
    result.ours = timing_of(&them->all[them->n_libraries]);
    if (rows->single_rows) result.single = timing_of(&them->all[them->n_libraries + 1]);
    run->work_done += gemm_work(result.flops);
    if (gemm_result_append(run, &result)) return EXIT_DONE;
    return session_fail(run->session, EXIT_FAILED, "no memory for the results");
}

static int open_runner(const gemm_run *run, runners *them, const gemm_contender *contender,
                       const gemm_problem *problem)
{
    char error[256] = "";
    runner *r = &them->all[them->count++];
    *r = (runner){.contender = contender, .problem = problem};
    r->state = contender->open(problem, error);
    if (r->state) return EXIT_DONE;
    return session_fail(run->session, EXIT_FAILED, "%s", error[0] ? error : "no memory");
}

static int open_all(const gemm_run *run, runners *them, const gemm_problem *problem,
                    bool with_single)
{
    int status = EXIT_DONE;
    while (!status && gemm_libraries[them->n_libraries])
        status = open_runner(run, them, gemm_libraries[them->n_libraries++], problem);
    if (!status) status = open_runner(run, them, &gemm_ours, problem);
    if (status || !with_single) return status;
    int n_matrices = problem->n_sets * problem->n_experts;
    int n_sets =
        gemm_count_sets(&run->plan, &problem->shape, 1, problem->precision, problem->n_threads);
    them->single = *problem;
    them->single.n_experts = 1;
    them->single.n_sets = n_sets < n_matrices ? n_sets : n_matrices;
    return open_runner(run, them, &gemm_ours, &them->single);
}

static void show_progress(gemm_run *run, const gemm_problem *problem, int64_t rows)
{
    char text[128];
    snprintf(text, sizeof text, "%s %s %lldx%lld, %lld rows, %d thread%s",
             gemm_operation_names[problem->operation],
             gemm_precision_name((int)problem->precision), (long long)problem->shape.n_in,
             (long long)problem->shape.n_out, (long long)rows, problem->n_threads,
             problem->n_threads > 1 ? "s" : "");
    progress_show(&run->progress, run->work_done / run->work, text);
}

int gemm_measure(gemm_run *run, const gemm_problem *problem, const gemm_rows *rows, int n_rows)
{
    runners *them = calloc(1, sizeof *them);
    if (!them) return session_fail(run->session, EXIT_FAILED, "no memory");
    /* Libraries follow the process's own setting, which is the command's to change. */
    omp_set_num_threads(problem->n_threads);
    show_progress(run, problem, rows[0].offsets[problem->n_experts]);
    int status = open_all(run, them, problem, rows[0].single_rows > 0);
    for (int i = 0; !status && i < n_rows; i++) {
        show_progress(run, problem, rows[i].offsets[problem->n_experts]);
        status = measure_rows(run, them, problem, &rows[i]);
    }
    for (int i = 0; i < them->count; i++)
        if (them->all[i].state) them->all[i].contender->close(them->all[i].state);
    free(them);
    return status;
}

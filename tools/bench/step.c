/* SPDX-License-Identifier: MIT
 *
 * `ringmoe bench step`: training steps on the synthetic language. With --against the same steps
 * are made in another way too, in turns, since the speed of a shared machine changes within
 * seconds.
 */
#include "step.h"

#include <stdlib.h>

#include "source.h"

enum { CEILING_ROUNDS = 15 };

#define ROW(member, ...) OPTION_ROW(step_options, member, __VA_ARGS__)

static const option_row rows[] = {
    ROW(model, TEXT, "model", "NAME", "tiny, small, base, a config.json or a folder"),
    ROW(train.seq_len, INTEGER, "seq-len", "N", "tokens of a sequence", .low = 1, .high = 1e9),
    ROW(train.microbatch, INTEGER, "microbatch", "N", "sequences of a microbatch", .low = 1,
        .high = 1e9),
    ROW(train.global_batch, INTEGER, "global-batch", "N", "sequences of a step, over all ranks",
        .low = 1, .high = 1e9),
    ROW(repeat, INTEGER, "repeat", "N", "steps to time, after one that is not", .low = 1,
        .high = BENCH_MAX_REPEAT),
    ROW(load, CHOICE, "load", LOAD_WORDS, "how tokens spread over the experts"),
    ROW(against, CHOICE, "against", AGAINST_WORDS, "what to set beside them"),
    PLACEMENT_ROWS(step_options),
    EXECUTION_ROWS(step_options),
    ROW(json, FLAG, "json", NULL, "the result as JSON"),
};

static const option_set set = {
    .usage = "ringmoe bench step [options]",
    .summary =
        "Speed of training steps, where their time goes, the share of the machine's\n"
        "measured peak, and memory against the plan. --against makes other steps in turns\n"
        "with these and tells the ratio: of the dense model of the same active size;\n"
        "without overlap of messages and work; reproducible over tensor ranks; by one rank\n"
        "that has all the threads, which says something if all ranks share one node; with\n"
        "the other ways of --shadow. --load even: weights are held still while the routers'\n"
        "biases are moved until the experts are loaded alike, before anything is timed;\n"
        "skewed: held still without that; untrained: the first steps of a training.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

/* The first step touches fresh memory and is not counted. */
static int run_steps(tool_session *session, const step_options *options,
                     bench_subject *subjects)
{
    int n = 1 + against_subjects((step_against)options->against), status = EXIT_DONE;
    for (int s = 0; !status && s < n; s++) status = load_settle(session, options, &subjects[s]);
    for (int64_t i = -1; !status && i < options->repeat; i++)
        for (int s = 0; !status && s < n; s++)
            status = subject_step(session, &subjects[s], i >= 0);
    return status;
}

static int plan_memory(tool_session *session, const step_options *options,
                       const bench_subject *subject, const ringmoe_mesh_dims *dims,
                       ringmoe_memory_plan *plan)
{
    ringmoe_batch_shape batch = execution_batch(&options->train);
    return session_check(
        session, ringmoe_model_memory_plan(session->context, &subject->config, dims,
                                           (ringmoe_precision)options->placement.precision,
                                           &batch, plan));
}

static int plan_both(tool_session *session, const step_options *options,
                     const bench_subject *subject, step_machine *machine)
{
    ringmoe_mesh_dims dims = ringmoe_mesh_get_dims(session->mesh), one = {1, 1, 1, 1};
    int status = plan_memory(session, options, subject, &dims, &machine->plan);
    if (status) return status;
    return plan_memory(session, options, subject, &one, &machine->plan_one_rank);
}

static int measure(tool_session *session, const step_options *options,
                   const ringmoe_model_config *config, const ringmoe_tokens *tokens,
                   bench_subject *subjects, step_machine *machine)
{
    step_against against = (step_against)options->against;
    machine->resident_before = session_largest(session, bench_peak_resident());
    int status =
        subject_open(session, options, AGAINST_NOTHING, 0, config, tokens, &subjects[0]);
    for (int i = 1; !status && i <= against_subjects(against); i++)
        status = subject_open(session, options, against, i, config, tokens, &subjects[i]);
    if (!status) status = run_steps(session, options, subjects);
    if (!status) status = plan_both(session, options, subjects, machine);
    machine->resident_peak = session_largest(session, bench_peak_resident());
    if (status) return status;
    ringmoe_trainer_settings(subjects[0].trainer, &subjects[0].train);
    return session_check(
        session, ringmoe_machine_measure(session->context, CEILING_ROUNDS, &machine->ceilings));
}

/* Everything up to the first trainer. */
static int open_bench(tool_session *session, step_options *options,
                      ringmoe_model_config *config, ringmoe_tokens **tokens)
{
    int status = session_execution(session, &options->execution, &options->train);
    if (!status) status = session_open(session, &options->placement);
    if (!status) status = source_config(session, options->model, config);
    if (!status && options->against == AGAINST_REPRODUCIBLE && options->train.reproducible)
        status = session_fail(session, EXIT_USAGE,
                              "--against reproducible: these steps are so too: leave "
                              "--reproducible out");
    if (!status && options->against == AGAINST_DENSE && config->num_local_experts == 0)
        status = session_fail(session, EXIT_USAGE, "--against dense: --model %s has no experts",
                              options->model);
    if (!status)
        status = session_layout(session, &options->placement, config->num_local_experts);
    if (!status && options->against == AGAINST_SHADOW &&
        ringmoe_mesh_get_dims(session->mesh).expert == 1)
        status = session_fail(session, EXIT_USAGE,
                              "--against shadow: experts are copied between the ranks of the "
                              "expert axis: give --ep 2 or more");
    if (status) return status;
    return session_check(
        session, ringmoe_tokens_synthetic(session->context, 0, SYNTHETIC_TOKENS / 4, tokens));
}

int bench_step(tool_session *session, int argc, char **argv)
{
    step_options options = {PLACEMENT_DEFAULT, .model = "base", .repeat = 5,
                            .placement.precision = RINGMOE_PRECISION_BF16};
    bench_subject subjects[MOST_SUBJECTS] = {{.tokens = 0}};
    ringmoe_model_config config;
    ringmoe_tokens *tokens = NULL;
    step_machine machine = {0};
    option_result given;
    int status;
    ringmoe_train_settings_default(&options.train);
    options.train.global_batch = 8;
    if (!session_parse(session, &set, argc, argv, &options, &given, &status)) return status;
    status = open_bench(session, &options, &config, &tokens);
    if (!status) status = measure(session, &options, &config, tokens, subjects, &machine);
    if (!status && session->rank == 0 && options.json)
        status = step_print_json(session, &options, subjects, &machine);
    else if (!status && session->rank == 0)
        step_print_text(session, &options, subjects, &machine);
    for (int i = 0; i < MOST_SUBJECTS; i++) subject_close(&subjects[i]);
    ringmoe_tokens_destroy(&tokens);
    return status;
}

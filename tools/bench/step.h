/* SPDX-License-Identifier: MIT
 *
 * `ringmoe bench step`:
 *
 *   step.c          the command: options, and what of the machine is measured beside it
 *   step_load.c     how the experts are loaded: models and steps that lead there
 *   step_subject.c  one way of making a step, and its times
 *   step_report.c   the figures, on the screen and as JSON
 */
#ifndef TOOLS_BENCH_STEP_H
#define TOOLS_BENCH_STEP_H

#include "bench.h"

/* What the steps are compared with, in turns with them. */
typedef enum step_against {
    AGAINST_NOTHING,
    AGAINST_DENSE,        /* the dense model of the same active size */
    AGAINST_NO_OVERLAP,   /* nothing travels while something is computed */
    AGAINST_REPRODUCIBLE, /* sums in fixed blocks */
    AGAINST_ONE_RANK,     /* all threads as one rank's, without any message */
    AGAINST_SHADOW,       /* the two other ways of --shadow */
} step_against;
#define AGAINST_WORDS "nothing|dense|no-overlap|reproducible|one-rank|shadow"
enum { MOST_SUBJECTS = 3 };

/* How tokens spread over the experts. */
typedef enum step_load {
    LOAD_EVEN,     /* as in most of a training */
    LOAD_SKEWED,   /* some experts have twice their share */
    LOAD_UNTRAINED /* the first steps of a training, where two experts take nearly all */
} step_load;
#define LOAD_WORDS "even|skewed|untrained"

typedef struct step_options {
    tool_placement placement;
    tool_execution execution;
    ringmoe_train_settings train;
    const char *model;
    int64_t repeat;
    int against; /* a step_against */
    int load;    /* a step_load */
    int json;
} step_options;

/* One way of making a step. */
typedef struct bench_subject {
    ringmoe_model_config config;
    ringmoe_train_settings train;
    ringmoe_context *context; /* the session's, or own_context */
    ringmoe_mesh *mesh;
    ringmoe_context *own_context;
    ringmoe_mesh *own_mesh;
    bool is_one_rank; /* of rank 0 alone; the others sleep */
    ringmoe_trainer *trainer;
    bench_samples step, compute, exchange, wait, pipeline_wait, optimizer; /* ms */
    bench_samples load, worst_load; /* max/mean of the experts, of the mean and worst layer */
    bench_samples shadows;          /* experts copied */
    double tokens;                  /* of a step */
} bench_subject;

/* The model of the options as it is, or as `against` has it, and number `i` (from 1) of what
 * that word stands for. */
int subject_open(tool_session *session, const step_options *options, step_against against,
                 int i, const ringmoe_model_config *config, const ringmoe_tokens *tokens,
                 bench_subject *subject);
int subject_step(tool_session *session, bench_subject *subject, bool is_timed);
void subject_close(bench_subject *subject);
/* How many there are beside the steps themselves. */
int against_subjects(step_against against);

/* Changes a model and its training so that its load will be so. */
void load_prepare(step_load load, ringmoe_model_config *config, ringmoe_train_settings *train);
/* Steps that are not timed, until the load is what it should be. */
int load_settle(tool_session *session, const step_options *options, bench_subject *subject);
/* Max over mean of the experts of the last step: mean over the layers that have some. */
double load_of_layers(const bench_subject *subject);

/* Figures of the machine and of the memory beside the subjects' times. */
typedef struct step_machine {
    ringmoe_machine_ceilings ceilings;
    double resident_before, resident_peak; /* of the rank with most, bytes */
    ringmoe_memory_plan plan, plan_one_rank;
} step_machine;

/* subjects: the steps themselves, and then what they are compared with. */
void step_print_text(const tool_session *session, const step_options *options,
                     const bench_subject *subjects, const step_machine *machine);
int step_print_json(const tool_session *session, const step_options *options,
                    const bench_subject *subjects, const step_machine *machine);

#endif

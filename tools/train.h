/* SPDX-License-Identifier: MIT
 *
 * The parts of `ringmoe train`, in the order of a run:
 *
 *   train_options.c  the table of options
 *   train.c          the command: opens everything in order, gives it back in reverse
 *   train_budget.c   --minutes becomes a number of steps
 *   train_memory.c   whether it fits into the memory
 *   train_record.c   run.json
 *   train_header.c   what the screen says first
 *   train_loop.c     the steps: metrics, validation, checkpoints, reasons to stop
 *   train_load.c     how evenly experts and ranks are loaded
 *   train_save.c     checkpoints, and what stays of a run that goes wrong
 *   train_finish.c   the last figures, a sample, where things are
 */
#ifndef TOOLS_TRAIN_H
#define TOOLS_TRAIN_H

#include "progress.h"
#include "run.h"
#include "source.h"

/* Sequences of a validation unless --eval-sequences says otherwise. */
#define TRAIN_EVAL_SEQUENCES 32

typedef struct train_options {
    tool_placement placement;
    tool_execution execution;
    ringmoe_train_settings train;
    const char *data, *val, *model, *out;
    int format;
    double val_fraction;
    int64_t save_every; /* -1: a tenth of the run */
    int64_t keep, eval_every, eval_sequences, sample_tokens;
    double minutes;
    int resume, json;
} train_options;

/* Everything a run has open. */
typedef struct train_job {
    tool_session *session;
    train_options options;
    ringmoe_model_config config;
    ringmoe_tokens *all, *train_part, *val_part; /* parts of `all` unless --val names a file */
    ringmoe_tokens *val_file;
    const ringmoe_tokens *data, *val; /* what is trained and validated on; val NULL: nothing */
    ringmoe_trainer *trainer;
    run_folder run;
    json_t *resumed; /* run.json as it was on --resume: `options` points into it */
    progress progress;
    FILE *screen;               /* stdout; stderr with --json */
    double start;               /* wall clock at the start, seconds */
    ringmoe_step_metrics last;  /* of the newest step */
    double val_loss;            /* the newest, NaN: none */
    int64_t saved_step;         /* of the newest checkpoint, -1: none */
    bool interrupted, finished; /* stopped by a signal; came to its end */
} train_job;

extern const option_set train_option_set;
void train_options_default(train_options *options);

/* Sets the number of steps so that training takes about --minutes. Returns an exit status. */
int train_budget(train_job *job);

/* What training takes on this rank; false if it cannot be told. Local. */
bool train_plan_memory(const train_job *job, ringmoe_memory_plan *plan);
/* Refuses a run that does not fit into a node's free memory. Returns an exit status. */
int train_check_memory(const train_job *job);

/* run.json: what a later reader needs to know, and what --resume takes its settings from. */
json_t *train_describe(const train_job *job);

void train_print_header(const train_job *job);

/* All steps from where the trainer stands. Returns an exit status. */
int train_loop(train_job *job);
/* Saves a checkpoint of the step the trainer stands at, if it is not there yet, and then
 * removes those that --keep has no room for. */
int train_save(train_job *job);
/* After a step or an evaluation that failed on all ranks: keeps what is good and says what and
 * where it is. Returns the exit status. */
int train_fail(train_job *job, ringmoe_status problem);
/* Nothing more is shown of the progress. */
void train_end_progress(train_job *job);

int train_finish(train_job *job);

/* Adds the last step's loads and waits to its line of metrics. */
void train_load_to_json(const train_job *job, json_t *line);
/* Says on the screen what is uneven enough to matter. */
void train_print_load(const train_job *job);

/* Seconds since job->start. */
double train_elapsed(const train_job *job);

#endif

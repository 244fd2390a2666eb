/* SPDX-License-Identifier: MIT
 *
 * The parts of `ringmoe train`, in the order of a run:
 *
 *   options.c  the table of options
 *   train.c          the command: opens everything in order, gives it back in reverse
 *   budget.c   --minutes becomes a number of steps
 *   memory.c   whether it fits into the memory
 *   resume.c   where it begins: at step 0, from a checkpoint, from the weights of another
 *   record.c   run.json
 *   header.c   what the screen says first
 *   loop.c     the steps: metrics, validation, checkpoints, reasons to stop
 *   load.c     how evenly experts and ranks are loaded
 *   save.c     checkpoints beside training, their links, and saves that fail
 *   fail.c     what stays of a run that goes wrong
 *   finish.c   the last figures, a sample, where things are
 */
#ifndef TOOLS_TRAIN_H
#define TOOLS_TRAIN_H

#include "progress.h"
#include "run.h"
#include "source.h"

/* Sequences of a validation unless --eval-sequences says otherwise. */
#define TRAIN_EVAL_SEQUENCES 32

/* The words of --resume. */
#define RESUME_WORDS "off|run|weights"
enum { RESUME_OFF, RESUME_RUN, RESUME_WEIGHTS };

/* The words of --save-async. */
#define SAVE_ASYNC_WORDS "auto|on|off"
enum { SAVE_ASYNC_AUTO, SAVE_ASYNC_ON, SAVE_ASYNC_OFF };

typedef struct train_options {
    tool_placement placement;
    tool_execution execution;
    ringmoe_train_settings train;
    const char *data, *val, *model, *out, *tokenizer;
    int format;
    double val_fraction;
    int64_t save_every; /* -1: a tenth of the run */
    int64_t keep, eval_every, eval_sequences, sample_tokens;
    double minutes;
    int save_async, resume, json;
} train_options;

/* The run's checkpoints; the same on every rank, but for the texts. */
typedef struct train_saves {
    int64_t step; /* of the newest checkpoint, -1: none */
    int64_t best_step;
    double best_loss;     /* of the best checkpoint's validation; infinite: none */
    bool is_under_way;    /* a save is, of the step and with the validation that follow */
    int64_t pending_step; /* also of a save that failed */
    double pending_loss;  /* NAN: not validated */
    int64_t buffer_bytes; /* -1: not chosen yet */
    char failure[RUN_PATH + 512];      /* why the newest state was not saved; "": it was */
    bool is_ending;                    /* the run is: what is not saved now is lost */
    bool links_failed, metrics_failed; /* and it has been said */
} train_saves;

/* Everything a run has open. */
typedef struct train_job {
    tool_session *session;
    train_options options;
    ringmoe_model_config config;
    ringmoe_tokenizer *tokenizer;                /* NULL: tokens are bytes, or given */
    ringmoe_tokens *all, *train_part, *val_part; /* parts of `all` unless --val names a file */
    ringmoe_tokens *val_file;
    const ringmoe_tokens *data, *val; /* what is trained and validated on; val NULL: nothing */
    ringmoe_trainer *trainer;
    run_folder run;
    json_t *resumed; /* run.json as it was on --resume: `options` points into it */
    progress progress;
    FILE *screen;              /* stdout; stderr with --json */
    double start;              /* wall clock at the start, seconds */
    ringmoe_step_metrics last; /* of the newest step */
    double val_loss;           /* the newest, NaN: none */
    train_saves saves;
    json_t *line;              /* the newest of metrics, or NULL */
    json_t *news;              /* warnings and saves for the next line of metrics, or NULL */
    bool leaves_weights;       /* the model has weights, and the run does not begin with them */
    char weights[SOURCE_PATH]; /* whose weights this start began with; "": none's */
    bool finished;             /* came to its end */
} train_job;

/* Keys of run.json: the folder whose weights a run began with, and a hash of what it validates
 * on. */
#define TRAIN_FIRST_WEIGHTS "first_weights"
#define TRAIN_VAL_HASH "val_hash"

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
/* Finds where the run begins, and brings the trainer there. Returns an exit status. */
int train_resume(train_job *job);
/* Links and leftovers of the run's checkpoints, when the run's folder is open. */
int train_resume_folder(train_job *job);

/* Saves what the trainer has, if it is not saved yet, beside training; an earlier save is
 * waited for. A save that fails is a warning. `val_loss`: of the step's validation, or NAN. All
 * these return an exit status, of what training cannot go on after. */
int train_save_begin(train_job *job, double val_loss);
/* After the first step: takes the memory of saves beside training, if there will be any, as
 * much as the system grants. */
void train_save_prepare(train_job *job);
/* To be called after each step. */
int train_save_poll(train_job *job);
/* Before the run ends in any way: waits for the save, and writes the metrics that could not be
 * written before. Fails, with a line that says what is lost, if the newest state asked for is
 * not on the disk. */
int train_save_finish(train_job *job);
/* Whether a validation is better than that of any checkpoint. */
bool train_save_is_best(const train_job *job, double val_loss);

/* A warning on the screen and in the next line of metrics. Rank 0 says it. */
void train_warn(train_job *job, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Adds what happened since the last line of metrics. */
void train_news_to_json(train_job *job, json_t *line);

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

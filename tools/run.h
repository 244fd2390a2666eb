/* SPDX-License-Identifier: MIT
 *
 * The folder of a run, which rank 0 keeps:
 *
 *   run.json                 every setting, the data's hash, the layout, the state
 *   metrics.jsonl            one JSON object a step
 *   checkpoints/step-NNNNNN  written by ringmoe_trainer_save_start
 *   checkpoints/latest       link to the newest of them
 *   checkpoints/best         link to the one with the lowest validation loss
 *
 * Functions that return bool leave one line in run->error where they return false.
 */
#ifndef TOOLS_RUN_H
#define TOOLS_RUN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUN_PATH 3072

typedef struct run_folder {
    char path[RUN_PATH];
    json_t *record;       /* what run.json says */
    int metrics;          /* descriptor of metrics.jsonl; -1: closed */
    int64_t metrics_size; /* bytes of whole lines in it */
    char *waiting;        /* lines that could not be written yet, to be tried again */
    size_t waiting_size;
    size_t newest_bytes;               /* of the newest line; 0: it was lost */
    int64_t waiting_lines, lost_lines; /* lost: there were too many to keep */
    char error[RUN_PATH + 512];
} run_folder;

/* Picks the first free runs/<model>-<n>. */
bool run_choose(run_folder *run, const char *model);
/* Whether a folder holds a run that can be resumed. */
bool run_exists(const char *path);
/* Whether it holds anything of a run: run.json, metrics or checkpoints. */
bool run_is_taken(const char *path);
/* Reads run.json of the run at run->path. */
bool run_read(run_folder *run);

/* Makes the folder, run.json with state "running" and metrics.jsonl cut behind `step`. Takes
 * over `record`. Of a failed start nothing stays that was not there before. */
bool run_start(run_folder *run, json_t *record, int64_t step);
/* Appends a line, after those that could not be written before. What does not fit on the disk
 * is taken back from the file and kept. */
bool run_append(run_folder *run, const json_t *line);
/* Puts a line in place of the newest one, of which it is a longer version: in one go, so that
 * one of the two is there whenever the process ends. */
bool run_amend(run_folder *run, const json_t *line);
/* Writes what was kept. */
bool run_flush(run_folder *run);
/* Whether the folder is still where it was. */
bool run_is_there(run_folder *run);
/* Writes run.json. */
bool run_write(run_folder *run);
/* The same with the state: "running", "finished", "stopped", "preempted" or "failed". */
bool run_set_state(run_folder *run, const char *state);
void run_close(run_folder *run);

/* Checkpoints, in run_checkpoints.c: */

#define RUN_LATEST "latest"
#define RUN_BEST "best"

void run_checkpoint_path(const run_folder *run, int64_t step, char *folder, size_t size);
bool run_has_checkpoint(const run_folder *run, int64_t step);
/* The newest step below `limit` with a checkpoint; -1: none; RUN_UNREADABLE: it cannot be told,
 * run->error says why. */
enum { RUN_UNREADABLE = -2 };
int64_t run_checkpoint_below(run_folder *run, int64_t limit);
/* The newest of all and its folder; below 0 with a line in run->error. */
int64_t run_newest_checkpoint(run_folder *run, char *folder, size_t size);
/* Where there is no checkpoint: whether there must have been one, with a line in run->error. */
bool run_misses_latest(run_folder *run);
/* Makes a link in checkpoints/ name a step's; -1: removes the link. */
bool run_point(run_folder *run, const char *link, int64_t step);
/* The step that a link names; -1: none. */
int64_t run_linked(const run_folder *run, const char *link);
/* Removes the checkpoints before the newest `keep` up to `step`, which is complete, except
 * `best`, those that a link names and the best of earlier validations. keep 0: none. */
void run_keep_checkpoints(run_folder *run, int64_t step, int64_t keep, int64_t best);

/* In run_leftovers.c: */

#define RUN_REMOVED ".tmp"
#define RUN_DAMAGED ".damaged"

/* What a process that was killed has left: a checkpoint that was being replaced gets its name
 * back. To be called before looking for checkpoints. */
bool run_recover_checkpoints(run_folder *run);
/* Likewise: what is half written, half removed or has been replaced goes away. */
bool run_tidy_checkpoints(run_folder *run);
/* A damaged checkpoint gets another name, under which nobody takes it for one. */
bool run_set_aside(run_folder *run, int64_t step);
/* Whether the one that a step's checkpoint was to replace is still there, and its folder. */
bool run_has_replaced(run_folder *run, int64_t step, char *folder, size_t size);
/* Makes it the step's checkpoint, if there is one. */
bool run_take_replaced(run_folder *run, int64_t step);

/* In run_best.c: */

/* Makes a step's checkpoint the best, on the disk; nothing is done if it is that already. */
bool run_tell_best(run_folder *run, int64_t step, double loss);
/* The best of the validations up to now is kept and compared with no other. -1: there was none
 */
bool run_close_best(run_folder *run, int64_t *step);
/* Takes over what run.json says of the best. */
void run_copy_best(json_t *record, const json_t *before);
/* The step up to `limit` with the lowest validation loss among those that have a checkpoint;
 * -1: none. */
int64_t run_best_checkpoint(const run_folder *run, int64_t limit, double *loss);

#endif

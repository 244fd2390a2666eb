/* SPDX-License-Identifier: MIT
 *
 * The folder of a run, which rank 0 keeps:
 *
 *   run.json                 every setting, the data's hash, the layout, the state
 *   metrics.jsonl            one JSON object a step
 *   checkpoints/step-NNNNNN  written by ringmoe_trainer_save
 *
 * Functions return false with one line in run->error.
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
/* Appends a line; a line that does not fit on the disk is taken back. */
bool run_append(run_folder *run, const json_t *line);
/* Writes the state into run.json: "running", "finished", "stopped" or "failed". */
bool run_set_state(run_folder *run, const char *state);
void run_close(run_folder *run);

/* Checkpoints, in run_checkpoints.c: */

void run_checkpoint_path(const run_folder *run, int64_t step, char *folder, size_t size);
/* The folder of the newest checkpoint and its step; false if there is none. */
bool run_newest_checkpoint(const char *path, char *folder, size_t size, int64_t *step);
/* Removes the checkpoints before the newest `keep` up to `step`, which is complete. */
void run_keep_checkpoints(const run_folder *run, int64_t step, int64_t keep);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Names in the folder checkpoints/ of a run, for the files of tools/run_*.c. Functions that
 * return bool leave one line in run->error where they return false.
 */
#ifndef TOOLS_RUN_STEPS_H
#define TOOLS_RUN_STEPS_H

#include "run.h"

/* Leaves "PATH: cannot WHAT: errno's text". Returns false. */
bool run_fail_at(run_folder *run, const char *path, const char *what);
/* Renamings in checkpoints/ are on the disk when this returns true. */
bool run_sync_checkpoints(run_folder *run);
/* Calls `visit` with each folder whose name is a step's with the suffix, until it returns
 * false. A list that cannot be read to its end is a failure; without checkpoints/ there is
 * none. */
typedef bool (*run_visitor)(run_folder *run, int64_t step, const char *path, void *user);
bool run_visit_steps(run_folder *run, const char *suffix, run_visitor visit, void *user);
/* Removes a folder of plain files. */
void run_remove_folder(const char *path);
/* Whether run.json lists a step as the best of validations that have been given up. */
bool run_is_earlier_best(const run_folder *run, int64_t step);

#endif

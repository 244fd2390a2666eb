/* SPDX-License-Identifier: MIT
 *
 * What processes that were killed have left in checkpoints/, and checkpoints that turned out to
 * be damaged. What a name may end with besides the step:
 *
 *   .tmp      half written, or half removed: to be removed is to be renamed to this first
 *   .old      being replaced by another one of its name; it may be the only whole one
 *   .damaged  was found to be so, and is left to be looked at
 */
#include <stdio.h>

#include "run_steps.h"

static const char replaced[] = ".old";

static bool take_back(run_folder *run, int64_t step, const char *path, void *user)
{
    char folder[RUN_PATH + 64];
    run_checkpoint_path(run, step, folder, sizeof folder);
    if (run_has_checkpoint(run, step)) return true;
    if (rename(path, folder) != 0) return run_fail_at(run, path, "give it back its name");
    return run_sync_checkpoints(run);
}

static bool remove_leftover(run_folder *run, int64_t step, const char *path, void *user)
{
    run_remove_folder(path);
    return true;
}

static bool remove_replaced(run_folder *run, int64_t step, const char *path, void *user)
{
    if (run_has_checkpoint(run, step)) run_remove_folder(path);
    return true;
}

bool run_recover_checkpoints(run_folder *run)
{
    return run_visit_steps(run, replaced, take_back, NULL);
}

bool run_tidy_checkpoints(run_folder *run)
{
    return run_visit_steps(run, RUN_REMOVED, remove_leftover, NULL) &&
           run_visit_steps(run, replaced, remove_replaced, NULL);
}

bool run_set_aside(run_folder *run, int64_t step)
{
    char path[RUN_PATH + 64], aside[RUN_PATH + 80];
    run_checkpoint_path(run, step, path, sizeof path);
    snprintf(aside, sizeof aside, "%s" RUN_DAMAGED, path);
    run_remove_folder(aside);
    return rename(path, aside) == 0 || run_fail_at(run, path, "rename it to *" RUN_DAMAGED);
}

static bool is_of_step(run_folder *run, int64_t step, const char *path, void *user)
{
    const int64_t *wanted = user;
    return step != *wanted;
}

bool run_has_replaced(run_folder *run, int64_t step, char *folder, size_t size)
{
    char path[RUN_PATH + 64];
    run_checkpoint_path(run, step, path, sizeof path);
    snprintf(folder, size, "%s%s", path, replaced);
    run->error[0] = '\0';
    return !run_visit_steps(run, replaced, is_of_step, &step) && run->error[0] == '\0';
}

bool run_take_replaced(run_folder *run, int64_t step)
{
    char path[RUN_PATH + 80];
    if (!run_has_replaced(run, step, path, sizeof path)) return run->error[0] == '\0';
    if (run_has_checkpoint(run, step) && !run_set_aside(run, step)) return false;
    return take_back(run, step, path, NULL);
}

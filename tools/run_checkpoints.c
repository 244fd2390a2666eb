/* SPDX-License-Identifier: MIT
 *
 * The checkpoints of a run: folders checkpoints/step-NNNNNN. They get their name when they are
 * complete, so any that has one is. Old ones are removed file by file with state.json, the mark
 * of a checkpoint, as the last, so that a removal that was cut off is finished the next time.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run.h"

static const char mark[] = "state.json";

void run_checkpoint_path(const run_folder *run, int64_t step, char *folder, size_t size)
{
    snprintf(folder, size, "%s/checkpoints/step-%06lld", run->path, (long long)step);
}

/* The step of "step-000123", -1 for any other name. */
static int64_t checkpoint_step(const char *name)
{
    char *end;
    if (strncmp(name, "step-", 5) != 0 || strspn(name + 5, "0123456789") < 6) return -1;
    long long step = strtoll(name + 5, &end, 10);
    return *end == '\0' ? step : -1;
}

/* The newest step with a checkpoint that is at most `limit`; -1: none. */
static int64_t newest_step(const char *run_path, int64_t limit)
{
    char checkpoints[RUN_PATH + 64];
    int64_t newest = -1;
    snprintf(checkpoints, sizeof checkpoints, "%s/checkpoints", run_path);
    DIR *directory = opendir(checkpoints);
    if (!directory) return -1;
    for (const struct dirent *entry; (entry = readdir(directory));) {
        int64_t here = checkpoint_step(entry->d_name);
        if (here > newest && here <= limit) newest = here;
    }
    closedir(directory);
    return newest;
}

bool run_newest_checkpoint(const char *path, char *folder, size_t size, int64_t *step)
{
    *step = newest_step(path, INT64_MAX);
    if (*step >= 0)
        snprintf(folder, size, "%s/checkpoints/step-%06lld", path, (long long)*step);
    return *step >= 0;
}

/* Removes a folder of plain files; one without the mark is not ours. */
static void remove_checkpoint(const char *path)
{
    struct stat about;
    if (lstat(path, &about) != 0 || !S_ISDIR(about.st_mode)) return;
    DIR *directory = opendir(path);
    if (!directory) return;
    if (faccessat(dirfd(directory), mark, F_OK, 0) == 0) {
        for (const struct dirent *entry; (entry = readdir(directory));)
            if (strcmp(entry->d_name, mark) != 0) unlinkat(dirfd(directory), entry->d_name, 0);
        unlinkat(dirfd(directory), mark, 0);
        rmdir(path);
    }
    closedir(directory);
}

void run_keep_checkpoints(const run_folder *run, int64_t step, int64_t keep)
{
    char path[RUN_PATH + 64];
    int64_t at = step;
    if (keep == 0) return;
    for (int64_t kept = 1; kept < keep && at >= 0; kept++) at = newest_step(run->path, at - 1);
    while (at >= 0 && (at = newest_step(run->path, at - 1)) >= 0) {
        run_checkpoint_path(run, at, path, sizeof path);
        remove_checkpoint(path);
    }
}

/* SPDX-License-Identifier: MIT
 *
 * The checkpoints of a run: folders checkpoints/step-NNNNNN, which get their name when they are
 * complete, and links to the newest and the best of them. What a name may end with besides:
 *
 *   .tmp      half written, or half removed: to be removed is to be renamed to this first
 *   .old      being replaced by another one of its name
 *   .damaged  was found to be so, and is left to be looked at
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run.h"

static const char removed[] = ".tmp", replaced[] = ".old", damaged[] = ".damaged";

#define NAME_BYTES 48

static void folder_path(const char *run, char *path, size_t size)
{
    snprintf(path, size, "%s/checkpoints", run);
}

void run_checkpoint_path(const run_folder *run, int64_t step, char *folder, size_t size)
{
    snprintf(folder, size, "%s/checkpoints/step-%06lld", run->path, (long long)step);
}

static bool is_folder(int directory, const char *name)
{
    struct stat about;
    return fstatat(directory, name, &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(about.st_mode);
}

bool run_has_checkpoint(const run_folder *run, int64_t step)
{
    char path[RUN_PATH + 64];
    run_checkpoint_path(run, step, path, sizeof path);
    return is_folder(AT_FDCWD, path);
}

/* The step of "step-000123" and `suffix`, -1 for any other name. */
static int64_t checkpoint_step(const char *name, const char *suffix)
{
    char *end;
    if (strncmp(name, "step-", 5) != 0 || strspn(name + 5, "0123456789") < 6) return -1;
    long long step = strtoll(name + 5, &end, 10);
    return strcmp(end, suffix) == 0 ? step : -1;
}

int64_t run_checkpoint_below(const char *path, int64_t limit)
{
    char checkpoints[RUN_PATH + 64];
    int64_t newest = -1;
    folder_path(path, checkpoints, sizeof checkpoints);
    DIR *directory = opendir(checkpoints);
    if (!directory) return -1;
    for (const struct dirent *entry; (entry = readdir(directory));) {
        int64_t here = checkpoint_step(entry->d_name, "");
        bool is_newer = here > newest && here < limit;
        if (is_newer && is_folder(dirfd(directory), entry->d_name)) newest = here;
    }
    closedir(directory);
    return newest;
}

bool run_newest_checkpoint(const char *path, char *folder, size_t size, int64_t *step)
{
    *step = run_checkpoint_below(path, INT64_MAX);
    if (*step >= 0)
        snprintf(folder, size, "%s/checkpoints/step-%06lld", path, (long long)*step);
    return *step >= 0;
}

/* --- links -------------------------------------------------------------------------------- */

static bool fail_link(run_folder *run, const char *path, const char *what)
{
    snprintf(run->error, sizeof run->error, "%s: cannot %s: %s", path, what, strerror(errno));
    return false;
}

/* Renamings in the folder are on the disk when this returns. */
static void make_durable(const run_folder *run)
{
    char path[RUN_PATH + 64];
    folder_path(run->path, path, sizeof path);
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return;
    fsync(descriptor);
    close(descriptor);
}

bool run_point(run_folder *run, const char *link, int64_t step)
{
    char path[RUN_PATH + 64], fresh[RUN_PATH + 72], name[NAME_BYTES];
    snprintf(path, sizeof path, "%s/checkpoints/%s", run->path, link);
    snprintf(fresh, sizeof fresh, "%s.tmp", path);
    snprintf(name, sizeof name, "step-%06lld", (long long)step);
    if (step < 0)
        return unlink(path) == 0 || errno == ENOENT || fail_link(run, path, "remove it");
    unlink(fresh);
    if (symlink(name, fresh) != 0) return fail_link(run, path, "make the link");
    if (rename(fresh, path) != 0) {
        fail_link(run, path, "replace the link");
        unlink(fresh);
        return false;
    }
    make_durable(run);
    return true;
}

int64_t run_linked(const run_folder *run, const char *link)
{
    char path[RUN_PATH + 64], name[NAME_BYTES];
    snprintf(path, sizeof path, "%s/checkpoints/%s", run->path, link);
    ssize_t length = readlink(path, name, sizeof name - 1);
    if (length < 0) return -1;
    name[length] = '\0';
    return checkpoint_step(name, "");
}

/* --- removal -------------------------------------------------------------------------------
 */

/* Removes a folder of plain files. */
static void remove_folder(const char *path)
{
    DIR *directory = is_folder(AT_FDCWD, path) ? opendir(path) : NULL;
    if (!directory) return;
    for (const struct dirent *entry; (entry = readdir(directory));)
        unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
    rmdir(path);
}

/* Not to be taken for a checkpoint any more from the first moment on. */
static void remove_checkpoint(const char *path)
{
    char doomed[RUN_PATH + 72];
    snprintf(doomed, sizeof doomed, "%s%s", path, removed);
    remove_folder(doomed);
    if (rename(path, doomed) == 0) remove_folder(doomed);
}

void run_keep_checkpoints(const run_folder *run, int64_t step, int64_t keep)
{
    char path[RUN_PATH + 64];
    int64_t at = step, latest = run_linked(run, RUN_LATEST), best = run_linked(run, RUN_BEST);
    if (keep == 0) return;
    for (int64_t kept = 1; kept < keep && at >= 0; kept++)
        at = run_checkpoint_below(run->path, at);
    while (at >= 0 && (at = run_checkpoint_below(run->path, at)) >= 0) {
        run_checkpoint_path(run, at, path, sizeof path);
        if (at != latest && at != best) remove_checkpoint(path);
    }
}

/* --- after a process that was killed ---------------------------------------------------------
 */

/* Calls `visit` with the path of each folder whose name is a step's with the suffix. */
static void visit_leftovers(const run_folder *run, const char *suffix,
                            void (*visit)(const run_folder *run, int64_t step,
                                          const char *path))
{
    char checkpoints[RUN_PATH + 64], path[RUN_PATH + 336];
    folder_path(run->path, checkpoints, sizeof checkpoints);
    DIR *directory = opendir(checkpoints);
    if (!directory) return;
    for (const struct dirent *entry; (entry = readdir(directory));) {
        int64_t step = checkpoint_step(entry->d_name, suffix);
        snprintf(path, sizeof path, "%s/%s", checkpoints, entry->d_name);
        if (step >= 0) visit(run, step, path);
    }
    closedir(directory);
}

static void take_back(const run_folder *run, int64_t step, const char *path)
{
    char folder[RUN_PATH + 64];
    run_checkpoint_path(run, step, folder, sizeof folder);
    if (!run_has_checkpoint(run, step)) rename(path, folder);
}

static void remove_leftover(const run_folder *run, int64_t step, const char *path)
{
    remove_folder(path);
}

void run_recover_checkpoints(const run_folder *run)
{
    visit_leftovers(run, replaced, take_back);
    make_durable(run);
}

void run_tidy_checkpoints(const run_folder *run)
{
    visit_leftovers(run, removed, remove_leftover);
    visit_leftovers(run, replaced, remove_leftover);
}

void run_set_aside(const run_folder *run, int64_t step)
{
    char path[RUN_PATH + 64], aside[RUN_PATH + 80];
    run_checkpoint_path(run, step, path, sizeof path);
    snprintf(aside, sizeof aside, "%s%s", path, damaged);
    remove_folder(aside);
    rename(path, aside);
}

/* --- the best --------------------------------------------------------------------------------
 */

int64_t run_best_checkpoint(const run_folder *run, int64_t limit, double *loss)
{
    char path[RUN_PATH + 64], *line = NULL;
    size_t room = 0;
    int64_t best = -1;
    snprintf(path, sizeof path, "%s/metrics.jsonl", run->path);
    FILE *file = fopen(path, "re");
    *loss = INFINITY;
    if (!file) return -1;
    for (ssize_t length; (length = getline(&line, &room, file)) > 0;) {
        json_t *object = json_loadb(line, (size_t)length, 0, NULL);
        const json_t *value = json_object_get(object, "val_loss");
        int64_t step = json_integer_value(json_object_get(object, "step"));
        double here = json_number_value(value);
        if (json_is_number(value) && step <= limit && here < *loss &&
            run_has_checkpoint(run, step)) {
            *loss = here;
            best = step;
        }
        json_decref(object);
    }
    free(line);
    fclose(file);
    return best;
}

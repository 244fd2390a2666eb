/* SPDX-License-Identifier: MIT
 *
 * The checkpoints of a run: folders checkpoints/step-NNNNNN, which get their name when they are
 * complete, and links to the newest and the best of them. run_leftovers.c has the other names.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run_steps.h"
#include "write.h"

#define NAME_BYTES 48

/* --- the list --------------------------------------------------------------------------------
 */

bool run_fail_at(run_folder *run, const char *path, const char *what)
{
    snprintf(run->error, sizeof run->error, "%s: cannot %s: %s", path, what, strerror(errno));
    return false;
}

static void folder_path(const run_folder *run, char *path, size_t size)
{
    snprintf(path, size, "%s/checkpoints", run->path);
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

/* One name of the list. */
static bool visit_entry(run_folder *run, const char *path, const char *suffix,
                        run_visitor visit, void *user)
{
    struct stat about;
    int64_t step = checkpoint_step(strrchr(path, '/') + 1, suffix);
    if (step < 0) return true;
    if (lstat(path, &about) != 0)
        return errno == ENOENT || run_fail_at(run, path, "look at it");
    return !S_ISDIR(about.st_mode) || visit(run, step, path, user);
}

bool run_visit_steps(run_folder *run, const char *suffix, run_visitor visit, void *user)
{
    char checkpoints[RUN_PATH + 64], path[RUN_PATH + 336];
    DIR *directory;
    folder_path(run, checkpoints, sizeof checkpoints);
    do directory = opendir(checkpoints);
    while (!directory && errno == EINTR);
    if (!directory) return errno == ENOENT || run_fail_at(run, checkpoints, "list it");
    bool good = true;
    for (const struct dirent *entry; good && (errno = 0, entry = readdir(directory));) {
        snprintf(path, sizeof path, "%s/%s", checkpoints, entry->d_name);
        good = visit_entry(run, path, suffix, visit, user);
    }
    if (good && errno != 0) good = run_fail_at(run, checkpoints, "list it");
    closedir(directory);
    return good;
}

typedef struct search {
    int64_t limit, newest;
} search;

static bool take_newer(run_folder *run, int64_t step, const char *path, void *user)
{
    search *found = user;
    if (step > found->newest && step < found->limit) found->newest = step;
    return true;
}

int64_t run_checkpoint_below(run_folder *run, int64_t limit)
{
    search found = {limit, -1};
    return run_visit_steps(run, "", take_newer, &found) ? found.newest : RUN_UNREADABLE;
}

int64_t run_newest_checkpoint(run_folder *run, char *folder, size_t size)
{
    int64_t step = run_checkpoint_below(run, INT64_MAX);
    if (step >= 0) run_checkpoint_path(run, step, folder, size);
    if (step == -1)
        snprintf(run->error, sizeof run->error,
                 "%s: this run has no checkpoint yet: wait for its first save", run->path);
    return step;
}

bool run_misses_latest(run_folder *run)
{
    int64_t latest = run_linked(run, RUN_LATEST);
    if (latest < 0) return false;
    snprintf(
        run->error, sizeof run->error,
        "%s/checkpoints: latest names step %lld, and there is no checkpoint: put it back, or "
        "remove the link to begin again",
        run->path, (long long)latest);
    return true;
}

bool run_sync_checkpoints(run_folder *run)
{
    char path[RUN_PATH + 64];
    folder_path(run, path, sizeof path);
    return sync_folder(path) || run_fail_at(run, path, "make its names durable");
}

/* --- links -------------------------------------------------------------------------------- */

bool run_point(run_folder *run, const char *link, int64_t step)
{
    char path[RUN_PATH + 64], fresh[RUN_PATH + 72], name[NAME_BYTES];
    snprintf(path, sizeof path, "%s/checkpoints/%s", run->path, link);
    snprintf(fresh, sizeof fresh, "%s.tmp", path);
    snprintf(name, sizeof name, "step-%06lld", (long long)step);
    if (step < 0)
        return unlink(path) == 0 || errno == ENOENT || run_fail_at(run, path, "remove it");
    unlink(fresh);
    if (symlink(name, fresh) != 0) return run_fail_at(run, path, "make the link");
    if (rename(fresh, path) != 0) {
        run_fail_at(run, path, "replace the link");
        unlink(fresh);
        return false;
    }
    return run_sync_checkpoints(run);
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

void run_remove_folder(const char *path)
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
    snprintf(doomed, sizeof doomed, "%s%s", path, RUN_REMOVED);
    run_remove_folder(doomed);
    if (rename(path, doomed) == 0) run_remove_folder(doomed);
}

void run_keep_checkpoints(run_folder *run, int64_t step, int64_t keep, int64_t best)
{
    char path[RUN_PATH + 64];
    int64_t at = step, latest = run_linked(run, RUN_LATEST), link = run_linked(run, RUN_BEST);
    if (keep == 0) return;
    for (int64_t kept = 1; kept < keep && at >= 0; kept++) at = run_checkpoint_below(run, at);
    while (at >= 0 && (at = run_checkpoint_below(run, at)) >= 0) {
        bool stays = at == latest || at == link || at == best || run_is_earlier_best(run, at);
        run_checkpoint_path(run, at, path, sizeof path);
        if (!stays) remove_checkpoint(path);
    }
}

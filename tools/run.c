/* SPDX-License-Identifier: MIT */
#include "run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json_text.h"
#include "write.h"

static bool fail(run_folder *run, const char *path, const char *what)
{
    snprintf(run->error, sizeof run->error, "%s: cannot %s: %s: check the disk and permissions",
             path, what, strerror(errno));
    return false;
}

static void path_in(const run_folder *run, const char *name, char path[RUN_PATH + 64])
{
    snprintf(path, RUN_PATH + 64, "%s/%s", run->path, name);
}

bool run_exists(const char *path)
{
    char name[RUN_PATH + 64];
    snprintf(name, sizeof name, "%s/run.json", path);
    return access(name, F_OK) == 0;
}

bool run_is_taken(const char *path)
{
    char name[RUN_PATH + 64];
    snprintf(name, sizeof name, "%s/metrics.jsonl", path);
    if (run_exists(path) || access(name, F_OK) == 0) return true;
    snprintf(name, sizeof name, "%s/checkpoints", path);
    DIR *directory = opendir(name);
    int entries = 0;
    /* What cannot be looked into may hold anything. */
    if (!directory) return errno != ENOENT && errno != ENOTDIR;
    while (readdir(directory)) entries++;
    closedir(directory);
    return entries > 2; /* more than . and .. */
}

bool run_choose(run_folder *run, const char *model)
{
    const char *end = model + strlen(model), *base;
    while (end > model + 1 && end[-1] == '/') end--;
    for (base = end; base > model && base[-1] != '/';) base--;
    size_t length = (size_t)(end - base);
    if (length > 5 && memcmp(end - 5, ".json", 5) == 0) length -= 5;
    if (length > 100) length = 100;
    for (int n = 1; n < 1000000; n++) {
        snprintf(run->path, sizeof run->path, "runs/%.*s-%d", (int)length, base, n);
        if (access(run->path, F_OK) != 0) return true;
    }
    errno = EEXIST;
    return fail(run, "runs", "find a free name");
}

bool run_read(run_folder *run)
{
    char path[RUN_PATH + 64];
    json_error_t problem;
    path_in(run, "run.json", path);
    json_decref(run->record);
    run->record = json_load_file(path, JSON_REJECT_DUPLICATES, &problem);
    if (run->record && json_is_object(run->record)) return true;
    snprintf(run->error, sizeof run->error,
             "%s: line %d: %s: the run cannot be resumed without it", path, problem.line,
             problem.text);
    return false;
}

bool run_write(run_folder *run)
{
    char path[RUN_PATH + 64];
    path_in(run, "run.json", path);
    char *content = json_text(run->record, true);
    bool written = content && write_atomically(path, content, strlen(content));
    free(content);
    return written || fail(run, path, "write it");
}

bool run_set_state(run_folder *run, const char *state)
{
    json_object_set_new(run->record, "state", json_string(state));
    return run_write(run);
}

/* Bytes of the lines whose step is at most `step`; a line cut short by a crash ends them. -1:
 * they cannot be read. */
static int64_t size_of_steps(FILE *file, int64_t step)
{
    char *line = NULL;
    size_t room = 0;
    int64_t size = 0;
    for (ssize_t length; (length = getline(&line, &room, file)) > 0; size += length) {
        json_t *object = json_loadb(line, (size_t)length, 0, NULL);
        const json_t *number = json_object_get(object, "step");
        bool stays = json_is_integer(number) && json_integer_value(number) <= step;
        json_decref(object);
        if (!stays || line[length - 1] != '\n') break;
    }
    free(line);
    return ferror(file) ? -1 : size;
}

/* To its whole lines. */
static bool cut_metrics(run_folder *run, const char *path)
{
    return ftruncate(run->metrics, run->metrics_size) == 0 || fail(run, path, "cut it");
}

static bool open_metrics(run_folder *run, int64_t step)
{
    char path[RUN_PATH + 64];
    path_in(run, "metrics.jsonl", path);
    FILE *before = fopen(path, "re");
    if (!before && errno != ENOENT) return fail(run, path, "read it");
    run->metrics_size = before ? size_of_steps(before, step) : 0;
    if (before) fclose(before);
    if (run->metrics_size < 0) return fail(run, path, "read it");
    run->metrics = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (run->metrics < 0) return fail(run, path, "open it for writing");
    return cut_metrics(run, path);
}

/* What of a new run's folder was there before its start. */
typedef struct folder_before {
    bool has_folder, has_checkpoints;
} folder_before;

/* Takes away what a failed start of a new run has made. */
static void take_back(const run_folder *run, const folder_before *before)
{
    char path[RUN_PATH + 64];
    int problem = errno;
    path_in(run, "metrics.jsonl", path);
    unlink(path);
    path_in(run, "run.json", path);
    unlink(path);
    path_in(run, "checkpoints", path);
    if (!before->has_checkpoints) rmdir(path);
    if (!before->has_folder) rmdir(run->path);
    errno = problem;
}

bool run_start(run_folder *run, json_t *record, int64_t step)
{
    char path[RUN_PATH + 64];
    bool is_new = !run_is_taken(run->path);
    json_decref(run->record);
    run->record = record;
    path_in(run, "checkpoints", path);
    const folder_before before = {access(run->path, F_OK) == 0, access(path, F_OK) == 0};
    bool started = (make_folders(path) || fail(run, path, "make the folder")) &&
                   run_set_state(run, "running") && open_metrics(run, step);
    if (!started) {
        run_close(run);
        if (is_new) take_back(run, &before);
    }
    return started;
}

/* The most that waits to be written; what comes after is lost. */
enum { MOST_WAITING = 16 << 20 };

/* Adds a line to those that wait. */
static bool keep_line(run_folder *run, const json_t *line)
{
    char *text = json_text(line, false);
    size_t length = text ? strlen(text) : 0;
    char *grown = NULL;
    if (text && run->waiting_size + length + 1 <= MOST_WAITING)
        grown = realloc(run->waiting, run->waiting_size + length + 1);
    if (grown) {
        memcpy(grown + run->waiting_size, text, length);
        grown[run->waiting_size + length] = '\n';
        run->waiting = grown;
        run->waiting_size += length + 1;
        run->waiting_lines++;
        run->newest_bytes = length + 1;
    } else {
        run->newest_bytes = 0;
        run->lost_lines++;
        snprintf(run->error, sizeof run->error,
                 "%s/metrics.jsonl: no memory for a line that waits to be written", run->path);
    }
    free(text);
    return grown != NULL;
}

/* The file of that name is the one that is open, behind its whole lines; a copy that took its
 * place is opened. */
static bool follow_metrics(run_folder *run, const char *path)
{
    struct stat named, opened;
    if (stat(path, &named) != 0) return fail(run, path, "find it any more");
    if (run->metrics >= 0 && fstat(run->metrics, &opened) == 0 &&
        named.st_ino == opened.st_ino && named.st_dev == opened.st_dev)
        return lseek(run->metrics, run->metrics_size, SEEK_SET) >= 0 ||
               fail(run, path, "write to it");
    int descriptor = open(path, O_WRONLY | O_CLOEXEC);
    if (descriptor < 0) return fail(run, path, "open it for writing");
    if (run->metrics >= 0) close(run->metrics);
    run->metrics = descriptor;
    run->metrics_size = lseek(descriptor, 0, SEEK_END);
    return run->metrics_size >= 0 || fail(run, path, "write to it");
}

/* Nothing follows the whole lines. */
static bool end_metrics(run_folder *run, const char *path)
{
    struct stat opened;
    bool is_longer = fstat(run->metrics, &opened) != 0 || opened.st_size > run->metrics_size;
    return !is_longer || cut_metrics(run, path);
}

bool run_flush(run_folder *run)
{
    char path[RUN_PATH + 64];
    if (run->waiting_size == 0) return true;
    path_in(run, "metrics.jsonl", path);
    if (!follow_metrics(run, path)) return false;
    if (write_fully(run->metrics, run->waiting, run->waiting_size)) {
        run->metrics_size += (int64_t)run->waiting_size;
        run->waiting_size = 0;
        run->waiting_lines = 0;
        return end_metrics(run, path);
    }
    int problem = errno;
    cut_metrics(run, path);
    errno = problem;
    return fail(run, path, "write to it");
}

bool run_append(run_folder *run, const json_t *line)
{
    bool kept = keep_line(run, line);
    return run_flush(run) && kept;
}

bool run_amend(run_folder *run, const json_t *line)
{
    if (run->newest_bytes > 0 && run->waiting_size > 0) {
        run->waiting_size -= run->newest_bytes;
        run->waiting_lines--;
    } else {
        run->metrics_size -= (int64_t)run->newest_bytes;
    }
    return run_append(run, line);
}

bool run_is_there(run_folder *run)
{
    char path[RUN_PATH + 64];
    path_in(run, "run.json", path);
    return access(path, F_OK) == 0 || fail(run, path, "find it any more");
}

void run_close(run_folder *run)
{
    if (run->metrics >= 0) close(run->metrics);
    run->metrics = -1;
    json_decref(run->record);
    run->record = NULL;
    free(run->waiting);
    run->waiting = NULL;
    run->waiting_size = 0;
}

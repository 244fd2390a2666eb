/* SPDX-License-Identifier: MIT
 *
 * Loading a checkpoint beside a plain read of as many bytes, one after the other: the ratio is
 * of the two that stood side by side.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "checkpoint.h"

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double checkpoint_begin(const tool_session *session)
{
    session_largest(session, 0);
    return now_seconds();
}

double checkpoint_since(const tool_session *session, double started)
{
    return session_largest(session, now_seconds() - started);
}

void checkpoint_path(const checkpoint_bench *bench, const char *name,
                     char path[CHECKPOINT_PATH])
{
    snprintf(path, CHECKPOINT_PATH, "%.900s/%s", bench->folder, name);
}

void checkpoint_note_peak(const tool_session *session, const checkpoint_bench *bench,
                          double *peak)
{
    double here = session_largest(session, resident_now("VmHWM:"));
    if (here > *peak && bench->times.beside.count == 0) *peak = here;
}

/* As many bytes as this rank's part, by a bare loop; *seconds: of the slowest rank. */
static int read_bare(tool_session *session, checkpoint_bench *bench, char *into,
                     double *seconds)
{
    char path[CHECKPOINT_PATH];
    checkpoint_path(bench, "saved", path);
    double started = checkpoint_begin(session);
    bool is_read =
        disk_read(path, (int64_t)bench->part_bytes,
                  session->size > 1 ? session->rank / (session->size - 1.0) : 0, into);
    *seconds = checkpoint_since(session, started);
    return session_settle(session, is_read ? EXIT_DONE : EXIT_FAILED,
                          "the checkpoint's files cannot be read");
}

/* The same into as much memory, touched before: what any program does that wants the bytes. */
static int read_whole(tool_session *session, checkpoint_bench *bench, double *seconds)
{
    size_t bytes = (size_t)bench->part_bytes;
    char *into = malloc(bytes);
    if (into) memset(into, 1, bytes);
    int status = session_settle(session, into ? EXIT_DONE : EXIT_FAILED,
                                "no memory for as many bytes as a rank needs");
    if (!status) status = read_bare(session, bench, into, seconds);
    free(into);
    return status;
}

static int load(tool_session *session, checkpoint_bench *bench, double *seconds)
{
    char path[CHECKPOINT_PATH];
    checkpoint_path(bench, "saved", path);
    resident_forget_peak();
    double started = checkpoint_begin(session);
    ringmoe_status status = ringmoe_trainer_restore(bench->trainer, path);
    *seconds = checkpoint_since(session, started);
    checkpoint_note_peak(session, bench, &bench->times.load_peak);
    return session_check(session, status);
}

static void forget(const tool_session *session, const checkpoint_bench *bench)
{
    char path[CHECKPOINT_PATH];
    checkpoint_path(bench, "saved", path);
    if (session->rank == 0) disk_forget(path);
}

int checkpoint_compare_cold(tool_session *session, checkpoint_bench *bench)
{
    checkpoint_times *t = &bench->times;
    double bare = 0, loaded = 0;
    forget(session, bench);
    int status = read_bare(session, bench, NULL, &bare);
    forget(session, bench);
    if (!status) status = load(session, bench, &loaded);
    bench_add(&t->bare_cold, bare);
    bench_add(&t->load_cold, loaded);
    bench_add(&t->cold_over_load, bare / loaded);
    return status;
}

int checkpoint_compare_warm(tool_session *session, checkpoint_bench *bench)
{
    checkpoint_times *t = &bench->times;
    double bare = 0, whole = 0, loaded = 0;
    int status = read_bare(session, bench, NULL, &bare);
    if (!status) status = load(session, bench, &loaded);
    if (!status) status = read_whole(session, bench, &whole);
    bench_add(&t->bare_warm, bare);
    bench_add(&t->bare_whole, whole);
    bench_add(&t->load_warm, loaded);
    bench_add(&t->warm_over_load, bare / loaded);
    bench_add(&t->whole_over_load, whole / loaded);
    return status;
}

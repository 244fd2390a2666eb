/* SPDX-License-Identifier: MIT
 *
 * `ringmoe bench checkpoint`:
 *
 *   bench_checkpoint.c         the command, and its turns
 *   bench_checkpoint_disk.c    the same bytes written and read by a bare loop
 *   bench_checkpoint_report.c  the figures, on the screen and as JSON
 */
#ifndef TOOLS_BENCH_CHECKPOINT_H
#define TOOLS_BENCH_CHECKPOINT_H

#include "bench.h"

enum { CHECKPOINT_PATH = 1024 };

typedef struct checkpoint_options {
    tool_placement placement;
    tool_execution execution;
    ringmoe_train_settings train;
    const char *model, *folder;
    int64_t repeat, buffer_mib;
    int json;
} checkpoint_options;

/* Seconds of the slowest rank, unless another unit is said. */
typedef struct checkpoint_times {
    bench_samples save, bare_cached, bare_direct; /* writing all of it */
    bench_samples load_cold, load_warm;           /* this rank's part, and what it checks */
    bench_samples bare_cold, bare_warm;           /* as many bytes as this rank's part */
    bench_samples step_ms, step_beside_ms, stalled_ms, beside;
    bench_samples with_beside; /* time of the steps with a save beside them over that without */
    double resident;           /* bytes before the first save, on the rank with most */
    double save_peak, load_peak, beside_peak; /* the most since then; 0: not known here */
} checkpoint_times;

typedef struct checkpoint_bench {
    char folder[CHECKPOINT_PATH]; /* of this run's own; goes away at the end */
    ringmoe_trainer *trainer;
    double total_bytes, part_bytes; /* of the checkpoint; of it this rank's weights, moments */
    int64_t buffer_bytes;
    checkpoint_times times;
} checkpoint_bench;

/* A bare loop writes this rank's share of the bytes and makes them durable. */
bool disk_write(const char *path, int64_t bytes, bool is_direct);
/* A bare loop reads so many bytes of a checkpoint's files, from a place that is this rank's. */
bool disk_read(const char *folder, int64_t bytes, double place);
/* The files of a folder are no longer in memory. */
void disk_forget(const char *folder);
void disk_remove(const char *folder);

/* The peak of this process's resident memory begins anew. False: the system cannot do that. */
bool resident_forget_peak(void);
/* "VmHWM:", "VmRSS:": a line of /proc/self/status in bytes; 0: not known here. */
double resident_now(const char *line);

void checkpoint_print_text(const tool_session *session, const checkpoint_options *options,
                           const checkpoint_bench *bench);
int checkpoint_print_json(const tool_session *session, const checkpoint_options *options,
                          const checkpoint_bench *bench);

#endif

/* SPDX-License-Identifier: MIT
 *
 * `ringmoe bench checkpoint`:
 *
 *   checkpoint.c         the command, and its turns
 *   checkpoint_reads.c   loading beside plain reads, and how all of it is timed
 *   checkpoint_disk.c    the same bytes written and read by a bare loop
 *   checkpoint_report.c  the figures, on the screen and as JSON
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
    bench_samples bare_whole; /* from memory into as much memory, not into one block */
    bench_samples step_ms, step_beside_ms, stalled_ms, beside;
    /* Ratios within a turn: plain reading over loading; steps with a save beside them, alone
     * and with all that a save takes, over those before and after them. */
    bench_samples cold_over_load, warm_over_load, whole_over_load, beside_over_step,
        with_beside;
    bench_samples unrest; /* steps before and after a save: the larger over the smaller */
    double reserve_ms;    /* making the buffer of saves beside training, once */
    double resident;      /* bytes before the first save, on the rank with most */
    double save_peak, load_peak, beside_peak; /* the most since then; 0: not known here */
} checkpoint_times;

typedef struct checkpoint_bench {
    char folder[CHECKPOINT_PATH]; /* of this run's own; goes away at the end */
    ringmoe_trainer *trainer;
    double total_bytes, part_bytes; /* of the checkpoint; of it this rank's weights, moments */
    int64_t buffer_bytes;
    checkpoint_times times;
} checkpoint_bench;

/* All ranks begin together; seconds since then, of the slowest rank. */
double checkpoint_begin(const tool_session *session);
double checkpoint_since(const tool_session *session, double started);
void checkpoint_path(const checkpoint_bench *bench, const char *name,
                     char path[CHECKPOINT_PATH]);
/* The most resident since the peak was forgotten, on the rank with most. Once there was a save
 * beside training, its buffer stays for the next one: only what was before it counts. */
void checkpoint_note_peak(const tool_session *session, const checkpoint_bench *bench,
                          double *peak);
/* A plain read and a load, from the disk and from memory. */
int checkpoint_compare_cold(tool_session *session, checkpoint_bench *bench);
int checkpoint_compare_warm(tool_session *session, checkpoint_bench *bench);

/* A bare loop writes this rank's share of the bytes and makes them durable. */
bool disk_write(const char *path, int64_t bytes, bool is_direct);
/* A bare loop reads so many bytes of a checkpoint's files, from a place that is this rank's, to
 * `into`, or, if that is NULL, all into one block. */
bool disk_read(const char *folder, int64_t bytes, double place, char *into);
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

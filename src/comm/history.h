/* SPDX-License-Identifier: MIT
 *
 * The last operations of a rank, in a ring buffer: written by the thread that called the
 * library, read by the watchdog's. A short lock keeps the two apart.
 */
#ifndef RM_HISTORY_H
#define RM_HISTORY_H

#include <pthread.h>

#include "comm/progress.h"

enum { RM_HISTORY_LENGTH = 8, RM_WHAT_BYTES = 48 };

/* The ranks of the context that an operation is with: `rank`, or if that is negative all of
 * first, first + stride, ... (`size` of them). */
typedef struct rm_partners {
    int32_t rank, first, stride, size;
} rm_partners;

/* What a rank does or did: waiting for others, or whatever lies between two waits. */
typedef struct rm_occupation {
    rm_label label;
    rm_partners partners;
    char what[RM_WHAT_BYTES]; /* "MPI_Iallreduce" */
    int32_t is_waiting;
    double begin, end; /* of rm_clock_seconds; end 0: it goes on */
} rm_occupation;

typedef struct rm_history {
    pthread_mutex_t lock;
    rm_occupation now;
    rm_occupation past[RM_HISTORY_LENGTH]; /* waits; number n at n % RM_HISTORY_LENGTH */
    int64_t n_past;
    double longest; /* seconds, of all stretches of work within a pass that have ended */
} rm_history;

ringmoe_status rm_history_init(rm_history *history, rm_error *error);
void rm_history_free(rm_history *history);

/* Whether it is a stretch of work whose length can be compared with others: one between two
 * places of a pass through the stages. Elsewhere files are read and written, or the program
 * does what it likes. */
bool rm_occupation_is_pass(const rm_occupation *occupation);

/* The rank has come to another place and computes. */
void rm_history_at(rm_history *history, rm_label label);
void rm_history_begin_wait(rm_history *history, rm_label label, rm_partners partners,
                           const char *what);
void rm_history_end_wait(rm_history *history);

void rm_history_now(rm_history *history, rm_occupation *now);
double rm_history_longest(rm_history *history);
/* Copies the last waits that have ended, the newest first; returns how many. */
int rm_history_past(rm_history *history, rm_occupation past[RM_HISTORY_LENGTH]);

#endif

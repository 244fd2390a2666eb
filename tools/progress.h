/* SPDX-License-Identifier: MIT
 *
 * How far a run is: on a terminal one line redrawn in place, elsewhere plain lines, at
 * most one in two seconds, so that a job's log stays readable.
 */
#ifndef TOOLS_PROGRESS_H
#define TOOLS_PROGRESS_H

#include <ringmoe/train.h>

#include <stdbool.h>
#include <stdio.h>

typedef struct progress {
    FILE *out;
    bool is_terminal;
    int64_t first_step, steps; /* steps done at the start of this process; the run's */
    int64_t choices;           /* of experts in a step, some of which may be dropped; 0: none */
    int64_t dropped, chosen;   /* so far, in the steps since the start */
    double started, shown;     /* clock of the start and of the last line */
} progress;

/* out NULL: nothing is shown (ranks other than 0). */
void progress_begin(progress *progress, FILE *out, int64_t first_step, int64_t steps,
                    int64_t choices);
/* After a step; val_loss NaN: none yet. */
void progress_step(progress *progress, const ringmoe_step_metrics *metrics, double val_loss);
/* On a terminal, for work that is no run of steps: a bar, `text` and the time left at this
 * speed, when `done` of 1 is done; and the line taken away again. */
void progress_show(progress *progress, double done, const char *text);
void progress_clear(progress *progress);
/* Leaves the line that is redrawn as it is. */
void progress_end(progress *progress);

/* Seconds of a clock that never goes back. */
double clock_seconds(void);

#endif

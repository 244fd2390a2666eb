/* SPDX-License-Identifier: MIT
 *
 * The inside of a schedule: a list of lines for each rank, and what the files of this folder
 * share. Stage s lies on rank s % n_ranks as its chunk s / n_ranks.
 */
#ifndef RM_LISTS_H
#define RM_LISTS_H

#include <ringmoe/pipeline.h>

#include <stdbool.h>

#include "base/status.h"

struct ringmoe_schedule {
    int n_ranks, n_microbatches, n_chunks;
    bool has_backward;
    int *n_items; /* [n_ranks] */
    int *slots;   /* [n_ranks][n_chunks] */
    ringmoe_schedule_item **items;
};

/* A line of a list. */
typedef struct rm_line {
    int rank, index;
} rm_line;

static inline int rm_stage_of(const ringmoe_schedule *schedule, int rank, int chunk)
{
    return chunk * schedule->n_ranks + rank;
}

static inline int rm_schedule_stages(const ringmoe_schedule *schedule)
{
    return schedule->n_ranks * schedule->n_chunks;
}

/* Place of a stage's microbatch in arrays [stages][microbatches]. */
static inline int64_t rm_cell(const ringmoe_schedule *schedule, int stage, int microbatch)
{
    return (int64_t)stage * schedule->n_microbatches + microbatch;
}

/* Gradients of inputs are made by it, which travel on. */
static inline bool rm_is_backward_input(ringmoe_stage_operation operation)
{
    return operation == RINGMOE_STAGE_BACKWARD || operation == RINGMOE_STAGE_BACKWARD_INPUT;
}

/* The activations are not needed after it. */
static inline bool rm_is_last_backward(ringmoe_stage_operation operation)
{
    return operation == RINGMOE_STAGE_BACKWARD || operation == RINGMOE_STAGE_BACKWARD_WEIGHT;
}

/* "rank 1, line 4 (backward of microbatch 2, chunk 0)", for messages. */
typedef struct rm_line_text {
    char text[128];
} rm_line_text;
rm_line_text rm_line_write(const ringmoe_schedule *schedule, rm_line line);

/* What a line has to wait for. */
typedef struct rm_need {
    int stage; /* -1: nothing comes from another stage */
    bool is_gradient;
} rm_need;
/* The stage whose activation or gradient the line takes, and the one that takes what it makes.
 */
rm_need rm_line_takes(const ringmoe_schedule *schedule, int rank,
                      const ringmoe_schedule_item *item);
rm_need rm_line_gives(const ringmoe_schedule *schedule, int rank,
                      const ringmoe_schedule_item *item);

/* Room for lists of up to `capacity` lines a rank, all empty. */
ringmoe_status rm_schedule_allocate(int n_ranks, int n_microbatches, int n_chunks, int capacity,
                                    ringmoe_schedule **schedule, rm_error *error);
/* Adds a line. */
void rm_schedule_append(ringmoe_schedule *schedule, int rank, ringmoe_stage_operation operation,
                        int microbatch, int chunk);

/* How a schedule of the table orders a rank's work: its forward operations come in one fixed
 * order and its backward operations in another, and the rule says how they are mixed. */
typedef struct rm_mixing {
    int ahead; /* operations forward without their backward of the input, at most */
    int kept;  /* operations forward whose activations are kept, at most */
    int first; /* operations forward before the first one backward */
} rm_mixing;

typedef struct rm_schedule_row {
    const char *name;
    bool has_backward, is_split;
    rm_mixing (*mixing)(const ringmoe_schedule *shape, int rank);
} rm_schedule_row;

/* The schedule of a training for which none is named. */
const char *rm_schedule_choose(int n_ranks, int64_t n_chunks);
/* A name of up to `bytes` characters is that of a schedule to train with, or "". */
ringmoe_status rm_schedule_check_name(const char *name, size_t bytes, rm_error *error);
/* A rank's backward operations come in two halves. */
bool rm_schedule_is_split(const ringmoe_schedule *schedule, int rank);

/* The row of a name, or NULL. */
const rm_schedule_row *rm_schedule_find(const char *name);
/* Fills an empty schedule by the row's rule. */
ringmoe_status rm_schedule_fill(ringmoe_schedule *schedule, const rm_schedule_row *row,
                                rm_error *error);

/* Each rank's list by itself: all is there, once, and in order. */
ringmoe_status rm_check_lists(const ringmoe_schedule *schedule, rm_error *error);
/* Gives each microbatch of a chunk the lowest slot that is free, in lists that were checked. */
ringmoe_status rm_assign_slots(ringmoe_schedule *schedule, rm_error *error);
/* No slot has two microbatches at once. */
ringmoe_status rm_check_slots(const ringmoe_schedule *schedule, rm_error *error);

/* Runs all lists with blocking receives. Seconds by `costs` (NULL: none) and `transfer`; begins
 * [n_ranks][items] and times may be NULL. ARGUMENT when they get stuck. */
ringmoe_status rm_play(const ringmoe_schedule *schedule, const ringmoe_stage_cost *costs,
                       double transfer, double *begins, ringmoe_schedule_times *times,
                       rm_error *error);

#endif

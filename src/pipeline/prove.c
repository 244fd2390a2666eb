/* SPDX-License-Identifier: MIT
 *
 * The proof of a schedule. Each list by itself: every microbatch of every chunk goes forward
 * once and backward once (whole, or input and then weights), backward after forward, gradients
 * of weights in the order of the microbatches. That the lists also go together is for
 * simulate.c, which plays them; that slots suffice, for slots.c.
 */
#include <stdlib.h>

#include "comm/context.h"
#include "pipeline/lists.h"

/* How far a microbatch has come in a chunk. */
enum { NOT_BEGUN, FORWARD_DONE, INPUT_DONE, FINISHED };

static ringmoe_status refuse(const ringmoe_schedule *schedule, rm_line line, const char *why,
                             rm_error *error)
{
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "schedule, %s: %s",
                   rm_line_write(schedule, line).text, why);
}

static ringmoe_status check_range(const ringmoe_schedule *schedule, rm_line line,
                                  rm_error *error)
{
    const ringmoe_schedule_item *item = &schedule->items[line.rank][line.index];
    if ((int)item->operation < 0 || item->operation > RINGMOE_STAGE_BACKWARD_WEIGHT)
        return refuse(schedule, line, "there is no such operation", error);
    if (item->microbatch < 0 || item->microbatch >= schedule->n_microbatches)
        return refuse(schedule, line, "there is no such microbatch", error);
    if (item->chunk < 0 || item->chunk >= schedule->n_chunks)
        return refuse(schedule, line, "there is no such chunk", error);
    return RINGMOE_OK;
}

/* Moves a microbatch of a chunk on. */
static ringmoe_status advance(const ringmoe_schedule *schedule, rm_line line,
                              unsigned char *progress, rm_error *error)
{
    switch (schedule->items[line.rank][line.index].operation) {
    case RINGMOE_STAGE_FORWARD:
        if (*progress != NOT_BEGUN) return refuse(schedule, line, "twice", error);
        *progress = FORWARD_DONE;
        break;
    case RINGMOE_STAGE_BACKWARD:
    case RINGMOE_STAGE_BACKWARD_INPUT:
        if (*progress == NOT_BEGUN)
            return refuse(schedule, line, "comes before the forward operation", error);
        if (*progress != FORWARD_DONE) return refuse(schedule, line, "twice", error);
        *progress = schedule->items[line.rank][line.index].operation == RINGMOE_STAGE_BACKWARD
                        ? FINISHED
                        : INPUT_DONE;
        break;
    case RINGMOE_STAGE_BACKWARD_WEIGHT:
        if (*progress == FINISHED) return refuse(schedule, line, "twice", error);
        if (*progress != INPUT_DONE)
            return refuse(schedule, line, "comes before the backward of the input", error);
        *progress = FINISHED;
        break;
    }
    return RINGMOE_OK;
}

/* State of a rank's list. */
typedef struct rm_tally {
    unsigned char *progress; /* [n_chunks][n_microbatches] */
    int *next_weights;       /* [n_chunks]: the microbatch whose gradient comes next */
} rm_tally;

static ringmoe_status check_line(const ringmoe_schedule *schedule, rm_line line,
                                 rm_tally *tally, rm_error *error)
{
    RM_TRY(check_range(schedule, line, error));
    const ringmoe_schedule_item *item = &schedule->items[line.rank][line.index];
    RM_TRY(advance(schedule, line,
                   &tally->progress[rm_cell(schedule, item->chunk, item->microbatch)], error));
    if (!rm_is_last_backward(item->operation)) return RINGMOE_OK;
    int next = tally->next_weights[item->chunk]++;
    if (item->microbatch == next) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                   "schedule, %s: gradients of weights come in the order of microbatches, now "
                   "%d",
                   rm_line_write(schedule, line).text, next);
}

static ringmoe_status check_complete(const ringmoe_schedule *schedule, int rank,
                                     const rm_tally *tally, rm_error *error)
{
    int end = schedule->has_backward ? FINISHED : FORWARD_DONE;
    static const char *const missing[] = {"forward", "backward", "backward of the weights"};
    for (int chunk = 0; chunk < schedule->n_chunks; chunk++)
        for (int i = 0; i < schedule->n_microbatches; i++) {
            int reached = tally->progress[rm_cell(schedule, chunk, i)];
            if (reached != end)
                return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                               "schedule, rank %d, after its last line %d: microbatch %d, "
                               "chunk %d lacks %s",
                               rank, schedule->n_items[rank] - 1, i, chunk, missing[reached]);
        }
    return RINGMOE_OK;
}

static ringmoe_status check_rank(const ringmoe_schedule *schedule, int rank, rm_error *error)
{
    size_t cells = (size_t)schedule->n_chunks * (size_t)schedule->n_microbatches;
    rm_tally tally = {calloc(cells, sizeof *tally.progress),
                      calloc((size_t)schedule->n_chunks, sizeof *tally.next_weights)};
    ringmoe_status status = RINGMOE_OK;
    if (!tally.progress || !tally.next_weights)
        status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory to check a schedule");
    for (int i = 0; i < schedule->n_items[rank] && status == RINGMOE_OK; i++)
        status = check_line(schedule, (rm_line){rank, i}, &tally, error);
    if (status == RINGMOE_OK) status = check_complete(schedule, rank, &tally, error);
    free(tally.progress);
    free(tally.next_weights);
    return status;
}

ringmoe_status rm_check_lists(const ringmoe_schedule *schedule, rm_error *error)
{
    for (int rank = 0; rank < schedule->n_ranks; rank++)
        RM_TRY(check_rank(schedule, rank, error));
    return RINGMOE_OK;
}

ringmoe_status ringmoe_schedule_check(ringmoe_context *context,
                                      const ringmoe_schedule *schedule)
{
    if (!context) return RINGMOE_ERROR_ARGUMENT;
    rm_error *error = &context->error;
    if (!schedule) return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "the schedule is NULL");
    RM_TRY(rm_check_lists(schedule, error));
    RM_TRY(rm_check_slots(schedule, error));
    return rm_play(schedule, NULL, 0, NULL, NULL, error);
}

/* SPDX-License-Identifier: MIT
 *
 * Schedules as objects: made from a name or from the caller's lists, always proved.
 */
#include "pipeline/lists.h"

#include <stdio.h>
#include <stdlib.h>

#include "comm/context.h"

/* Lines of all ranks, at most. */
#define MAX_LINES ((int64_t)1 << 28)

static const char *operation_text(ringmoe_stage_operation operation)
{
    static const char *const texts[] = {"forward", "backward", "backward of the input",
                                        "backward of the weights"};
    return (unsigned)operation < 4 ? texts[operation] : "unknown operation";
}

rm_line_text rm_line_write(const ringmoe_schedule *schedule, rm_line line)
{
    rm_line_text text;
    const ringmoe_schedule_item *item = &schedule->items[line.rank][line.index];
    snprintf(text.text, sizeof text.text, "rank %d, line %d (%s, microbatch %d, chunk %d)",
             line.rank, line.index, operation_text(item->operation), item->microbatch,
             item->chunk);
    return text;
}

rm_need rm_line_takes(const ringmoe_schedule *schedule, int rank,
                      const ringmoe_schedule_item *item)
{
    int stage = rm_stage_of(schedule, rank, item->chunk), last = rm_schedule_stages(schedule);
    if (item->operation == RINGMOE_STAGE_FORWARD) return (rm_need){stage - 1, false};
    bool takes = rm_is_backward_input(item->operation) && stage + 1 < last;
    return (rm_need){takes ? stage + 1 : -1, true};
}

rm_need rm_line_gives(const ringmoe_schedule *schedule, int rank,
                      const ringmoe_schedule_item *item)
{
    int stage = rm_stage_of(schedule, rank, item->chunk), last = rm_schedule_stages(schedule);
    if (item->operation == RINGMOE_STAGE_FORWARD)
        return (rm_need){stage + 1 < last ? stage + 1 : -1, false};
    return (rm_need){rm_is_backward_input(item->operation) ? stage - 1 : -1, true};
}

ringmoe_status rm_schedule_allocate(int n_ranks, int n_microbatches, int n_chunks, int capacity,
                                    ringmoe_schedule **schedule, rm_error *error)
{
    ringmoe_schedule *made = calloc(1, sizeof *made);
    *schedule = made;
    if (made) {
        made->n_ranks = n_ranks;
        made->n_microbatches = n_microbatches;
        made->n_chunks = n_chunks;
        made->n_items = calloc((size_t)n_ranks, sizeof *made->n_items);
        made->slots = calloc((size_t)n_ranks * (size_t)n_chunks, sizeof *made->slots);
        made->items = calloc((size_t)n_ranks, sizeof *made->items);
    }
    bool complete = made && made->n_items && made->slots && made->items;
    for (int rank = 0; complete && rank < n_ranks; rank++) {
        made->items[rank] = calloc((size_t)capacity + 1, sizeof **made->items);
        complete = made->items[rank] != NULL;
    }
    if (complete) return RINGMOE_OK;
    ringmoe_schedule_destroy(schedule);
    return rm_fail(error, RINGMOE_ERROR_MEMORY,
                   "no memory for a schedule of %d ranks, %d microbatches and %d chunks",
                   n_ranks, n_microbatches, n_chunks);
}

void rm_schedule_append(ringmoe_schedule *schedule, int rank, ringmoe_stage_operation operation,
                        int microbatch, int chunk)
{
    schedule->items[rank][schedule->n_items[rank]++] = (ringmoe_schedule_item){
        .operation = operation, .microbatch = microbatch, .chunk = chunk};
}

static ringmoe_status check_sizes(int n_ranks, int n_microbatches, int n_chunks,
                                  rm_error *error)
{
    if (n_ranks < 1 || n_microbatches < 1 || n_chunks < 1)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "a schedule of %d ranks, %d microbatches and %d chunks: each must be at "
                       "least 1",
                       n_ranks, n_microbatches, n_chunks);
    if (n_microbatches > MAX_LINES / 3 / n_ranks / n_chunks)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "a schedule of %d ranks, %d microbatches and %d chunks is longer than "
                       "%lld lines: use fewer microbatches",
                       n_ranks, n_microbatches, n_chunks, (long long)MAX_LINES);
    return RINGMOE_OK;
}

/* Assigns slots and proves the lists; a schedule that fails is freed. */
static ringmoe_status finish(ringmoe_schedule **schedule, rm_error *error)
{
    ringmoe_status status = rm_check_lists(*schedule, error);
    if (status == RINGMOE_OK) status = rm_assign_slots(*schedule, error);
    if (status == RINGMOE_OK) status = rm_check_slots(*schedule, error);
    if (status == RINGMOE_OK) status = rm_play(*schedule, NULL, 0, NULL, NULL, error);
    if (status != RINGMOE_OK) ringmoe_schedule_destroy(schedule);
    return status;
}

ringmoe_status ringmoe_schedule_create(ringmoe_context *context, const char *name, int n_ranks,
                                       int n_microbatches, int n_chunks,
                                       ringmoe_schedule **schedule)
{
    if (!context) return RINGMOE_ERROR_ARGUMENT;
    rm_error *error = &context->error;
    if (!schedule)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "the place for the schedule's handle is NULL");
    *schedule = NULL;
    const rm_schedule_row *row = name ? rm_schedule_find(name) : NULL;
    if (!row)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "no schedule \"%.40s\": there are forward, gpipe, 1f1b, interleaved and "
                       "zb-h1",
                       name ? name : "");
    RM_TRY(check_sizes(n_ranks, n_microbatches, n_chunks, error));
    int capacity = (row->has_backward ? row->is_split ? 3 : 2 : 1) * n_microbatches * n_chunks;
    RM_TRY(rm_schedule_allocate(n_ranks, n_microbatches, n_chunks, capacity, schedule, error));
    ringmoe_status status = rm_schedule_fill(*schedule, row, error);
    if (status != RINGMOE_OK) {
        ringmoe_schedule_destroy(schedule);
        return status;
    }
    return finish(schedule, error);
}

/* A line more than there can be is as many as need be copied to see that there are too many. */
static ringmoe_status copy_items(ringmoe_schedule *schedule,
                                 const ringmoe_schedule_item *const *items, const int *n_items,
                                 int capacity, rm_error *error)
{
    for (int rank = 0; rank < schedule->n_ranks; rank++) {
        if (n_items[rank] < 0 || n_items[rank] > capacity || (n_items[rank] && !items[rank]))
            return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                           "rank %d has %d lines: %d microbatches of %d chunks make at most %d",
                           rank, n_items[rank], schedule->n_microbatches, schedule->n_chunks,
                           capacity);
        for (int i = 0; i < n_items[rank]; i++) {
            const ringmoe_schedule_item *item = &items[rank][i];
            rm_schedule_append(schedule, rank, item->operation, item->microbatch, item->chunk);
            if (item->operation != RINGMOE_STAGE_FORWARD) schedule->has_backward = true;
        }
    }
    return RINGMOE_OK;
}

ringmoe_status ringmoe_schedule_from_items(ringmoe_context *context, int n_ranks,
                                           int n_microbatches, int n_chunks,
                                           const ringmoe_schedule_item *const *items,
                                           const int *n_items, ringmoe_schedule **schedule)
{
    if (!context) return RINGMOE_ERROR_ARGUMENT;
    rm_error *error = &context->error;
    if (!schedule || !items || !n_items)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "a schedule's lists, their lengths and the place for its handle must "
                       "not be NULL");
    *schedule = NULL;
    RM_TRY(check_sizes(n_ranks, n_microbatches, n_chunks, error));
    int capacity = 3 * n_microbatches * n_chunks;
    RM_TRY(rm_schedule_allocate(n_ranks, n_microbatches, n_chunks, capacity, schedule, error));
    ringmoe_status status = copy_items(*schedule, items, n_items, capacity, error);
    if (status != RINGMOE_OK) {
        ringmoe_schedule_destroy(schedule);
        return status;
    }
    return finish(schedule, error);
}

void ringmoe_schedule_destroy(ringmoe_schedule **schedule)
{
    if (!schedule || !*schedule) return;
    ringmoe_schedule *gone = *schedule;
    for (int rank = 0; gone->items && rank < gone->n_ranks; rank++) free(gone->items[rank]);
    free(gone->items);
    free(gone->n_items);
    free(gone->slots);
    free(gone);
    *schedule = NULL;
}

const ringmoe_schedule_item *ringmoe_schedule_items(const ringmoe_schedule *schedule, int rank,
                                                    int *n_items)
{
    bool is_there = schedule && rank >= 0 && rank < schedule->n_ranks;
    if (n_items) *n_items = is_there ? schedule->n_items[rank] : 0;
    return is_there ? schedule->items[rank] : NULL;
}

void ringmoe_schedule_sizes(const ringmoe_schedule *schedule, int *n_ranks, int *n_microbatches,
                            int *n_chunks)
{
    if (n_ranks) *n_ranks = schedule ? schedule->n_ranks : 0;
    if (n_microbatches) *n_microbatches = schedule ? schedule->n_microbatches : 0;
    if (n_chunks) *n_chunks = schedule ? schedule->n_chunks : 0;
}

int ringmoe_schedule_slots(const ringmoe_schedule *schedule, int rank, int chunk)
{
    if (!schedule || rank < 0 || rank >= schedule->n_ranks || chunk < 0 ||
        chunk >= schedule->n_chunks)
        return 0;
    return schedule->slots[rank * schedule->n_chunks + chunk];
}

bool rm_schedule_is_split(const ringmoe_schedule *schedule, int rank)
{
    for (int i = 0; i < schedule->n_items[rank]; i++)
        if (schedule->items[rank][i].operation == RINGMOE_STAGE_BACKWARD_INPUT) return true;
    return false;
}

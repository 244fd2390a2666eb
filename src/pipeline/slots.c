/* SPDX-License-Identifier: MIT
 *
 * Slots: where each microbatch's activations are kept, the lowest place of its chunk that is
 * free. A chunk needs as many as it ever holds at once.
 *
 *   1F1B, first of 3 ranks   F0 F1 F2 B0 F3 B1 B2 B3
 *   slot                     0  1  2  0  0  1  2  0
 */
#include <stdlib.h>

#include "pipeline/lists.h"

/* Of one rank: which microbatch a slot has (-1: none), and which slot a microbatch has. */
typedef struct rm_occupancy {
    int *holders; /* [n_chunks][n_microbatches], by slot */
    int *slots;   /* [n_chunks][n_microbatches], by microbatch */
    int n_microbatches;
} rm_occupancy;

static ringmoe_status occupancy_create(const ringmoe_schedule *schedule,
                                       rm_occupancy *occupancy, rm_error *error)
{
    size_t cells = (size_t)schedule->n_chunks * (size_t)schedule->n_microbatches;
    occupancy->n_microbatches = schedule->n_microbatches;
    occupancy->holders = malloc(2 * cells * sizeof *occupancy->holders);
    if (!occupancy->holders)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the slots of a schedule");
    occupancy->slots = occupancy->holders + cells;
    return RINGMOE_OK;
}

static void occupancy_clear(const ringmoe_schedule *schedule, rm_occupancy *occupancy)
{
    size_t cells = (size_t)schedule->n_chunks * (size_t)schedule->n_microbatches;
    for (size_t i = 0; i < 2 * cells; i++) occupancy->holders[i] = -1;
}

/* Forward alone keeps nothing past the operation itself. */
static bool frees_slot(const ringmoe_schedule *schedule, ringmoe_stage_operation operation)
{
    return rm_is_last_backward(operation) || !schedule->has_backward;
}

static void assign_rank(ringmoe_schedule *schedule, int rank, rm_occupancy *occupancy)
{
    int *n_slots = schedule->slots + (size_t)rank * (size_t)schedule->n_chunks;
    for (int i = 0; i < schedule->n_items[rank]; i++) {
        ringmoe_schedule_item *item = &schedule->items[rank][i];
        size_t row = (size_t)item->chunk * (size_t)occupancy->n_microbatches;
        int *holders = occupancy->holders + row, *slots = occupancy->slots + row;
        if (item->operation == RINGMOE_STAGE_FORWARD) {
            int slot = 0;
            while (holders[slot] >= 0) slot++;
            holders[slot] = item->microbatch;
            slots[item->microbatch] = slot;
            if (slot >= n_slots[item->chunk]) n_slots[item->chunk] = slot + 1;
        }
        item->slot = slots[item->microbatch];
        if (frees_slot(schedule, item->operation)) holders[item->slot] = -1;
    }
}

ringmoe_status rm_assign_slots(ringmoe_schedule *schedule, rm_error *error)
{
    rm_occupancy occupancy = {0};
    RM_TRY(occupancy_create(schedule, &occupancy, error));
    for (int rank = 0; rank < schedule->n_ranks; rank++) {
        occupancy_clear(schedule, &occupancy);
        assign_rank(schedule, rank, &occupancy);
    }
    free(occupancy.holders);
    return RINGMOE_OK;
}

static ringmoe_status check_line(const ringmoe_schedule *schedule, rm_line line,
                                 rm_occupancy *occupancy, rm_error *error)
{
    const ringmoe_schedule_item *item = &schedule->items[line.rank][line.index];
    int n_slots = schedule->slots[line.rank * schedule->n_chunks + item->chunk];
    int *holders = occupancy->holders + (size_t)item->chunk * (size_t)occupancy->n_microbatches;
    if (item->slot < 0 || item->slot >= n_slots)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "schedule, %s: slot %d, but the chunk has %d slots",
                       rm_line_write(schedule, line).text, item->slot, n_slots);
    bool is_forward = item->operation == RINGMOE_STAGE_FORWARD;
    int expected = is_forward ? -1 : item->microbatch, holder = holders[item->slot];
    if (holder != expected && is_forward)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "schedule, %s: slot %d still has microbatch %d",
                       rm_line_write(schedule, line).text, item->slot, holder);
    if (holder != expected)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "schedule, %s: its activations are not in slot %d",
                       rm_line_write(schedule, line).text, item->slot);
    holders[item->slot] = frees_slot(schedule, item->operation) ? -1 : item->microbatch;
    return RINGMOE_OK;
}

ringmoe_status rm_check_slots(const ringmoe_schedule *schedule, rm_error *error)
{
    rm_occupancy occupancy = {0};
    RM_TRY(occupancy_create(schedule, &occupancy, error));
    ringmoe_status status = RINGMOE_OK;
    for (int rank = 0; rank < schedule->n_ranks && status == RINGMOE_OK; rank++) {
        occupancy_clear(schedule, &occupancy);
        for (int i = 0; i < schedule->n_items[rank] && status == RINGMOE_OK; i++)
            status = check_line(schedule, (rm_line){rank, i}, &occupancy, error);
    }
    free(occupancy.holders);
    return status;
}

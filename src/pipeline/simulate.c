/* SPDX-License-Identifier: MIT
 *
 * Playing a schedule: every rank does its lines in order, each as soon as what it takes has
 * come. A rank that waits for something stays where it is, as in a blocking receive; if all
 * that are left wait, the lists are at odds. What is sent never blocks, and nothing depends on
 * the order in which ranks are looked at.
 */
#include <stdlib.h>

#include "comm/context.h"
#include "pipeline/lists.h"

typedef struct rm_stand {
    const ringmoe_schedule *schedule;
    const ringmoe_stage_cost *costs; /* NULL: all 0 */
    double transfer;
    double *begins;             /* NULL: not wanted */
    int *next;                  /* [n_ranks]: line that comes next */
    double *free_at;            /* [n_ranks] */
    double *forward, *backward; /* [stages][microbatches]: end of the operation; < 0: not yet */
    double work;
} rm_stand;

static double cost_of(const rm_stand *stand, int stage, ringmoe_stage_operation operation)
{
    if (!stand->costs) return 0;
    const ringmoe_stage_cost *cost = &stand->costs[stage];
    switch (operation) {
    case RINGMOE_STAGE_FORWARD:
        return cost->forward;
    case RINGMOE_STAGE_BACKWARD:
        return cost->backward_input + cost->backward_weight;
    case RINGMOE_STAGE_BACKWARD_INPUT:
        return cost->backward_input;
    case RINGMOE_STAGE_BACKWARD_WEIGHT:
        return cost->backward_weight;
    }
    return 0;
}

/* When what the line takes is there; < 0: not yet. */
static double arrival(const rm_stand *stand, int rank, const ringmoe_schedule_item *item)
{
    rm_need need = rm_line_takes(stand->schedule, rank, item);
    if (need.stage < 0) return 0;
    double end = (need.is_gradient
                      ? stand->backward
                      : stand->forward)[rm_cell(stand->schedule, need.stage, item->microbatch)];
    bool travels = stand->schedule->n_ranks > 1;
    return end < 0 || !travels ? end : end + stand->transfer;
}

/* Does the rank's next line if it can; false: it waits, or has come to its end. */
static bool do_line(rm_stand *stand, int rank, double **begin)
{
    const ringmoe_schedule *schedule = stand->schedule;
    if (stand->next[rank] == schedule->n_items[rank]) return false;
    const ringmoe_schedule_item *item = &schedule->items[rank][stand->next[rank]];
    double start = arrival(stand, rank, item);
    if (start < 0) return false;
    if (start < stand->free_at[rank]) start = stand->free_at[rank];
    int stage = rm_stage_of(schedule, rank, item->chunk);
    double cost = cost_of(stand, stage, item->operation);
    int64_t cell = rm_cell(schedule, stage, item->microbatch);
    stand->free_at[rank] = start + cost;
    stand->work += cost;
    if (item->operation == RINGMOE_STAGE_FORWARD) stand->forward[cell] = start + cost;
    if (rm_is_backward_input(item->operation)) stand->backward[cell] = start + cost;
    if (*begin) (*begin)[stand->next[rank]] = start;
    stand->next[rank]++;
    return true;
}

/* One look at every rank. Returns whether something was done. */
static bool sweep(rm_stand *stand)
{
    bool moved = false;
    double *begin = stand->begins;
    for (int rank = 0; rank < stand->schedule->n_ranks; rank++) {
        while (do_line(stand, rank, &begin)) moved = true;
        if (begin) begin += stand->schedule->n_items[rank];
    }
    return moved;
}

/* Names the first rank that is stuck and the one it waits for. */
static ringmoe_status check_ended(const rm_stand *stand, rm_error *error)
{
    const ringmoe_schedule *schedule = stand->schedule;
    int rank = 0;
    while (rank < schedule->n_ranks && stand->next[rank] == schedule->n_items[rank]) rank++;
    if (rank == schedule->n_ranks) return RINGMOE_OK;
    rm_line line = {rank, stand->next[rank]};
    rm_need need = rm_line_takes(schedule, rank, &schedule->items[rank][line.index]);
    int other = need.stage % schedule->n_ranks;
    rm_line stuck = {other, stand->next[other]};
    if (stuck.index == schedule->n_items[other])
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "schedule, %s waits for ever for stage %d, whose rank %d has no more "
                       "lines",
                       rm_line_write(schedule, line).text, need.stage, other);
    rm_need its = rm_line_takes(schedule, other, &schedule->items[other][stuck.index]);
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                   "schedule, %s waits for ever for stage %d, and %s waits for ever for stage "
                   "%d",
                   rm_line_write(schedule, line).text, need.stage,
                   rm_line_write(schedule, stuck).text, its.stage);
}

static double bubble_of(const rm_stand *stand, double seconds)
{
    if (!(seconds > 0)) return 0;
    return 1 - stand->work / (stand->schedule->n_ranks * seconds);
}

ringmoe_status rm_play(const ringmoe_schedule *schedule, const ringmoe_stage_cost *costs,
                       double transfer, double *begins, ringmoe_schedule_times *times,
                       rm_error *error)
{
    size_t n_ranks = (size_t)schedule->n_ranks;
    size_t cells = (size_t)rm_cell(schedule, rm_schedule_stages(schedule), 0);
    rm_stand stand = {.schedule = schedule, .costs = costs, .transfer = transfer};
    stand.begins = begins;
    stand.next = calloc(n_ranks, sizeof *stand.next);
    stand.free_at = calloc(n_ranks + 2 * cells, sizeof *stand.free_at);
    ringmoe_status status = RINGMOE_OK;
    if (!stand.next || !stand.free_at)
        status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory to play a schedule");
    if (status == RINGMOE_OK) {
        stand.forward = stand.free_at + n_ranks;
        stand.backward = stand.forward + cells;
        for (size_t i = 0; i < 2 * cells; i++) stand.forward[i] = -1;
        while (sweep(&stand)) continue;
        status = check_ended(&stand, error);
    }
    if (status == RINGMOE_OK && times) {
        times->seconds = 0;
        for (size_t r = 0; r < n_ranks; r++)
            if (stand.free_at[r] > times->seconds) times->seconds = stand.free_at[r];
        times->bubble = bubble_of(&stand, times->seconds);
    }
    free(stand.next);
    free(stand.free_at);
    return status;
}

ringmoe_status ringmoe_schedule_simulate(ringmoe_context *context,
                                         const ringmoe_schedule *schedule,
                                         const ringmoe_stage_cost *costs,
                                         double transfer_seconds, double *begins,
                                         ringmoe_schedule_times *times)
{
    if (!context) return RINGMOE_ERROR_ARGUMENT;
    rm_error *error = &context->error;
    if (!schedule || !costs || !times)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "a schedule, the costs of its stages and the place for the times must "
                       "not be NULL");
    for (int stage = 0; stage < rm_schedule_stages(schedule); stage++) {
        const ringmoe_stage_cost *cost = &costs[stage];
        if (!(cost->forward >= 0 && cost->backward_input >= 0 && cost->backward_weight >= 0))
            return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                           "the costs of stage %d (%g, %g, %g) must not be negative", stage,
                           cost->forward, cost->backward_input, cost->backward_weight);
    }
    if (!(transfer_seconds >= 0))
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "the time of a transfer, %g, must not be negative", transfer_seconds);
    return rm_play(schedule, costs, transfer_seconds, begins, times, error);
}

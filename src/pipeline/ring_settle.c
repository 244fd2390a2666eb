/* SPDX-License-Identifier: MIT
 *
 * How many buffers to send from. A message that is too long to be sent before its receive is
 * posted keeps its buffer until then, and a rank without a free buffer stands still. Which
 * number is enough is found by playing the lists under just these conditions, with 2 buffers,
 * then 3, ...: what comes to its end once does so always, since nothing in it depends on time.
 */
#include <stdlib.h>

#include "pipeline/ring_plan.h"

/* All ranks in such a play. */
typedef struct rm_passage {
    const ringmoe_schedule *schedule;
    rm_ring_plan *plans; /* [n_ranks] */
    int n_buffers;       /* to send from, in each direction */
    int *next;           /* [n_ranks]: line that comes next */
    int *n_sent;         /* [n_ranks][directions] */
    /* By receiving stage and microbatch, in each direction: the line that takes the message
     * and whether it was sent. */
    int *takers[RM_N_DIRECTIONS];
    unsigned char *sent[RM_N_DIRECTIONS];
    /* The last messages of a rank in a direction: [n_ranks][directions][n_messages], cells. */
    int64_t *messages;
    int n_messages;
} rm_passage;

/* Whether the message for a cell has its receive posted by now. */
static bool is_posted(const rm_passage *passage, rm_direction direction, int64_t cell)
{
    const ringmoe_schedule *schedule = passage->schedule;
    int receiver = (int)(cell / schedule->n_microbatches) % schedule->n_ranks;
    int taker = passage->takers[direction][cell];
    return passage->next[receiver] >= passage->plans[receiver].lines[taker].post;
}

static bool do_line(rm_passage *passage, int rank)
{
    const ringmoe_schedule *schedule = passage->schedule;
    if (passage->next[rank] == schedule->n_items[rank]) return false;
    const ringmoe_schedule_item *item = &schedule->items[rank][passage->next[rank]];
    rm_direction direction = rm_direction_of(item);
    int stage = rm_stage_of(schedule, rank, item->chunk);
    if (rm_line_takes(schedule, rank, item).stage >= 0 &&
        !passage->sent[direction][rm_cell(schedule, stage, item->microbatch)])
        return false;
    rm_need gives = rm_line_gives(schedule, rank, item);
    if (gives.stage >= 0) {
        int lane = rank * RM_N_DIRECTIONS + (int)direction;
        int64_t *messages = passage->messages + (int64_t)lane * passage->n_messages;
        int number = passage->n_sent[lane], before = number - passage->n_buffers;
        if (before >= 0 && !is_posted(passage, direction, messages[before])) return false;
        int64_t cell = rm_cell(schedule, gives.stage, item->microbatch);
        messages[number] = cell;
        passage->sent[direction][cell] = 1;
        passage->n_sent[lane]++;
    }
    passage->next[rank]++;
    return true;
}

/* Whether all lists come to their end with passage->n_buffers. */
static bool comes_to_end(rm_passage *passage)
{
    const ringmoe_schedule *schedule = passage->schedule;
    size_t cells = (size_t)rm_cell(schedule, rm_schedule_stages(schedule), 0);
    for (int d = 0; d < RM_N_DIRECTIONS; d++)
        for (size_t i = 0; i < cells; i++) passage->sent[d][i] = 0;
    for (int i = 0; i < schedule->n_ranks; i++) passage->next[i] = 0;
    for (int i = 0; i < schedule->n_ranks * RM_N_DIRECTIONS; i++) passage->n_sent[i] = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int rank = 0; rank < schedule->n_ranks; rank++)
            while (do_line(passage, rank)) moved = true;
    }
    for (int rank = 0; rank < schedule->n_ranks; rank++)
        if (passage->next[rank] < schedule->n_items[rank]) return false;
    return true;
}

static ringmoe_status passage_create(const ringmoe_schedule *schedule, rm_passage *passage,
                                     rm_error *error)
{
    size_t n_ranks = (size_t)schedule->n_ranks;
    size_t cells = (size_t)rm_cell(schedule, rm_schedule_stages(schedule), 0);
    passage->schedule = schedule;
    passage->n_messages = schedule->n_microbatches * schedule->n_chunks;
    passage->plans = calloc(n_ranks, sizeof *passage->plans);
    passage->next = calloc(n_ranks * (1 + RM_N_DIRECTIONS), sizeof *passage->next);
    passage->takers[0] = calloc(RM_N_DIRECTIONS * cells, sizeof *passage->takers[0]);
    passage->sent[0] = calloc(RM_N_DIRECTIONS * cells, sizeof *passage->sent[0]);
    passage->messages =
        calloc(n_ranks * RM_N_DIRECTIONS * (size_t)passage->n_messages, sizeof(int64_t));
    if (!passage->plans || !passage->next || !passage->takers[0] || !passage->sent[0] ||
        !passage->messages)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory to plan a ring of %d ranks",
                       schedule->n_ranks);
    passage->n_sent = passage->next + n_ranks;
    passage->takers[RM_GRADIENTS] = passage->takers[0] + cells;
    passage->sent[RM_GRADIENTS] = passage->sent[0] + cells;
    for (int rank = 0; rank < schedule->n_ranks; rank++) {
        RM_TRY(rm_ring_plan_create(schedule, rank, &passage->plans[rank], error));
        for (int i = 0; i < schedule->n_items[rank]; i++) {
            const ringmoe_schedule_item *item = &schedule->items[rank][i];
            int stage = rm_stage_of(schedule, rank, item->chunk);
            if (rm_line_takes(schedule, rank, item).stage >= 0)
                passage->takers[rm_direction_of(item)]
                               [rm_cell(schedule, stage, item->microbatch)] = i;
        }
    }
    return RINGMOE_OK;
}

static void passage_free(rm_passage *passage)
{
    for (int rank = 0; passage->plans && rank < passage->schedule->n_ranks; rank++)
        rm_ring_plan_free(&passage->plans[rank]);
    free(passage->plans);
    free(passage->next);
    free(passage->takers[0]);
    free(passage->sent[0]);
    free(passage->messages);
}

/* Numbers the buffers to send from, and counts those that are used. */
static void number_sends(const ringmoe_schedule *schedule, int rank, int n_buffers,
                         rm_ring_plan *plan)
{
    int n_sent[RM_N_DIRECTIONS] = {0};
    for (int i = 0; i < plan->n_lines; i++) {
        const ringmoe_schedule_item *item = &schedule->items[rank][i];
        if (rm_line_gives(schedule, rank, item).stage < 0) continue;
        plan->lines[i].given = n_sent[rm_direction_of(item)]++ % n_buffers;
    }
    for (int d = 0; d < RM_N_DIRECTIONS; d++)
        plan->n_sent[d] = n_sent[d] < n_buffers ? n_sent[d] : n_buffers;
}

ringmoe_status rm_ring_plan_settle(const ringmoe_schedule *schedule, int rank,
                                   rm_ring_plan *plan, rm_error *error)
{
    if (schedule->n_ranks == 1) return rm_ring_plan_create(schedule, rank, plan, error);
    rm_passage passage = {.n_buffers = 2};
    *plan = (rm_ring_plan){0};
    ringmoe_status status = passage_create(schedule, &passage, error);
    if (status == RINGMOE_OK) {
        while (passage.n_buffers < passage.n_messages && !comes_to_end(&passage))
            passage.n_buffers++;
        *plan = passage.plans[rank];
        passage.plans[rank] = (rm_ring_plan){0};
        number_sends(schedule, rank, passage.n_buffers, plan);
    }
    passage_free(&passage);
    return status;
}

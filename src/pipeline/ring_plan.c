/* SPDX-License-Identifier: MIT */
#include "pipeline/ring_plan.h"

#include <stdlib.h>

/* Lines before its own by which a message has a buffer at the latest. */
enum { LEAD = 2 };

/* A growing set of buffers. */
typedef struct rm_pool {
    int n, *free_since; /* [n]: first line before which it is free; -1: in use */
} rm_pool;

/* Where things are in a rank's list, by chunk and microbatch. */
typedef struct rm_finder {
    const ringmoe_schedule *schedule;
    int rank;
    int *taken[RM_N_DIRECTIONS]; /* the line that takes the activation, the gradient; -1 */
    int *last;                   /* the last line of it */
    int *memory;
    rm_pool pools[RM_N_DIRECTIONS];
} rm_finder;

static ringmoe_status finder_create(const ringmoe_schedule *schedule, int rank,
                                    rm_finder *finder, rm_error *error)
{
    size_t cells = (size_t)schedule->n_chunks * (size_t)schedule->n_microbatches;
    finder->schedule = schedule;
    finder->rank = rank;
    finder->memory = malloc((5 * cells + 2) * sizeof *finder->memory);
    if (!finder->memory)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory to plan the buffers of a ring");
    for (size_t i = 0; i < 5 * cells; i++) finder->memory[i] = -1;
    finder->taken[RM_ACTIVATIONS] = finder->memory;
    finder->taken[RM_GRADIENTS] = finder->memory + cells;
    finder->last = finder->memory + 2 * cells;
    finder->pools[RM_ACTIVATIONS] = (rm_pool){0, finder->memory + 3 * cells};
    finder->pools[RM_GRADIENTS] = (rm_pool){0, finder->memory + 4 * cells};
    for (int i = 0; i < schedule->n_items[rank]; i++) {
        const ringmoe_schedule_item *item = &schedule->items[rank][i];
        int64_t cell = rm_cell(schedule, item->chunk, item->microbatch);
        if (rm_line_takes(schedule, rank, item).stage >= 0)
            finder->taken[rm_direction_of(item)][cell] = i;
        finder->last[cell] = i;
    }
    return RINGMOE_OK;
}

/* The buffer that has been free for longest, so that its receive can be posted early. */
static int open_buffer(rm_pool *pool, int *since)
{
    int chosen = -1;
    for (int i = 0; i < pool->n; i++)
        if (pool->free_since[i] >= 0 &&
            (chosen < 0 || pool->free_since[i] < pool->free_since[chosen]))
            chosen = i;
    if (chosen < 0) {
        chosen = pool->n++;
        pool->free_since[chosen] = 0;
    }
    *since = pool->free_since[chosen];
    pool->free_since[chosen] = -1;
    return chosen;
}

/* Gives the line that takes something its buffer. */
static void open_line(rm_finder *finder, rm_ring_plan *plan, int index)
{
    if (index < 0 || index >= plan->n_lines) return;
    const ringmoe_schedule_item *item = &finder->schedule->items[finder->rank][index];
    rm_direction direction = rm_direction_of(item);
    int64_t cell = rm_cell(finder->schedule, item->chunk, item->microbatch);
    if (finder->taken[direction][cell] != index) return;
    rm_ring_line *line = &plan->lines[index];
    int buffer = open_buffer(&finder->pools[direction], &line->post);
    if (direction == RM_ACTIVATIONS)
        line->input = buffer;
    else
        line->d_input = buffer;
}

/* On one rank: the line that takes what line `index` makes. */
static int taker_of(const rm_finder *finder, int index)
{
    const ringmoe_schedule_item *item = &finder->schedule->items[finder->rank][index];
    rm_need gives = rm_line_gives(finder->schedule, finder->rank, item);
    if (gives.stage < 0) return -1;
    return finder->taken[rm_direction_of(item)]
                        [rm_cell(finder->schedule, gives.stage, item->microbatch)];
}

static void open_buffers(rm_finder *finder, rm_ring_plan *plan, int index)
{
    if (finder->schedule->n_ranks == 1) {
        int taker = taker_of(finder, index);
        open_line(finder, plan, taker);
        if (taker >= 0)
            plan->lines[index].given = plan->lines[taker].input >= 0
                                           ? plan->lines[taker].input
                                           : plan->lines[taker].d_input;
        return;
    }
    for (int ahead = index == 0 ? 0 : LEAD; ahead <= LEAD; ahead++)
        open_line(finder, plan, index + ahead);
}

/* All lines of a microbatch read the activation that its forward took. */
static void close_buffers(rm_finder *finder, rm_ring_plan *plan, int index)
{
    const ringmoe_schedule_item *item = &finder->schedule->items[finder->rank][index];
    int64_t cell = rm_cell(finder->schedule, item->chunk, item->microbatch);
    int forward = finder->taken[RM_ACTIVATIONS][cell];
    rm_ring_line *line = &plan->lines[index];
    if (forward >= 0) line->input = plan->lines[forward].input;
    if (line->d_input >= 0) finder->pools[RM_GRADIENTS].free_since[line->d_input] = index + 1;
    if (finder->last[cell] == index && line->input >= 0)
        finder->pools[RM_ACTIVATIONS].free_since[line->input] = index + 1;
}

/* Lists the lines that take something by the line before which their receives are posted. */
static void sort_posts(rm_ring_plan *plan, int *firsts)
{
    for (int i = 0; i <= plan->n_lines; i++) firsts[i] = 0;
    for (int i = 0; i < plan->n_lines; i++)
        if (plan->lines[i].post >= 0) {
            firsts[plan->lines[i].post + 1]++;
            plan->n_posts++;
        }
    for (int i = 0; i < plan->n_lines; i++) firsts[i + 1] += firsts[i];
    for (int i = 0; i < plan->n_lines; i++)
        if (plan->lines[i].post >= 0) plan->posts[firsts[plan->lines[i].post]++] = i;
}

ringmoe_status rm_ring_plan_create(const ringmoe_schedule *schedule, int rank,
                                   rm_ring_plan *plan, rm_error *error)
{
    rm_finder finder;
    int n_lines = schedule->n_items[rank];
    *plan = (rm_ring_plan){.n_lines = n_lines};
    plan->lines = malloc(((size_t)n_lines + 1) * sizeof *plan->lines);
    plan->posts = malloc(((size_t)n_lines + 1) * sizeof *plan->posts);
    int *firsts = malloc(((size_t)n_lines + 2) * sizeof *firsts);
    ringmoe_status status = finder_create(schedule, rank, &finder, error);
    if (status == RINGMOE_OK && !(plan->lines && plan->posts && firsts))
        status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory to plan a ring of %d lines",
                         n_lines);
    if (status == RINGMOE_OK) {
        for (int i = 0; i < n_lines; i++) plan->lines[i] = (rm_ring_line){-1, -1, -1, -1};
        for (int i = 0; i < n_lines; i++) {
            open_buffers(&finder, plan, i);
            close_buffers(&finder, plan, i);
        }
        sort_posts(plan, firsts);
        for (int d = 0; d < RM_N_DIRECTIONS; d++) plan->n_received[d] = finder.pools[d].n;
    }
    free(finder.memory);
    free(firsts);
    return status;
}

void rm_ring_plan_free(rm_ring_plan *plan)
{
    free(plan->lines);
    free(plan->posts);
    *plan = (rm_ring_plan){0};
}

int64_t rm_ring_plan_bytes(const ringmoe_schedule *schedule, int rank)
{
    int64_t own = schedule->n_items[rank], all = 0;
    for (int r = 0; r < schedule->n_ranks; r++) all += schedule->n_items[r];
    return all * (int64_t)sizeof **schedule->items +
           own * (int64_t)(sizeof(rm_ring_line) + sizeof(int));
}

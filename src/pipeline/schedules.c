/* SPDX-License-Identifier: MIT
 *
 * The schedules: a table with one rule each, and the one procedure that makes lists of a rule.
 *
 * Forward, a rank takes microbatches in groups of about P through its chunks, a group through
 * one chunk after the other; backward likewise, from the last chunk to the first:
 *
 *   P = 2, two chunks, 4 microbatches    chunk 0: 0 1     2 3        forward ->
 *                                        chunk 1:     0 1     2 3
 *
 * How the two rows of work are mixed is the rule. The lists come from playing all ranks in
 * ticks (forward 1, each half of a backward 1): a rank goes forward when it can and its rule
 * allows it, else backward, else it makes gradients of weights that were put off. Such a play
 * cannot get stuck: backward of a group needs nothing but this group's forward, which the rules
 * allow (they let a rank be at least group * (chunks - 1) + 1 operations ahead).
 *
 * To add a schedule: a rule, and a row in the table. Every schedule is proved after it is made.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/lists.h"

/* Everything forward, then everything backward (Huang et al. 2019). Also for forward alone. */
static rm_mixing all_forward_first(const ringmoe_schedule *shape, int rank)
{
    int all = shape->n_microbatches * shape->n_chunks;
    return (rm_mixing){.ahead = all, .kept = all, .first = all};
}

/* As many groups as give them about P microbatches each, as even as can be. */
static int count_groups(const ringmoe_schedule *shape)
{
    int n = (shape->n_microbatches + shape->n_ranks / 2) / shape->n_ranks;
    return n > 0 ? n : 1;
}

/* Operations that a rank is ahead of its first backward one because of its further chunks. */
static int ahead_for_chunks(const ringmoe_schedule *shape)
{
    int n_groups = count_groups(shape);
    int largest = (shape->n_microbatches + n_groups - 1) / n_groups;
    return (shape->n_chunks - 1) * largest;
}

/* Forward and backward in turns (Narayanan et al. 2019); rank r is P - r - 1 microbatches ahead
 * of the last rank. */
static rm_mixing one_forward_one_backward(const ringmoe_schedule *shape, int rank)
{
    return (rm_mixing){.ahead = ahead_for_chunks(shape) + shape->n_ranks - rank,
                       .kept = INT_MAX};
}

/* As 1F1B, with what is made on other ranks asked for a turn earlier, so that its way round the
 * ring has time (Narayanan et al. 2021). */
static rm_mixing interleaved(const ringmoe_schedule *shape, int rank)
{
    if (shape->n_chunks == 1) return one_forward_one_backward(shape, rank);
    int ahead = ahead_for_chunks(shape) + 2 * (shape->n_ranks - rank - 1) + 1;
    return (rm_mixing){.ahead = ahead, .kept = INT_MAX};
}

/* As 1F1B, but gradients of weights fill the time in which nothing else can be done, as far as
 * the activations allow it that 1F1B keeps on rank 0 (Qi et al. 2023). */
static rm_mixing zero_bubble_h1(const ringmoe_schedule *shape, int rank)
{
    rm_mixing mixing = one_forward_one_backward(shape, rank);
    mixing.kept = ahead_for_chunks(shape) + shape->n_ranks;
    return mixing;
}

static const rm_schedule_row table[] = {
    {"forward", false, false, all_forward_first},    {"gpipe", true, false, all_forward_first},
    {"1f1b", true, false, one_forward_one_backward}, {"interleaved", true, false, interleaved},
    {"zb-h1", true, true, zero_bubble_h1},
};
enum { ROWS = sizeof table / sizeof table[0] };

const char *const *ringmoe_schedule_names(void)
{
    static const char *const names[ROWS + 1] = {"forward",     "gpipe", "1f1b",
                                                "interleaved", "zb-h1", NULL};
    return names;
}

const rm_schedule_row *rm_schedule_find(const char *name)
{
    for (int i = 0; i < ROWS; i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    return NULL;
}

/* One rank in the play. */
typedef struct rm_player {
    rm_mixing mixing;
    int n_forward, n_input, n_weight; /* operations begun */
    int64_t busy_until;
} rm_player;

typedef struct rm_game {
    ringmoe_schedule *schedule;
    const rm_schedule_row *row;
    rm_player *players;
    int64_t *forward, *backward; /* [stages][microbatches]: tick at which it is there */
} rm_game;

/* Operation number i of a rank, as microbatch and chunk (counted from the end if backward). */
static ringmoe_schedule_item in_order(const ringmoe_schedule *schedule, int i)
{
    int64_t n_microbatches = schedule->n_microbatches, n_groups = count_groups(schedule);
    int64_t group = ((i / schedule->n_chunks + 1) * n_groups - 1) / n_microbatches;
    int first = (int)(group * n_microbatches / n_groups);
    int size = (int)((group + 1) * n_microbatches / n_groups) - first;
    int rest = i - first * schedule->n_chunks;
    return (ringmoe_schedule_item){.microbatch = first + rest % size, .chunk = rest / size};
}

static ringmoe_schedule_item in_order_backward(const ringmoe_schedule *schedule, int i)
{
    ringmoe_schedule_item item = in_order(schedule, i);
    item.chunk = schedule->n_chunks - 1 - item.chunk;
    return item;
}

static bool has_arrived(const rm_game *game, rm_need need, int microbatch, int64_t tick)
{
    if (need.stage < 0) return true;
    const int64_t *at = need.is_gradient ? game->backward : game->forward;
    return at[rm_cell(game->schedule, need.stage, microbatch)] <= tick;
}

static void begin(rm_game *game, int rank, const ringmoe_schedule_item *item, int64_t tick)
{
    ringmoe_schedule *schedule = game->schedule;
    rm_player *player = &game->players[rank];
    int stage = rm_stage_of(schedule, rank, item->chunk);
    int64_t cell = rm_cell(schedule, stage, item->microbatch);
    player->busy_until = tick + (item->operation == RINGMOE_STAGE_BACKWARD ? 2 : 1);
    if (item->operation == RINGMOE_STAGE_FORWARD) game->forward[cell] = player->busy_until;
    if (rm_is_backward_input(item->operation)) game->backward[cell] = player->busy_until;
    rm_schedule_append(schedule, rank, item->operation, item->microbatch, item->chunk);
}

static bool go_backward(rm_game *game, int rank, int64_t tick)
{
    rm_player *player = &game->players[rank];
    if (!game->row->has_backward || player->n_input == player->n_forward ||
        player->n_forward < player->mixing.first)
        return false;
    ringmoe_schedule_item item = in_order_backward(game->schedule, player->n_input);
    int stage = rm_stage_of(game->schedule, rank, item.chunk);
    if (game->forward[rm_cell(game->schedule, stage, item.microbatch)] > tick) return false;
    item.operation =
        game->row->is_split ? RINGMOE_STAGE_BACKWARD_INPUT : RINGMOE_STAGE_BACKWARD;
    if (!has_arrived(game, rm_line_takes(game->schedule, rank, &item), item.microbatch, tick))
        return false;
    player->n_input++;
    player->n_weight += !game->row->is_split;
    begin(game, rank, &item, tick);
    return true;
}

static bool go_forward(rm_game *game, int rank, int64_t tick)
{
    rm_player *player = &game->players[rank];
    int all = game->schedule->n_microbatches * game->schedule->n_chunks;
    if (player->n_forward == all ||
        player->n_forward - player->n_input >= player->mixing.ahead ||
        player->n_forward - player->n_weight >= player->mixing.kept)
        return false;
    ringmoe_schedule_item item = in_order(game->schedule, player->n_forward);
    if (!has_arrived(game, rm_line_takes(game->schedule, rank, &item), item.microbatch, tick))
        return false;
    player->n_forward++;
    begin(game, rank, &item, tick);
    return true;
}

static bool make_weights(rm_game *game, int rank, int64_t tick)
{
    rm_player *player = &game->players[rank];
    if (!game->row->is_split || player->n_weight == player->n_input) return false;
    ringmoe_schedule_item item = in_order_backward(game->schedule, player->n_weight++);
    item.operation = RINGMOE_STAGE_BACKWARD_WEIGHT;
    begin(game, rank, &item, tick);
    return true;
}

/* On one rank a microbatch goes through all of its chunks and back before the next one comes,
 * so that one of them is kept. */
static bool do_something(rm_game *game, int rank, int64_t tick)
{
    bool is_ring = game->schedule->n_ranks > 1;
    return (is_ring && go_forward(game, rank, tick)) || go_backward(game, rank, tick) ||
           make_weights(game, rank, tick) || go_forward(game, rank, tick);
}

static void play(rm_game *game, int n_lines)
{
    int n_ranks = game->schedule->n_ranks;
    for (int64_t tick = 0, left = (int64_t)n_lines * n_ranks; left > 0; tick++)
        for (int rank = 0; rank < n_ranks; rank++)
            if (game->players[rank].busy_until <= tick) left -= do_something(game, rank, tick);
}

static bool set_up(rm_game *game)
{
    const ringmoe_schedule *schedule = game->schedule;
    int64_t cells = rm_cell(schedule, rm_schedule_stages(schedule), 0);
    size_t n_ranks = (size_t)schedule->n_ranks;
    game->players = calloc(n_ranks, sizeof *game->players);
    game->forward = malloc((size_t)cells * sizeof *game->forward);
    game->backward = malloc((size_t)cells * sizeof *game->backward);
    if (!game->players || !game->forward || !game->backward) return false;
    for (int rank = 0; rank < schedule->n_ranks; rank++)
        game->players[rank].mixing = game->row->mixing(schedule, rank);
    for (int64_t i = 0; i < cells; i++) game->forward[i] = game->backward[i] = INT64_MAX;
    return true;
}

ringmoe_status rm_schedule_fill(ringmoe_schedule *schedule, const rm_schedule_row *row,
                                rm_error *error)
{
    rm_game game = {.schedule = schedule, .row = row};
    int operations = row->has_backward ? row->is_split ? 3 : 2 : 1;
    bool is_ready = set_up(&game);
    if (is_ready) play(&game, operations * schedule->n_microbatches * schedule->n_chunks);
    schedule->has_backward = row->has_backward;
    free(game.players);
    free(game.forward);
    free(game.backward);
    if (is_ready) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory to make a schedule of %d ranks",
                   schedule->n_ranks);
}

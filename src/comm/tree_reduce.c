/* SPDX-License-Identifier: MIT
 *
 * Sums across ranks, in turns of one chunk of every shard each (tree_turn.c), behind other
 * work: the messages of a turn travel while the one before is added up. All of it goes on
 * whenever the rank waits or comes to another layer, with all threads; between two tasks of a
 * product the thread that looks after messages adds up one turn by itself, and takes fewer
 * tasks.
 *
 *   turn 0   | messages | add |
 *   turn 1   | messages       | add |
 *   turn 2              | messages  | add |
 */
#include "comm/tree_state.h"

#include <stddef.h>

#include "base/clock.h"

static ringmoe_status check_complete(const rm_tree *tree, const rm_axis *axis, rm_error *error)
{
    if (tree->next_step != tree->shape.leaves_per_source)
        return rm_fail(error, RINGMOE_ERROR_STATE,
                       "%d of %d microbatches have been given; give them all before reducing "
                       "gradients",
                       tree->next_step, tree->shape.leaves_per_source);
    if (axis->size != tree->n_ranks ||
        axis->rank != tree->shape.first_source / tree->shape.n_sources)
        return rm_fail(error, RINGMOE_ERROR_STATE,
                       "a reduction tree of %d ranks from source %d does not fit rank %d of %d",
                       tree->n_ranks, tree->shape.first_source, axis->rank, axis->size);
    return RINGMOE_OK;
}

static int64_t count_turns(const rm_tree *tree, const int64_t *bounds)
{
    int64_t longest = 0;
    for (int r = 0; r < tree->n_ranks; r++)
        if (bounds[r + 1] - bounds[r] > longest) longest = bounds[r + 1] - bounds[r];
    return longest ? (longest + tree->chunk - 1) / tree->chunk : 0;
}

static int first_tag(const rm_tree *tree, const rm_axis *axis)
{
    enum { ROUND_TAGS = RM_TREES_MOST * RM_TREE_NODES_MOST };
    int *highest, is_known = 0;
    if (axis->size > 1) MPI_Comm_get_attr(axis->comm, MPI_TAG_UB, &highest, &is_known);
    int n_rounds = is_known ? (*highest - RM_TREE_TAG) / ROUND_TAGS : 1;
    return RM_TREE_TAG + (int)(tree->round % n_rounds) * ROUND_TAGS +
           tree->shape.number * RM_TREE_NODES_MOST;
}

/* --- in the background --- */

/* Posts the next turn if there is room, or adds up the oldest one before turn `end` if it is
 * there. */
static ringmoe_status go_on(rm_tree *tree, const rm_compute *compute, int64_t end,
                            bool *went_on, rm_error *error)
{
    rm_tree_reduction *reduction = &tree->reduction;
    *went_on = false;
    if (reduction->n_posted < reduction->n_turns &&
        reduction->n_posted < reduction->n_added + RM_TREE_TURNS) {
        *went_on = true;
        return rm_tree_turn_post(tree, reduction->n_posted++, error);
    }
    bool is_there = false;
    if (reduction->n_added < reduction->n_posted && reduction->n_added < end)
        RM_TRY(rm_tree_turn_test(tree, reduction->n_added, &is_there, error));
    if (!is_there) return RINGMOE_OK;
    rm_tree_turn_add(tree, compute, reduction->n_added++);
    rm_progress_tick(reduction->axis->progress);
    *went_on = true;
    return RINGMOE_OK;
}

static ringmoe_status advance(rm_background *self, bool has_threads, rm_error *error)
{
    rm_tree *tree = (rm_tree *)((char *)self - offsetof(rm_tree, reduction.background));
    rm_tree_reduction *reduction = &tree->reduction;
    rm_compute compute = *reduction->compute;
    int64_t end = reduction->n_turns;
    if (!has_threads) {
        compute.n_threads = 1;
        end = reduction->n_added + 1;
    }
    bool went_on = true;
    while (went_on) RM_TRY(go_on(tree, &compute, end, &went_on, error));
    self->done = reduction->n_added == reduction->n_turns;
    return RINGMOE_OK;
}

ringmoe_status rm_tree_reduce_start(rm_tree *tree, const rm_axis *axis, const int64_t *bounds,
                                    const rm_compute *compute, rm_real *shard, rm_error *error)
{
    RM_TRY(check_complete(tree, axis, error));
    tree->reduction = (rm_tree_reduction){.background = {.advance = advance},
                                          .axis = axis,
                                          .bounds = bounds,
                                          .compute = compute,
                                          .shard = shard,
                                          .n_turns = count_turns(tree, bounds),
                                          .first_tag = first_tag(tree, axis),
                                          .is_begun = true};
    rm_background_start(axis->progress, &tree->reduction.background);
    return RINGMOE_OK;
}

/* Gives up what is still under way, the last first: else a message of an earlier turn would
 * find a later turn's receive. */
static void stop(rm_tree *tree)
{
    rm_tree_reduction *reduction = &tree->reduction;
    if (!reduction->is_begun) return;
    rm_background_remove(reduction->axis->progress, &reduction->background);
    for (int64_t i = reduction->n_posted - 1; i >= reduction->n_added; i--)
        rm_tree_turn_abandon(tree, i);
    reduction->is_begun = false;
}

ringmoe_status rm_tree_reduce_finish(rm_tree *tree, rm_comm_times *times, rm_error *error)
{
    rm_tree_reduction *reduction = &tree->reduction;
    if (!reduction->is_begun)
        return rm_fail(error, RINGMOE_ERROR_STATE,
                       "no reduction of gradients has been started");
    double start = rm_clock_seconds();
    ringmoe_status status = rm_wait_background(reduction->axis, &reduction->background,
                                               "reducing gradients", error);
    stop(tree);
    rm_tree_empty(tree);
    times->exchange += rm_clock_seconds() - start;
    return status;
}

/* --- at once --- */

ringmoe_status rm_tree_reduce(rm_tree *tree, const rm_axis *axis, const int64_t *bounds,
                              const rm_compute *compute, rm_real *shard, rm_comm_times *times,
                              rm_error *error)
{
    double start = rm_clock_seconds();
    ringmoe_status status = rm_agree(axis, check_complete(tree, axis, error), error);
    times->wait += rm_clock_seconds() - start;
    if (status == RINGMOE_OK)
        status = rm_tree_reduce_start(tree, axis, bounds, compute, shard, error);
    if (status == RINGMOE_OK) return rm_tree_reduce_finish(tree, times, error);
    rm_tree_empty(tree);
    return status;
}

void rm_tree_clear(rm_tree *tree)
{
    stop(tree);
    rm_tree_empty(tree);
    tree->round++;
}

rm_real *rm_tree_shard_in_place(const rm_tree *tree, int64_t first)
{
    return tree->n_nodes ? tree->buffers[tree->nodes[0].slot] + first : NULL;
}

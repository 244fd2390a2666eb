/* SPDX-License-Identifier: MIT
 *
 * A pass's exchange on several expert ranks: tokens to their experts and back. Ranks of this
 * node are near: they read one another's rows, choices and outputs in shared memory. The others
 * are far: messages, which far_messages.c fills and reads.
 *
 *   open       copy own rows to where they are read, tell the counts
 *   plan       forward: find out which rows this rank's experts have
 *   start      post all messages
 *   (groups)   await, compute, return                                      experts.c
 *   collect    own part done: wait for the outputs of others
 *   close
 */
#include <string.h>

#include "base/clock.h"
#include "moe/saved.h"

/* --- open --- */

/* Own rows and choices, for near ranks to read. */
static ringmoe_status publish(const rm_moe_call *call, const rm_real *rows, rm_real *block)
{
    const rm_moe_saved *saved = call->saved;
    const rm_notices *notices = &saved->workspace->notices;
    const rm_shared *shared = saved->workspace->shared;
    int64_t n = saved->routing.n_tokens, width = call->settings->d_model;
    RM_TRY(rm_shared_touch(shared, block, n * width * (int64_t)sizeof *block,
                           rm_call_error(call)));
#pragma omp parallel for num_threads(call->compute->n_threads) schedule(dynamic, 16)
    for (int64_t t = 0; t < n; t++)
        memcpy(block + t * width, rows + t * width, (size_t)width * sizeof *rows);
    if (call->backward) return RINGMOE_OK;
    const rm_route_plan *plan = &saved->plan;
    int64_t n_sent = plan->n_sent;
    RM_TRY(rm_shared_touch(shared, notices->run_firsts,
                           (char *)(notices->weights + n_sent) - (char *)notices->run_firsts,
                           rm_call_error(call)));
    memcpy(notices->first_slots, plan->first_slots,
           ((size_t)call->settings->n_experts + 1) * sizeof *plan->first_slots);
    memcpy(notices->tokens, plan->tokens, (size_t)n_sent * sizeof *plan->tokens);
    for (int64_t i = 0; i < saved->routing.n_tokens * call->settings->top_k; i++)
        if (plan->slots[i] >= 0) notices->weights[plan->slots[i]] = saved->routing.weights[i];
    return RINGMOE_OK;
}

/* The counts for each rank: rows of its experts, then rows of a message, or -1 from a rank that
 * cannot go on. */
static void fill_counts(const rm_moe_call *call, bool fine)
{
    const rm_moe_saved *saved = call->saved;
    int32_t *counts = saved->workspace->counts_out;
    const int32_t *firsts = saved->plan.first_slots;
    for (int r = 0; r < call->mesh->expert.size; r++) {
        const rm_partner *partner = &saved->far.partners[saved->far.through[r]];
        int32_t before =
            firsts[0] - saved->plan.first_slots[partner->first_rank * call->n_local];
        for (int e = 0; e < call->n_local; e++, firsts++) *counts++ = firsts[1] - firsts[0];
        counts[RM_COUNT_ROWS] = fine ? (int32_t)partner->rows : -1;
        counts[RM_COUNT_SLOTS] = (int32_t)partner->slots;
        counts[RM_COUNT_BEFORE] = before;
        counts += RM_N_FAR_COUNTS;
    }
}

static ringmoe_status exchange_counts(rm_moe_call *call, rm_label label, ringmoe_status status)
{
    const rm_axis *axis = &call->mesh->expert;
    const rm_moe_workspace *workspace = call->saved->workspace;
    rm_error own = *rm_call_error(call), *error = rm_call_error(call);
    int n_counts = call->n_local + RM_N_FAR_COUNTS;
    fill_counts(call, status == RINGMOE_OK);
    RM_TRY(rm_exchange_counts(axis, label, n_counts, workspace->counts_out,
                              workspace->counts_in, workspace->counts_room,
                              &call->mesh->context->times, error));
    if (status != RINGMOE_OK) {
        *error = own;
        return status;
    }
    for (int r = 0; r < axis->size; r++) {
        if (workspace->counts_in[r * n_counts + call->n_local + RM_COUNT_ROWS] >= 0) continue;
        call->is_told = true;
        return rm_fail(error, RINGMOE_ERROR_MEMORY,
                       "rank %d gave up an exchange of tokens; its own message says why",
                       rm_axis_member(axis, r));
    }
    return RINGMOE_OK;
}

static void plan_out(const rm_moe_call *call)
{
    rm_moe_saved *saved = call->saved;
    const rm_shared *shared = saved->workspace->shared;
    const ringmoe_moe_settings *settings = call->settings;
    rm_far_find_ways(&saved->far, shared, call->mesh->expert.rank);
    rm_far_plan_out(&saved->far, &saved->plan, settings->n_experts, saved->routing.n_tokens,
                    settings->max_tokens, settings->d_model, saved->places);
}

ringmoe_status rm_dispatch_open(rm_moe_call *call, rm_operation operation, const rm_real *rows,
                                rm_real *block)
{
    const rm_axis *axis = &call->mesh->expert;
    rm_shared *shared = call->saved->workspace->shared;
    rm_comm_times *times = &call->mesh->context->times;
    rm_label label = call->pass->label;
    label.operation = operation;
    double start = rm_clock_seconds();
    rm_progress_at(axis->progress, label);
    rm_shared_begin(shared);
    double others_done = rm_clock_seconds();
    times->wait += others_done - start;
    ringmoe_status status = publish(call, rows, block);
    if (!call->backward) plan_out(call);
    if (status == RINGMOE_OK) rm_shared_mark(shared, RM_PUBLISHED);
    rm_count_tokens(times, rm_clock_seconds() - others_done);
    RM_TRY(exchange_counts(call, label, status));
    status = rm_shared_await(shared, RM_PUBLISHED, rm_call_error(call));
    call->is_told = status != RINGMOE_OK;
    return status;
}

/* --- plan --- */

/* The rows and weights of a near rank's runs. */
static void read_choices(const rm_moe_call *call, int source)
{
    const rm_moe_saved *saved = call->saved;
    const rm_arrivals *arrivals = &saved->arrivals;
    const rm_shared *shared = saved->workspace->shared;
    const rm_notices *notices = &saved->workspace->notices;
    int place = shared->places[source], first_expert = call->mesh->expert.rank * call->n_local;
    const int32_t *firsts = rm_shared_of(shared, place, notices->first_slots);
    const int32_t *tokens = rm_shared_of(shared, place, notices->tokens);
    const rm_real *weights = rm_shared_of(shared, place, notices->weights);
    int32_t first_row = (int32_t)rm_shared_row(
        shared, rm_shared_of(shared, place, saved->x_block), call->settings->d_model);
    for (int e = 0; e < call->n_local; e++) {
        int64_t run = (int64_t)e * arrivals->n_sources + source;
        int64_t row = arrivals->run_firsts[run], slot = firsts[first_expert + e];
        for (int64_t i = 0; i < arrivals->run_rows[run]; i++) {
            arrivals->x_rows[row + i] = first_row + tokens[slot + i];
            arrivals->weights[row + i] = weights[slot + i];
        }
    }
}

/* Memory for what arrives and for what is made of it, which others read. */
static ringmoe_status touch_rows(const rm_moe_call *call)
{
    const rm_moe_saved *saved = call->saved;
    const rm_moe_workspace *workspace = saved->workspace;
    int64_t n = saved->arrivals.n_rows, size = (int64_t)sizeof(rm_real);
    int64_t width = call->settings->d_model;
    RM_TRY(rm_shared_touch(workspace->shared, workspace->outputs, n * width * size,
                           rm_call_error(call)));
    if (!workspace->d_weights) return RINGMOE_OK;
    return rm_shared_touch(workspace->shared, workspace->d_weights, n * size,
                           rm_call_error(call));
}

/* Within a node a message is a copy by this rank's core: nothing to hide. */
static bool overlaps(const rm_moe_call *call)
{
    const rm_shared *shared = call->saved->workspace->shared;
    bool other_nodes = false;
    for (int r = 0; r < call->mesh->expert.size; r++)
        other_nodes |= shared->ways[r] == RM_WAY_NODES;
    ringmoe_overlap wanted = call->mesh->context->overlap;
    return wanted == RINGMOE_OVERLAP_ON || (wanted == RINGMOE_OVERLAP_AUTO && other_nodes);
}

ringmoe_status rm_dispatch_plan(rm_moe_call *call)
{
    rm_moe_saved *saved = call->saved;
    const rm_moe_workspace *workspace = saved->workspace;
    rm_arrivals *arrivals = &saved->arrivals;
    int n_ranks = call->mesh->expert.size;
    memcpy(arrivals->counts, workspace->counts_in,
           (size_t)n_ranks * ((size_t)call->n_local + RM_N_FAR_COUNTS) *
               sizeof *arrivals->counts);
    rm_arrivals_group(arrivals, call->mesh->expert.rank, workspace->shared->ways,
                      overlaps(call), workspace->shared->two_level);
    RM_TRY(rm_arrivals_plan(arrivals, rm_call_error(call)));
    rm_far_plan_in(&saved->far, arrivals, call->mesh->expert.rank, call->settings->d_model);
    RM_TRY(touch_rows(call));
    memcpy(workspace->notices.run_firsts, arrivals->run_firsts,
           (size_t)call->settings->n_experts * sizeof *arrivals->run_firsts);
    memcpy(workspace->notices.run_rows, arrivals->run_rows,
           (size_t)call->settings->n_experts * sizeof *arrivals->run_rows);
    for (int r = 0; r < n_ranks; r++)
        if (!saved->far.is_far[r]) read_choices(call, r);
    return RINGMOE_OK;
}

/* --- settle --- */

/* Near ranks learn of a failure when they wait for this one's marks. Others would wait for its
 * messages, and tensor ranks for its sums, so these agree, in the words of the rank that has
 * failed; where no rank has shared memory there is nothing that it could run out of. */
ringmoe_status rm_dispatch_settle(rm_moe_call *call, rm_real *block, ringmoe_status status)
{
    const rm_shared *shared = call->saved->workspace->shared;
    const ringmoe_mesh *mesh = call->mesh;
    bool has_far = false;
    for (int r = 0; r < mesh->expert.size; r++) has_far |= shared->ways[r] != RM_WAY_MEMORY;
    if (status == RINGMOE_OK) status = rm_dispatch_make_room(call, block);
    if (!shared->is_limited) return status;
    ringmoe_status own = call->is_told ? RINGMOE_OK : status;
    if (has_far) status = rm_agree(&mesh->expert, own, rm_call_error(call));
    return rm_agree(&mesh->tensor, status, rm_call_error(call));
}

/* --- collect --- */

/* Where near ranks have the outputs of this rank's choices. */
static void find_near_outputs(const rm_moe_call *call)
{
    rm_moe_saved *saved = call->saved;
    const rm_moe_workspace *workspace = saved->workspace;
    const rm_axis *axis = &call->mesh->expert;
    for (int r = 0; r < axis->size; r++) {
        if (saved->far.is_far[r]) continue;
        const int64_t *run_firsts = rm_shared_of(
            workspace->shared, workspace->shared->places[r], workspace->notices.run_firsts);
        for (int e = 0; e < call->n_local; e++) {
            const int32_t *slots = saved->plan.first_slots + r * call->n_local + e;
            int64_t row = run_firsts[(int64_t)e * axis->size + axis->rank];
            for (int32_t slot = slots[0]; slot < slots[1]; slot++)
                saved->places[slot] = (int32_t)row++;
        }
    }
}

static void point_at_outputs(const rm_moe_call *call)
{
    const rm_moe_saved *saved = call->saved;
    const rm_moe_workspace *workspace = saved->workspace;
    const rm_shared *shared = workspace->shared;
    for (int r = 0; r < call->mesh->expert.size; r++) {
        const rm_partner *partner = &saved->far.partners[saved->far.through[r]];
        workspace->outputs_of[r] =
            partner->far ? workspace->came_back + partner->sums_at * call->settings->d_model
                         : rm_shared_of(shared, shared->places[r], workspace->outputs);
    }
}

ringmoe_status rm_dispatch_collect(rm_moe_call *call)
{
    const rm_moe_workspace *workspace = call->saved->workspace;
    rm_comm_times *times = &call->mesh->context->times;
    double start = rm_clock_seconds();
    RM_TRY(rm_shared_await(workspace->shared, RM_COMPUTED, rm_call_error(call)));
    double others_done = rm_clock_seconds();
    times->wait += others_done - start;
    if (!call->backward) find_near_outputs(call);
    point_at_outputs(call);
    for (int r = 0; r < call->mesh->expert.size; r++)
        if (call->saved->far.is_far[r])
            RM_TRY(rm_mail_wait(&call->mail, workspace->sums_numbers[r],
                                "tokens back from experts", rm_call_error(call)));
    rm_count_tokens(times, rm_clock_seconds() - others_done);
    return RINGMOE_OK;
}

static int64_t row_bytes(const rm_moe_call *call)
{
    return call->settings->d_model * (int64_t)sizeof(rm_real);
}

static void count_bytes(const rm_moe_call *call)
{
    const rm_axis *axis = &call->mesh->expert;
    rm_comm_times *times = &call->mesh->context->times;
    const rm_route_plan *plan = &call->saved->plan;
    times->bytes_own += 2 * (plan->n_sent - plan->n_away) * row_bytes(call);
    for (int r = 0; r < axis->size; r++) {
        const rm_partner *partner = &call->saved->far.partners[r];
        int64_t rows = partner->far ? partner->rows + partner->sums : 2 * partner->slots;
        if (r == axis->rank)
            times->bytes_own += rows * row_bytes(call);
        else if (rm_axis_node(axis, r) == rm_axis_node(axis, axis->rank))
            times->bytes_within_node += rows * row_bytes(call);
        else
            times->bytes_between_nodes += rows * row_bytes(call);
    }
}

ringmoe_status rm_dispatch_close(rm_moe_call *call, ringmoe_status status)
{
    rm_comm_times *times = &call->mesh->context->times;
    double start = rm_clock_seconds();
    if (call->mesh->expert.size == 1) {
        times->bytes_own += 2 * call->saved->plan.n_sent * row_bytes(call);
        return status;
    }
    if (call->mail.axis) status = rm_mail_close(&call->mail, status, rm_call_error(call));
    rm_shared_end(call->saved->workspace->shared, status);
    if (status == RINGMOE_OK) count_bytes(call);
    rm_count_tokens(times, rm_clock_seconds() - start);
    return status;
}

/* --- what both kinds of layout have --- */

ringmoe_status rm_dispatch_alone(rm_moe_call *call)
{
    rm_moe_saved *saved = call->saved;
    const rm_route_plan *plan = &saved->plan;
    rm_arrivals *arrivals = &saved->arrivals;
    for (int e = 0; e < call->n_local; e++)
        arrivals->counts[e] = plan->first_slots[e + 1] - plan->first_slots[e];
    arrivals->groups[0] = 0;
    arrivals->n_groups = 1;
    RM_TRY(rm_arrivals_plan(arrivals, rm_call_error(call)));
    for (int64_t slot = 0; slot < plan->n_sent; slot++) {
        arrivals->x_rows[slot] = plan->tokens[slot];
        saved->places[slot] = (int32_t)slot;
    }
    for (int64_t i = 0; i < saved->routing.n_tokens * call->settings->top_k; i++)
        if (plan->slots[i] >= 0) arrivals->weights[plan->slots[i]] = saved->routing.weights[i];
    saved->workspace->outputs_of[0] = saved->workspace->outputs;
    return RINGMOE_OK;
}

int rm_dispatch_terms(const rm_moe_call *call, int64_t token, rm_term *terms)
{
    const rm_moe_saved *saved = call->saved;
    const rm_route_plan *plan = &saved->plan;
    int n = 0;
    for (int32_t i = plan->token_firsts[token]; i < plan->token_firsts[token + 1]; i++) {
        int32_t slot = plan->token_slots[i], expert = plan->experts[slot];
        if (slot >= plan->n_away) {
            terms[n++] = (rm_term){expert, saved->workspace->shadow_outputs +
                                               (slot - plan->n_away) * call->settings->d_model};
            continue;
        }
        if (saved->places[slot] < 0) continue;
        const rm_real *rows = saved->workspace->outputs_of[expert / call->n_local];
        terms[n++] =
            (rm_term){expert, rows + (int64_t)saved->places[slot] * call->settings->d_model};
    }
    return n;
}

/* Gradients of the weights of a rank's choices, from its first slot on: at the rank's own
 * places, or one after the other behind the sums that came back. */
static const rm_real *weight_gradient(const rm_moe_call *call, int32_t slot)
{
    const rm_moe_saved *saved = call->saved;
    const rm_moe_workspace *workspace = saved->workspace;
    int rank = saved->plan.experts[slot] / call->n_local;
    if (slot >= saved->plan.n_away)
        return &workspace->shadow_d_weights[slot - saved->plan.n_away];
    if (!workspace->shared) return &workspace->d_weights[saved->places[slot]];
    if (!saved->far.is_far[rank]) {
        const rm_real *d_weights = rm_shared_of(
            workspace->shared, workspace->shared->places[rank], workspace->d_weights);
        return d_weights + saved->places[slot];
    }
    const rm_partner *partner = &saved->far.partners[saved->far.through[rank]];
    return workspace->came_back + (partner->sums_at + partner->sums) * call->settings->d_model +
           slot - saved->plan.first_slots[partner->first_rank * call->n_local];
}

void rm_dispatch_weight_gradients(const rm_moe_call *call)
{
    const rm_moe_saved *saved = call->saved;
    const int32_t *slots = saved->plan.slots;
    for (int64_t i = 0; i < saved->routing.n_tokens * call->settings->top_k; i++)
        saved->routing.d_weights[i] = slots[i] < 0 ? 0 : *weight_gradient(call, slots[i]);
}

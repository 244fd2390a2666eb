/* SPDX-License-Identifier: MIT
 *
 * The messages of a pass to and from far ranks (far.h draws them): filling, posting, reading.
 * Everyone sends to the rank above it first and computes the rows of the rank below it first.
 */
#include <string.h>

#include "base/clock.h"
#include "moe/saved.h"

/* Rows of this rank for one far rank. */
static void fill_rows(const rm_moe_call *call, int rank, const rm_real *rows)
{
    const rm_moe_saved *saved = call->saved;
    const rm_partner *partner = &saved->far.partners[rank];
    int64_t width = call->settings->d_model;
    rm_real *message = saved->workspace->sent + partner->rows_at * width;
    const int32_t *tokens = saved->far.row_tokens + (int64_t)rank * call->settings->max_tokens;
#pragma omp parallel for num_threads(call->compute->n_threads) schedule(dynamic, 16)
    for (int64_t i = 0; i < partner->rows; i++)
        memcpy(message + i * width, rows + tokens[i] * width, (size_t)width * sizeof *rows);
}

/* And, forward, what its choices are. */
static void fill_notes(const rm_moe_call *call, int rank)
{
    const rm_moe_saved *saved = call->saved;
    const rm_partner *partner = &saved->far.partners[rank];
    int32_t first_slot = saved->plan.first_slots[partner->first_rank * call->n_local];
    rm_real *notes =
        saved->workspace->sent + (partner->rows_at + partner->rows) * call->settings->d_model;
    memcpy(notes, saved->workspace->notices.weights + first_slot,
           (size_t)partner->slots * sizeof *notes);
    memcpy(notes + partner->slots, saved->far.slot_rows + first_slot,
           (size_t)partner->slots * sizeof *saved->far.slot_rows);
}

static int64_t notes_out(const rm_moe_call *call, int64_t n_slots)
{
    return call->backward ? 0 : rm_far_notes(n_slots, call->settings->d_model);
}

static int64_t notes_back(const rm_moe_call *call, int64_t n_slots)
{
    return call->backward ? rm_far_gradient_notes(n_slots, call->settings->d_model) : 0;
}

static bool takes(const rm_moe_call *call, int source)
{
    const rm_far *far = &call->saved->far;
    return far->is_far[source] && far->takers[source] == call->mesh->expert.rank;
}

/* Where the rows of a far rank's message go, in the memory of the rank that takes it. */
static const rm_real *arriving_rows(const rm_moe_call *call, const rm_real *block, int source)
{
    const rm_far *far = &call->saved->far;
    const rm_shared *shared = call->saved->workspace->shared;
    int64_t row = call->settings->max_tokens + far->partners[source].got_rows_at;
    block = rm_shared_of(shared, shared->places[far->takers[source]], block);
    return block + row * call->settings->d_model;
}

static const rm_real *notes_of(const rm_moe_call *call, const rm_real *block, int source)
{
    return arriving_rows(call, block, source) +
           call->saved->far.partners[source].got_rows * call->settings->d_model;
}

ringmoe_status rm_dispatch_make_room(rm_moe_call *call, rm_real *block)
{
    const rm_moe_saved *saved = call->saved;
    int64_t row = call->settings->d_model * (int64_t)sizeof *block;
    for (int r = 0; r < call->mesh->expert.size; r++) {
        const rm_partner *partner = &saved->far.partners[r];
        if (!takes(call, r)) continue;
        int64_t n_rows = partner->got_rows + notes_out(call, partner->got_slots);
        RM_TRY(rm_shared_touch(saved->workspace->shared, arriving_rows(call, block, r),
                               n_rows * row, rm_call_error(call)));
    }
    return RINGMOE_OK;
}

static ringmoe_status expect_messages(rm_moe_call *call, int rank, rm_real *block)
{
    const rm_moe_workspace *workspace = call->saved->workspace;
    const rm_partner *partner = &call->saved->far.partners[rank];
    int64_t width = call->settings->d_model;
    int64_t n_rows = partner->got_rows + notes_out(call, partner->got_slots);
    rm_real *rows = (rm_real *)arriving_rows(call, block, rank);
    RM_TRY(rm_mail_receive(&call->mail, rank, RM_MAIL_OUT, rows, takes(call, rank) ? n_rows : 0,
                           &workspace->rows_numbers[rank], rm_call_error(call)));
    return rm_mail_receive(&call->mail, rank, RM_MAIL_BACK,
                           workspace->came_back + partner->sums_at * width,
                           partner->sums + notes_back(call, partner->slots),
                           &workspace->sums_numbers[rank], rm_call_error(call));
}

static ringmoe_status send_rows(rm_moe_call *call, int rank, const rm_real *rows)
{
    const rm_partner *partner = &call->saved->far.partners[rank];
    fill_rows(call, rank, rows);
    if (!call->backward) fill_notes(call, rank);
    return rm_mail_send(&call->mail, rank, RM_MAIL_OUT,
                        call->saved->workspace->sent +
                            partner->rows_at * call->settings->d_model,
                        partner->rows + notes_out(call, partner->slots), rm_call_error(call));
}

ringmoe_status rm_dispatch_start(rm_moe_call *call, const rm_real *rows, rm_real *block)
{
    const rm_axis *axis = &call->mesh->expert;
    const rm_moe_saved *saved = call->saved;
    double start = rm_clock_seconds();
    if (saved->workspace->shared->n_members == axis->size) return RINGMOE_OK;
    rm_mail_open(&call->mail, axis, call->settings->d_model, 4 * axis->size,
                 saved->workspace->messages);
    for (int distance = 1; distance < axis->size; distance++) {
        int below = (axis->rank - distance + axis->size) % axis->size;
        if (saved->far.is_far[below]) RM_TRY(expect_messages(call, below, block));
    }
    for (int distance = 1; distance < axis->size; distance++) {
        int above = (axis->rank + distance) % axis->size;
        if (saved->far.is_far[above]) RM_TRY(send_rows(call, above, rows));
    }
    rm_count_tokens(&call->mesh->context->times, rm_clock_seconds() - start);
    return RINGMOE_OK;
}

static bool is_in_group(const rm_moe_call *call, int source, int group)
{
    const rm_moe_saved *saved = call->saved;
    return saved->far.is_far[source] && saved->arrivals.groups[source] == group;
}

/* What came to one rank of the node for all of them comes with the last group. */
static bool is_relayed(const rm_moe_call *call, int group)
{
    return call->saved->far.relays && group == call->saved->arrivals.n_groups - 1;
}

static ringmoe_status wait_for_rows(rm_moe_call *call, int group)
{
    const rm_axis *axis = &call->mesh->expert;
    const rm_moe_workspace *workspace = call->saved->workspace;
    for (int distance = 1; distance < axis->size; distance++) {
        int source = (axis->rank - distance + axis->size) % axis->size;
        if (!is_in_group(call, source, group) || !takes(call, source)) continue;
        RM_TRY(rm_mail_wait(&call->mail, workspace->rows_numbers[source], "tokens for experts",
                            rm_call_error(call)));
    }
    if (!is_relayed(call, group)) return RINGMOE_OK;
    rm_shared_mark(workspace->shared, RM_RELAYED);
    return rm_shared_await(workspace->shared, RM_RELAYED, rm_call_error(call));
}

ringmoe_status rm_dispatch_await_group(rm_moe_call *call, rm_real *block, int group)
{
    rm_moe_saved *saved = call->saved;
    double start = rm_clock_seconds();
    RM_TRY(wait_for_rows(call, group));
    for (int source = 0; source < call->mesh->expert.size && !call->backward; source++)
        if (is_in_group(call, source, group))
            rm_far_read_notes(
                &saved->far, &saved->arrivals, source, notes_of(call, block, source),
                rm_shared_row(saved->workspace->shared, arriving_rows(call, block, source),
                              call->settings->d_model));
    rm_count_tokens(&call->mesh->context->times, rm_clock_seconds() - start);
    return RINGMOE_OK;
}

/* --- back --- */

/* What this rank's experts made of a source's rows, added up. */
static void fill_sums(const rm_moe_call *call, int source)
{
    const rm_moe_saved *saved = call->saved;
    const rm_far *far = &saved->far;
    const rm_partner *partner = &far->partners[source];
    int64_t width = call->settings->d_model;
    const rm_real *outputs = (const rm_real *)saved->workspace->shared->base;
    rm_real *message = saved->workspace->sent_back + partner->got_sums_at * width;
#pragma omp parallel for num_threads(call->compute->n_threads) schedule(dynamic, 16)
    for (int64_t i = 0; i < partner->got_sums; i++) {
        rm_term *terms = rm_combine_terms(call->compute);
        int32_t first = far->sum_firsts[partner->first_sum + i];
        int n = far->sum_firsts[partner->first_sum + i + 1] - first;
        for (int j = 0; j < n; j++)
            terms[j] = (rm_term){far->sum_experts[first + j],
                                 outputs + far->sum_rows[first + j] * width};
        rm_combine(call->compute, width, n, terms, false, message + i * width);
    }
}

/* The gradients of its choices' weights behind them, in its send order. */
static void fill_gradient_notes(const rm_moe_call *call, int source)
{
    const rm_moe_workspace *workspace = call->saved->workspace;
    const rm_shared *shared = workspace->shared;
    const rm_far *far = &call->saved->far;
    const rm_partner *partner = &far->partners[source];
    rm_real *notes = workspace->sent_back +
                     (partner->got_sums_at + partner->got_sums) * call->settings->d_model;
    int64_t run = source;
    for (int rank = far->first_rank; rank < far->end_rank; rank++) {
        const rm_real *d_weights =
            rm_shared_of(shared, shared->places[rank], workspace->d_weights);
        for (int e = 0; e < call->n_local; e++, run += far->n_ranks) {
            memcpy(notes, d_weights + far->run_firsts[run],
                   (size_t)far->run_rows[run] * sizeof *notes);
            notes += far->run_rows[run];
        }
    }
}

/* Where the outputs lie that are added up here. */
static void read_runs(const rm_moe_call *call)
{
    const rm_moe_workspace *workspace = call->saved->workspace;
    const rm_shared *shared = workspace->shared;
    rm_far *far = &call->saved->far;
    size_t n_runs = (size_t)call->settings->n_experts;
    for (int i = 0; i < far->end_rank - far->first_rank; i++) {
        int place = shared->places[far->first_rank + i];
        far->output_rows[i] = rm_shared_row(
            shared, rm_shared_of(shared, place, workspace->outputs), call->settings->d_model);
        memcpy(far->run_firsts + i * n_runs,
               rm_shared_of(shared, place, workspace->notices.run_firsts),
               n_runs * sizeof *far->run_firsts);
        memcpy(far->run_rows + i * n_runs,
               rm_shared_of(shared, place, workspace->notices.run_rows),
               n_runs * sizeof *far->run_rows);
    }
}

/* For what one rank adds up for all, their outputs must be there. */
static ringmoe_status gather(rm_moe_call *call, int group)
{
    const rm_shared *shared = call->saved->workspace->shared;
    if (is_relayed(call, group)) {
        rm_shared_mark(shared, RM_COMPUTED);
        RM_TRY(rm_shared_await(shared, RM_COMPUTED, rm_call_error(call)));
    }
    if (!call->backward) read_runs(call);
    return RINGMOE_OK;
}

ringmoe_status rm_dispatch_return_group(rm_moe_call *call, int group)
{
    const rm_axis *axis = &call->mesh->expert;
    rm_moe_saved *saved = call->saved;
    double start = rm_clock_seconds();
    RM_TRY(gather(call, group));
    for (int distance = 1; distance < axis->size; distance++) {
        int source = (axis->rank - distance + axis->size) % axis->size;
        const rm_partner *partner = &saved->far.partners[source];
        if (!is_in_group(call, source, group) || !takes(call, source)) continue;
        if (!call->backward)
            rm_far_plan_sums(&saved->far, source, call->settings->n_experts,
                             notes_of(call, saved->x_block, source));
        fill_sums(call, source);
        if (call->backward) fill_gradient_notes(call, source);
        RM_TRY(rm_mail_send(
            &call->mail, source, RM_MAIL_BACK,
            saved->workspace->sent_back + partner->got_sums_at * call->settings->d_model,
            partner->got_sums + notes_back(call, partner->got_slots), rm_call_error(call)));
    }
    rm_count_tokens(&call->mesh->context->times, rm_clock_seconds() - start);
    return RINGMOE_OK;
}

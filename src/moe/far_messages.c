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
    int32_t first_slot = saved->plan.first_slots[rank * call->n_local];
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

/* Where the rows of a far rank's message go. */
static rm_real *arriving_rows(const rm_moe_call *call, rm_real *block, int rank)
{
    int64_t row = call->settings->max_tokens + call->saved->far.partners[rank].got_rows_at;
    return block + row * call->settings->d_model;
}

ringmoe_status rm_dispatch_make_room(rm_moe_call *call, rm_real *block)
{
    const rm_moe_saved *saved = call->saved;
    int64_t row = call->settings->d_model * (int64_t)sizeof *block;
    for (int r = 0; r < call->mesh->expert.size; r++) {
        const rm_partner *partner = &saved->far.partners[r];
        if (!partner->far) continue;
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
    rm_real *rows = arriving_rows(call, block, rank);
    RM_TRY(rm_mail_receive(&call->mail, rank, RM_MAIL_OUT, rows, n_rows,
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
    call->mesh->context->times.exchange += rm_clock_seconds() - start;
    return RINGMOE_OK;
}

ringmoe_status rm_dispatch_await_group(rm_moe_call *call, rm_real *block, int group)
{
    const rm_axis *axis = &call->mesh->expert;
    rm_moe_saved *saved = call->saved;
    int64_t width = call->settings->d_model;
    double start = rm_clock_seconds();
    for (int distance = 1; distance < axis->size; distance++) {
        int source = (axis->rank - distance + axis->size) % axis->size;
        if (!saved->far.is_far[source] || saved->arrivals.groups[source] != group) continue;
        RM_TRY(rm_mail_wait(&call->mail, saved->workspace->rows_numbers[source],
                            "tokens for experts", rm_call_error(call)));
        if (call->backward) continue;
        const rm_real *rows = arriving_rows(call, block, source);
        rm_far_read_notes(&saved->far, &saved->arrivals, source, axis->rank,
                          call->settings->n_experts,
                          rows + saved->far.partners[source].got_rows * width,
                          rm_shared_row(saved->workspace->shared, rows, width));
    }
    call->mesh->context->times.exchange += rm_clock_seconds() - start;
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
    const rm_real *outputs = saved->workspace->outputs;
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
    const rm_moe_saved *saved = call->saved;
    const rm_arrivals *arrivals = &saved->arrivals;
    const rm_partner *partner = &saved->far.partners[source];
    rm_real *notes = saved->workspace->sent_back +
                     (partner->got_sums_at + partner->got_sums) * call->settings->d_model;
    for (int e = 0; e < call->n_local; e++) {
        int64_t run = (int64_t)e * arrivals->n_sources + source;
        const rm_real *d_weights = saved->workspace->d_weights + arrivals->run_firsts[run];
        memcpy(notes, d_weights, (size_t)arrivals->run_rows[run] * sizeof *notes);
        notes += arrivals->run_rows[run];
    }
}

ringmoe_status rm_dispatch_return_group(rm_moe_call *call, int group)
{
    const rm_axis *axis = &call->mesh->expert;
    rm_moe_saved *saved = call->saved;
    double start = rm_clock_seconds();
    for (int distance = 1; distance < axis->size; distance++) {
        int source = (axis->rank - distance + axis->size) % axis->size;
        const rm_partner *partner = &saved->far.partners[source];
        if (!partner->far || saved->arrivals.groups[source] != group) continue;
        fill_sums(call, source);
        if (call->backward) fill_gradient_notes(call, source);
        RM_TRY(rm_mail_send(
            &call->mail, source, RM_MAIL_BACK,
            saved->workspace->sent_back + partner->got_sums_at * call->settings->d_model,
            partner->got_sums + notes_back(call, partner->got_slots), rm_call_error(call)));
    }
    call->mesh->context->times.exchange += rm_clock_seconds() - start;
    return RINGMOE_OK;
}

/* SPDX-License-Identifier: MIT */
#include "comm/progress.h"

#include <stdatomic.h>

#include "comm/history.h"

const char *rm_operation_name(rm_operation operation)
{
    switch (operation) {
#define RM_OPERATION_TEXT(name, text)                                                          \
    case name:                                                                                 \
        return text;
        RM_OPERATION_LIST(RM_OPERATION_TEXT)
#undef RM_OPERATION_TEXT
    }
    return "an unknown operation";
}

void rm_progress_at(rm_progress *progress, rm_label label)
{
    if (!progress) return;
    progress->here = label;
    if (progress->history) rm_history_at(progress->history, label);
    rm_progress_tick(progress);
    rm_progress_poll(progress, true);
}

void rm_progress_leave(rm_progress *progress)
{
    rm_progress_at(progress, (rm_label){.layer = -1, .operation = RM_OPERATION_NONE});
}

/* One thread writes, so that no locked addition is needed. */
void rm_progress_tick(rm_progress *progress)
{
    if (!progress) return;
    int64_t n = atomic_load_explicit(&progress->n_events, memory_order_relaxed);
    atomic_store_explicit(&progress->n_events, n + 1, memory_order_relaxed);
}

static void advance(rm_progress *progress, rm_background *transfer, bool has_threads)
{
    transfer->status = transfer->advance(transfer, has_threads, &transfer->error);
    if (transfer->status != RINGMOE_OK) transfer->done = true;
    if (transfer->done) rm_background_remove(progress, transfer);
}

/* An advance that computes may be polled again from within its own tasks. */
void rm_progress_poll(rm_progress *progress, bool has_threads)
{
    if (!progress || !progress->background || progress->is_polling) return;
    progress->is_polling = true;
    for (rm_background *transfer = progress->background, *next; transfer; transfer = next) {
        next = transfer->next;
        advance(progress, transfer, has_threads);
    }
    progress->is_polling = false;
}

void rm_background_start(rm_progress *progress, rm_background *transfer)
{
    transfer->done = false;
    transfer->status = RINGMOE_OK;
    transfer->next = progress->background;
    progress->background = transfer;
    rm_progress_poll(progress, true);
}

void rm_background_remove(rm_progress *progress, rm_background *transfer)
{
    rm_background **link = &progress->background;
    while (*link && *link != transfer) link = &(*link)->next;
    if (*link) *link = transfer->next;
    transfer->next = NULL;
}

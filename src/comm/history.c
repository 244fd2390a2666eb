/* SPDX-License-Identifier: MIT */
#include "comm/history.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

ringmoe_status rm_history_init(rm_history *history, rm_error *error)
{
    memset(history, 0, sizeof *history);
    history->now.label.layer = -1;
    history->now.begin = rm_clock_seconds();
    int code = pthread_mutex_init(&history->lock, NULL);
    if (code == 0) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "pthread_mutex_init: %s", strerror(code));
}

void rm_history_free(rm_history *history)
{
    pthread_mutex_destroy(&history->lock);
}

bool rm_occupation_is_pass(const rm_occupation *occupation)
{
    switch (occupation->label.operation) {
    case RM_OPERATION_NONE:
    case RM_OPERATION_AGREE:
    case RM_OPERATION_CHECKPOINT:
    case RM_OPERATION_GENERATE:
        return false;
    default:
        return !occupation->is_waiting;
    }
}

/* The stretch that `now` is in ends. Under the lock. */
static void end_stretch(rm_history *history, double end)
{
    double length = end - history->now.begin;
    if (rm_occupation_is_pass(&history->now) && length > history->longest)
        history->longest = length;
}

void rm_history_at(rm_history *history, rm_label label)
{
    double begin = rm_clock_seconds();
    pthread_mutex_lock(&history->lock);
    end_stretch(history, begin);
    history->now.label = label;
    if (!history->now.is_waiting) history->now.begin = begin;
    pthread_mutex_unlock(&history->lock);
}

void rm_history_begin_wait(rm_history *history, rm_label label, rm_partners partners,
                           const char *what)
{
    rm_occupation now = {label, partners, "", .is_waiting = 1, .begin = rm_clock_seconds()};
    snprintf(now.what, sizeof now.what, "%s", what);
    pthread_mutex_lock(&history->lock);
    end_stretch(history, now.begin);
    history->now = now;
    pthread_mutex_unlock(&history->lock);
}

void rm_history_end_wait(rm_history *history)
{
    double end = rm_clock_seconds();
    pthread_mutex_lock(&history->lock);
    rm_occupation *done = &history->past[history->n_past++ % RM_HISTORY_LENGTH];
    *done = history->now;
    done->end = end;
    history->now.is_waiting = 0;
    history->now.begin = end;
    pthread_mutex_unlock(&history->lock);
}

void rm_history_now(rm_history *history, rm_occupation *now)
{
    pthread_mutex_lock(&history->lock);
    *now = history->now;
    pthread_mutex_unlock(&history->lock);
}

double rm_history_longest(rm_history *history)
{
    pthread_mutex_lock(&history->lock);
    double longest = history->longest;
    pthread_mutex_unlock(&history->lock);
    return longest;
}

int rm_history_past(rm_history *history, rm_occupation past[RM_HISTORY_LENGTH])
{
    int n = 0;
    pthread_mutex_lock(&history->lock);
    while (n < RM_HISTORY_LENGTH && n < history->n_past) {
        past[n] = history->past[(history->n_past - 1 - n) % RM_HISTORY_LENGTH];
        n++;
    }
    pthread_mutex_unlock(&history->lock);
    return n;
}

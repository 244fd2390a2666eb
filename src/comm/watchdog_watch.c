/* SPDX-License-Identifier: MIT
 *
 * What the watchdog's thread does: beats out, beats in, verdicts.
 */
#include "comm/watchdog_state.h"

#include <math.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

/* After a report, so that all ranks have time for theirs before the first process ends. */
static const double GRACE_SECONDS = 1;
/* A rank that hears no other cannot tell who computes from who is gone: it waits so much
 * longer. */
static const double ALONE_LIMITS = 10;
/* Before the first warning that nothing is completed while some rank computes. */
static const double WARNING_LIMITS = 5;

static int size_of(const rm_watchdog *watchdog)
{
    return watchdog->context->world.size;
}

static int rank_of(const rm_watchdog *watchdog)
{
    return watchdog->context->world.rank;
}

static bool is_alarmed(const rm_watchdog *watchdog)
{
    return watchdog->verdict.cause != RM_CAUSE_NONE;
}

static void send_to(rm_watchdog *watchdog, int side, const rm_beat *beat)
{
    rm_link_send(&watchdog->ring.links[side], beat, &watchdog->ring.token);
}

/* What this rank does, with times turned into seconds ago. */
static rm_occupation occupation_now(rm_watchdog *watchdog, double time)
{
    rm_occupation now;
    rm_history_now(&watchdog->history, &now);
    now.begin = time - now.begin;
    return now;
}

/* The beat is about this rank. */
static void sign(const rm_watchdog *watchdog, rm_beat *beat)
{
    beat->rank = beat->from = rank_of(watchdog);
    beat->process = (int32_t)getpid();
    gethostname(beat->host, sizeof beat->host - 1);
}

/* Hands the report to the program: to its alarm function, or else to its log. */
static void report(rm_watchdog *watchdog, bool is_over)
{
    char verdict[RM_REPORT_BYTES], here[RM_REPORT_BYTES], past[RM_REPORT_PAST_BYTES];
    rm_occupation waits[RM_HISTORY_LENGTH];
    double time = rm_clock_seconds();
    rm_occupation now = occupation_now(watchdog, time);
    int n = rm_history_past(&watchdog->history, waits);
    for (int i = 0; i < n; i++) {
        waits[i].begin = time - waits[i].begin;
        waits[i].end = time - waits[i].end;
    }
    rm_report_verdict(&watchdog->verdict, size_of(watchdog), verdict);
    rm_report_here(rank_of(watchdog), &now, here);
    rm_report_past(waits, n, past);
    if (watchdog->alarm) {
        const ringmoe_alarm alarm = {.rank = watchdog->verdict.rank,
                                     .is_witness = watchdog->is_witness,
                                     .is_over = is_over,
                                     .verdict = verdict,
                                     .here = here,
                                     .past = past};
        watchdog->alarm(watchdog->alarm_user, &alarm);
    } else if (!is_over) {
        if (watchdog->is_witness) rm_log(watchdog->context, RINGMOE_LOG_WARNING, "%s", verdict);
        rm_log(watchdog->context, RINGMOE_LOG_WARNING, "%s", here);
    }
}

/* The first verdict counts. It is handed on to both sides before anything else is done. */
static void raise_alarm(rm_watchdog *watchdog, const rm_beat *verdict, bool is_witness)
{
    if (is_alarmed(watchdog)) return;
    watchdog->verdict = *verdict;
    atomic_store(&watchdog->is_raised, true);
    watchdog->is_witness = is_witness;
    watchdog->over = rm_clock_seconds() + GRACE_SECONDS;
    rm_beat passed_on = *verdict;
    passed_on.from = rank_of(watchdog);
    for (int side = 0; side < 2; side++) send_to(watchdog, side, &passed_on);
    report(watchdog, false);
}

static void accuse_neighbour(rm_watchdog *watchdog, int side, rm_cause cause)
{
    const rm_neighbour *accused = &watchdog->neighbours[side];
    const rm_card *card = &watchdog->ring.cards[side];
    double time = rm_clock_seconds();
    rm_beat verdict = {.kind = RM_BEAT_VERDICT,
                       .cause = cause,
                       .seconds = time - accused->heard,
                       .rank = card->rank,
                       .process = card->process,
                       .occupation = accused->last};
    verdict.occupation.begin = time - accused->last.begin;
    memcpy(verdict.host, card->host, sizeof verdict.host);
    raise_alarm(watchdog, &verdict, true);
}

/* Whether a rank rather than the one in the round keeps the others waiting. */
static bool is_longer(const rm_occupation *now, const rm_occupation *longest)
{
    if (now->is_waiting != longest->is_waiting) return !now->is_waiting;
    return now->begin > longest->begin;
}

/* Adds this rank to a round. */
static void join_round(rm_watchdog *watchdog, rm_beat *round, double time)
{
    rm_occupation now = occupation_now(watchdog, time);
    if (rank_of(watchdog) == 0 || is_longer(&now, &round->occupation)) {
        sign(watchdog, round);
        round->occupation = now;
    }
    round->from = rank_of(watchdog);
    round->n_waiting += now.is_waiting;
    round->n_events +=
        atomic_load_explicit(&watchdog->context->progress.n_events, memory_order_relaxed);
}

static void warn_of_standstill(rm_watchdog *watchdog, const rm_beat *round, double seconds)
{
    char text[RM_REPORT_BYTES];
    watchdog->standstill.warn_after = 2 * seconds;
    rm_report_standstill(round, size_of(watchdog), seconds, text);
    rm_log(watchdog->context, RINGMOE_LOG_WARNING, "%s", text);
}

static void accuse_stuck(rm_watchdog *watchdog, const rm_beat *round, double seconds)
{
    rm_beat verdict = *round;
    verdict.kind = RM_BEAT_VERDICT;
    verdict.cause = RM_CAUSE_STUCK;
    verdict.seconds = seconds;
    raise_alarm(watchdog, &verdict, true);
}

/* Rank 0 looks at a round that has come back. Where none waits, long work is the program's. */
static void judge_round(rm_watchdog *watchdog, const rm_beat *round, double time)
{
    rm_standstill *still = &watchdog->standstill;
    bool is_alike = round->n_events == still->n_events && round->n_waiting == still->n_waiting;
    if (still->since == 0 || !is_alike)
        *still = (rm_standstill){.since = fmax(round->seconds, watchdog->resumed),
                                 .n_events = round->n_events,
                                 .n_waiting = round->n_waiting,
                                 .warn_after = WARNING_LIMITS * watchdog->limit};
    double seconds = time - still->since;
    if (round->n_waiting == size_of(watchdog)) {
        if (seconds >= watchdog->limit) accuse_stuck(watchdog, round, seconds);
    } else if (round->n_waiting > 0 && seconds >= still->warn_after) {
        warn_of_standstill(watchdog, round, seconds);
    }
}

static void take_round(rm_watchdog *watchdog, rm_beat *round, double time)
{
    if (rank_of(watchdog) == 0) {
        judge_round(watchdog, round, time);
    } else {
        join_round(watchdog, round, time);
        send_to(watchdog, RM_NEXT, round);
    }
}

static void take_beat(rm_watchdog *watchdog, int side, rm_beat *beat)
{
    rm_neighbour *sender = &watchdog->neighbours[side];
    double time = rm_clock_seconds();
    sender->heard = time;
    if (beat->kind == RM_BEAT_ALIVE) {
        sender->last = beat->occupation;
        sender->last.begin = time - beat->occupation.begin;
    } else if (beat->kind == RM_BEAT_ROUND) {
        take_round(watchdog, beat, time);
    } else if (beat->kind == RM_BEAT_VERDICT) {
        raise_alarm(watchdog, beat, false);
    } else if (beat->kind == RM_BEAT_BYE) {
        sender->has_left = true;
        rm_link_close(&watchdog->ring.links[side]);
    }
}

static void receive_from(rm_watchdog *watchdog, int side)
{
    rm_beat beat;
    rm_link *link = &watchdog->ring.links[side];
    rm_link_news news;
    rm_link_flush(link);
    while ((news = rm_link_receive(link, &watchdog->ring.token, &beat)) == RM_LINK_BEAT)
        take_beat(watchdog, side, &beat);
    if (news == RM_LINK_ENDED && !watchdog->neighbours[side].has_left)
        accuse_neighbour(watchdog, side, RM_CAUSE_GONE);
}

/* Time in which this process did not run, stopped or suspended, is nobody's silence. Comes
 * before anything is heard, or else a round that was under way meanwhile would have taken so
 * long. */
static void forgive_own_pause(rm_watchdog *watchdog, double time)
{
    double pause = time - watchdog->woken;
    watchdog->woken = time;
    watchdog->passed += fmin(pause, watchdog->interval);
    if (pause < 3 * watchdog->interval) return;
    for (int side = 0; side < 2; side++) {
        rm_neighbour *other = &watchdog->neighbours[side];
        other->heard = fmin(other->heard + pause, time);
    }
    watchdog->resumed = time;
    watchdog->standstill.since = 0;
}

/* Beats to both sides, and a look at when they were last heard of. */
static void turn_in_ring(rm_watchdog *watchdog, double time)
{
    rm_beat alive = {.kind = RM_BEAT_ALIVE, .occupation = occupation_now(watchdog, time)};
    sign(watchdog, &alive);
    for (int side = 0; side < 2; side++) send_to(watchdog, side, &alive);
    if (rank_of(watchdog) == 0) {
        rm_beat round = {.kind = RM_BEAT_ROUND, .seconds = time};
        join_round(watchdog, &round, time);
        send_to(watchdog, RM_NEXT, &round);
    }
    for (int side = 0; side < 2; side++) {
        const rm_neighbour *other = &watchdog->neighbours[side];
        if (!other->has_left && time - other->heard > watchdog->limit)
            accuse_neighbour(watchdog, side, RM_CAUSE_SILENT);
    }
}

static void turn_alone(rm_watchdog *watchdog, double time)
{
    rm_beat verdict = {.kind = RM_BEAT_VERDICT, .cause = RM_CAUSE_ALONE};
    verdict.occupation = occupation_now(watchdog, time);
    verdict.seconds = fmin(verdict.occupation.begin, time - watchdog->resumed);
    if (!verdict.occupation.is_waiting || verdict.seconds < ALONE_LIMITS * watchdog->limit)
        return;
    sign(watchdog, &verdict);
    raise_alarm(watchdog, &verdict, true);
}

static void accuse_self(rm_watchdog *watchdog, double time)
{
    rm_beat verdict = {.kind = RM_BEAT_VERDICT,
                       .cause = RM_CAUSE_ENDLESS,
                       .seconds = rm_history_longest(&watchdog->history),
                       .occupation = occupation_now(watchdog, time)};
    sign(watchdog, &verdict);
    raise_alarm(watchdog, &verdict, true);
}

static void turn(rm_watchdog *watchdog, double time)
{
    double passed = watchdog->passed;
    watchdog->passed = 0;
    if (is_alarmed(watchdog)) return;
    if (rm_watchdog_is_endless(watchdog, passed)) accuse_self(watchdog, time);
    if (watchdog->is_alone)
        turn_alone(watchdog, time);
    else
        turn_in_ring(watchdog, time);
}

/* Sleeps until a beat comes, something can be sent on, or `time`. False: the end. */
static bool sleep_until(rm_watchdog *watchdog, double time)
{
    struct pollfd waited[3] = {{.fd = watchdog->wake[0], .events = POLLIN}};
    for (int side = 0; side < 2; side++) {
        const rm_link *link = &watchdog->ring.links[side];
        waited[1 + side].fd = link->fd; /* negative: ignored */
        waited[1 + side].events = (short)(POLLIN | (link->n_out ? POLLOUT : 0));
    }
    double left = time - rm_clock_seconds();
    poll(waited, 3, left > 0 ? (int)ceil(left * 1e3) : 0);
    return waited[0].revents == 0;
}

void *rm_watchdog_watch(void *argument)
{
    rm_watchdog *watchdog = argument;
    double next = rm_clock_seconds();
    while (sleep_until(watchdog, next)) {
        forgive_own_pause(watchdog, rm_clock_seconds());
        for (int side = 0; side < 2; side++) receive_from(watchdog, side);
        double time = rm_clock_seconds();
        if (is_alarmed(watchdog) && time >= watchdog->over) {
            report(watchdog, true);
            break;
        }
        if (time < next) continue;
        turn(watchdog, time);
        next = time + watchdog->interval;
    }
    rm_beat bye = {.kind = RM_BEAT_BYE};
    sign(watchdog, &bye);
    for (int side = 0; side < 2; side++) send_to(watchdog, side, &bye);
    return NULL;
}

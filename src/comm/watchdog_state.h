/* SPDX-License-Identifier: MIT
 *
 * The inside of a watchdog. Once the thread runs, all of it but the history's is the thread's.
 */
#ifndef RM_WATCHDOG_STATE_H
#define RM_WATCHDOG_STATE_H

#include <stdatomic.h>

#include "comm/watchdog.h"
#include "comm/watchdog_link.h"

typedef struct rm_neighbour {
    double heard; /* when */
    bool has_left;
    rm_occupation last; /* begin: by this rank's clock */
} rm_neighbour;

/* Rank 0: rounds in which nothing has been completed anywhere. */
typedef struct rm_standstill {
    double since; /* when the first of them began; 0: none */
    int64_t n_events;
    int n_waiting;
    double warn_after; /* seconds, until the next warning */
} rm_standstill;

/* What this rank computes without coming to another place. */
typedef struct rm_stretch {
    double begin;   /* the occupation's */
    double seconds; /* seen of it, without pauses of the process */
} rm_stretch;

struct rm_watchdog {
    ringmoe_context *context;
    rm_history history;
    double limit, interval; /* seconds; between beats */
    ringmoe_alarm_function alarm;
    void *alarm_user;
    pthread_t thread;
    bool is_running;
    int keyval;  /* of an attribute of MPI_COMM_SELF, or MPI_KEYVAL_INVALID */
    int wake[2]; /* a pipe whose other end is closed to end the thread */
    bool is_alone;
    rm_ring ring;
    rm_neighbour neighbours[2]; /* RM_NEXT, RM_BEFORE */
    double woken;               /* when the thread last was awake */
    double resumed;             /* when the last pause of this process ended */
    double passed;              /* seconds since the last turn, without pauses */
    rm_standstill standstill;
    rm_stretch stretch;
    rm_beat verdict;       /* cause NONE: all is well */
    atomic_bool is_raised; /* the verdict stands; read by the thread that leaves */
    bool is_witness;
    double over; /* when to end, after the verdict */
};

/* Whether this rank computes for ever, `passed` seconds after the last call. */
bool rm_watchdog_is_endless(rm_watchdog *watchdog, double passed);

/* The thread; its argument is the watchdog. */
void *rm_watchdog_watch(void *argument);

#endif

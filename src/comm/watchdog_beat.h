/* SPDX-License-Identifier: MIT
 *
 * What the watchdogs of two ranks say to one another: beats of a fixed length.
 *
 *   HELLO    first on a new connection: who I am, and whom I take you for
 *   ALIVE    I am there, and do this
 *   ROUND    goes once round the ring: how many ranks wait, and all that was completed so far
 *   VERDICT  something is wrong; handed on to everyone
 *   BYE      I leave in good order
 */
#ifndef RM_WATCHDOG_BEAT_H
#define RM_WATCHDOG_BEAT_H

#include "comm/history.h"

typedef enum rm_beat_kind {
    RM_BEAT_HELLO,
    RM_BEAT_ALIVE,
    RM_BEAT_ROUND,
    RM_BEAT_VERDICT,
    RM_BEAT_BYE,
    RM_N_BEATS
} rm_beat_kind;

typedef enum rm_cause {
    RM_CAUSE_NONE,
    RM_CAUSE_GONE,    /* the process ended without BYE */
    RM_CAUSE_SILENT,  /* nothing has been heard for the limit */
    RM_CAUSE_STUCK,   /* all ranks wait, and none has completed anything for the limit */
    RM_CAUSE_ALONE,   /* a rank that hears no other has waited for many limits */
    RM_CAUSE_ENDLESS, /* the rank computes far longer than it ever did */
    RM_N_CAUSES
} rm_cause;

enum { RM_BEAT_BYTES = 256, RM_HOST_BYTES = 48 };

/* Drawn by rank 0 for each context, so that strangers are not listened to. */
typedef struct rm_token {
    int64_t words[2];
} rm_token;

typedef struct rm_beat {
    int32_t kind, from;
    int32_t cause;     /* of a VERDICT */
    int32_t n_waiting; /* of a ROUND: ranks so far */
    int64_t n_events;  /* of a ROUND: completed by the ranks so far */
    /* Of a VERDICT: for how long, ENDLESS: for how long at most until then; of a ROUND: when it
     * began, by rank 0. */
    double seconds;
    /* Whom the rest is about. ALIVE: the sender; ROUND: the rank that computes for longest or,
     * if all wait, that has waited for longest; VERDICT: the rank at fault; HELLO: the rank
     * that it is meant for. */
    int32_t rank, process;
    rm_occupation occupation; /* begin: seconds ago */
    char host[RM_HOST_BYTES];
} rm_beat;

void rm_beat_encode(const rm_beat *beat, const rm_token *token,
                    unsigned char wire[RM_BEAT_BYTES]);
/* False for anything that is not a beat of this token. */
bool rm_beat_decode(const unsigned char wire[RM_BEAT_BYTES], const rm_token *token,
                    rm_beat *beat);

#endif

/* SPDX-License-Identifier: MIT
 *
 * A TCP connection between the watchdogs of two ranks, and how the ring of them is made:
 *
 *     0 --> 1 --> 2 --> ... --> size-1 --+      each rank connects to the next one and
 *     ^                                  |      is called by the one before; beats go
 *     +----------------------------------+      both ways
 *
 * TCP and not MPI, since MPI is what may be stuck; and not datagrams, since the end of a
 * connection tells at once that a process has ended.
 */
#ifndef RM_WATCHDOG_LINK_H
#define RM_WATCHDOG_LINK_H

#include "comm/context.h"
#include "comm/watchdog_beat.h"

enum { RM_LINK_BEATS = 8, RM_MAX_ADDRESSES = 8 };

typedef struct rm_link {
    int fd; /* -1: closed */
    int n_in, n_out;
    unsigned char in[RM_BEAT_BYTES];
    unsigned char
        out[RM_LINK_BEATS * RM_BEAT_BYTES]; /* what the connection has not taken yet */
} rm_link;

typedef enum rm_link_news {
    RM_LINK_NOTHING,
    RM_LINK_BEAT,
    RM_LINK_ENDED, /* the other side's process closed it */
    RM_LINK_FAILED,
} rm_link_news;

/* Sends without waiting; a beat that would have to wait behind many others is dropped. */
void rm_link_send(rm_link *link, const rm_beat *beat, const rm_token *token);
/* Goes on with what rm_link_send could not send. */
void rm_link_flush(rm_link *link);
/* The next beat that has come in. ENDED and FAILED close the link. Bytes that are no beat of
 * this token fail. */
rm_link_news rm_link_receive(rm_link *link, const rm_token *token, rm_beat *beat);
void rm_link_close(rm_link *link);

/* Where a rank can be reached. */
typedef struct rm_card {
    int32_t port, n_addresses;
    int32_t rank, process;
    unsigned char addresses[RM_MAX_ADDRESSES][16]; /* IPv6, or IPv4 mapped into it */
    char host[RM_HOST_BYTES];
} rm_card;

/* A socket that waits for the rank before; its number, or -1 with a line of why. `card`: what
 * the others need to know. within_node: nobody else shall reach it. */
int rm_door_open(bool within_node, rm_card *card, rm_error *error);
/* The next one that calls, or -1 after `seconds`. */
int rm_door_answer(int door, double seconds);
/* A connection to a card's address number i, or -1. */
int rm_door_call(const rm_card *card, int i, double seconds);

typedef struct rm_ring {
    rm_token token;
    rm_card cards[2]; /* of the next rank and the one before */
    rm_link links[2]; /* to them */
} rm_ring;

enum { RM_NEXT, RM_BEFORE };

/* Connects all ranks to a ring, or none. Collective; the same status on all ranks: OK or a line
 * that says which rank cannot be reached. */
ringmoe_status rm_ring_connect(const ringmoe_context *context, rm_ring *ring, rm_error *error);
void rm_ring_close(rm_ring *ring);

#endif

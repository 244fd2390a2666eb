/* SPDX-License-Identifier: MIT
 *
 * Making the ring of connections. Every rank opens a door and gives its card to the rank
 * before; then, in rounds that all ranks go through together, those that are not connected yet
 * try the next address of the rank after them, say hello, and hear over MPI whether it was
 * understood.
 */
#include "comm/watchdog_link.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { CARD_TAG = 2 };

/* A lost first packet is sent again after a second. */
static const double PATIENCE_SECONDS = 2.5;

/* What connecting needs beside the ring itself. */
typedef struct rm_meeting {
    const rm_axis *world;
    rm_ring *ring;
    int door;
    int address;  /* of the next rank, to be tried */
    int received; /* the rank before has been heard */
    int *heard;   /* [ranks]: `received` of each */
} rm_meeting;

/* Random enough that no stranger hits it: the system's random numbers, or else the time. */
static ringmoe_status draw_token(const rm_axis *world, rm_token *token, rm_error *error)
{
    *token = (rm_token){{(int64_t)(rm_clock_seconds() * 1e9), (int64_t)getpid()}};
    FILE *source = world->rank == 0 ? fopen("/dev/urandom", "rb") : NULL;
    if (source) {
        rm_token drawn;
        if (fread(&drawn, sizeof drawn, 1, source) == 1) *token = drawn;
        fclose(source);
    }
    return rm_broadcast(world, token, (int)sizeof *token, MPI_BYTE, 0, error);
}

/* Everyone's own card goes to both neighbours. */
static ringmoe_status swap_cards(const rm_axis *world, const rm_card *own, rm_card cards[2],
                                 rm_error *error)
{
    int next = (world->rank + 1) % world->size;
    int before = (world->rank + world->size - 1) % world->size;
    int bytes = (int)sizeof *own;
    MPI_Request requests[4];
    for (int i = 0; i < 4; i++) requests[i] = MPI_REQUEST_NULL;
    int code =
        MPI_Irecv(&cards[RM_NEXT], bytes, MPI_BYTE, next, CARD_TAG, world->comm, &requests[0]);
    if (code == MPI_SUCCESS)
        code = MPI_Irecv(&cards[RM_BEFORE], bytes, MPI_BYTE, before, CARD_TAG + 1, world->comm,
                         &requests[1]);
    if (code == MPI_SUCCESS)
        code = MPI_Isend(own, bytes, MPI_BYTE, before, CARD_TAG, world->comm, &requests[2]);
    if (code == MPI_SUCCESS)
        code = MPI_Isend(own, bytes, MPI_BYTE, next, CARD_TAG + 1, world->comm, &requests[3]);
    if (code != MPI_SUCCESS) {
        rm_abandon_receives(world, 2, requests);
        rm_abandon(2, requests + 2);
        return rm_mpi_check(code, "introducing watchdogs", error);
    }
    return rm_wait_all(world, 4, requests, "introducing watchdogs", error);
}

/* Tries one address; what matters is whether the right one answers. */
static void call_next(rm_meeting *meeting)
{
    rm_ring *ring = meeting->ring;
    const rm_card *card = &ring->cards[RM_NEXT];
    rm_link *link = &ring->links[RM_NEXT];
    if (meeting->address >= card->n_addresses) return;
    rm_beat hello = {.kind = RM_BEAT_HELLO, .from = meeting->world->rank, .rank = card->rank};
    link->fd = rm_door_call(card, meeting->address++, PATIENCE_SECONDS);
    rm_link_send(link, &hello, &ring->token);
}

/* Listens to a caller until it has said hello as the rank before would, or the time is up. */
static bool is_expected(const rm_meeting *meeting, rm_link *caller, double deadline)
{
    rm_beat hello;
    rm_link_news news = RM_LINK_NOTHING;
    while (news == RM_LINK_NOTHING && rm_clock_seconds() < deadline) {
        news = rm_link_receive(caller, &meeting->ring->token, &hello);
        if (news == RM_LINK_NOTHING) sched_yield();
    }
    return news == RM_LINK_BEAT && hello.kind == RM_BEAT_HELLO &&
           hello.from == meeting->ring->cards[RM_BEFORE].rank &&
           hello.rank == meeting->world->rank;
}

/* Opens to whoever calls until it is the rank before. All have called when this begins. */
static void answer_before(rm_meeting *meeting)
{
    double deadline = rm_clock_seconds() + PATIENCE_SECONDS / 2;
    rm_link *link = &meeting->ring->links[RM_BEFORE];
    while (!meeting->received && rm_clock_seconds() < deadline) {
        *link = (rm_link){.fd = rm_door_answer(meeting->door, PATIENCE_SECONDS / 10)};
        if (link->fd < 0) continue;
        meeting->received = is_expected(meeting, link, deadline);
        if (!meeting->received) rm_link_close(link);
    }
}

/* One round for all ranks. *n_left: ranks that have not been heard by the next one. */
static ringmoe_status try_once(rm_meeting *meeting, int *n_left, rm_error *error)
{
    int *heard = meeting->heard;
    const rm_axis *world = meeting->world;
    rm_ring *ring = meeting->ring;
    int next = ring->cards[RM_NEXT].rank;
    if (!heard[next]) call_next(meeting);
    RM_TRY(rm_barrier(world, error));
    answer_before(meeting);
    memset(heard, 0, (size_t)world->size * sizeof *heard);
    heard[world->rank] = meeting->received;
    RM_TRY(rm_allreduce(world, heard, world->size, MPI_INT, MPI_MAX, error));
    if (!heard[next]) rm_link_close(&ring->links[RM_NEXT]);
    *n_left = 0;
    for (int rank = 0; rank < world->size; rank++) *n_left += !heard[rank];
    return RINGMOE_OK;
}

/* Rounds until all are connected or no address is left. */
static ringmoe_status connect_all(rm_meeting *meeting, rm_error *error)
{
    const rm_axis *world = meeting->world;
    int n_left = world->size, n_rounds = meeting->ring->cards[RM_NEXT].n_addresses;
    RM_TRY(rm_allreduce(world, &n_rounds, 1, MPI_INT, MPI_MAX, error));
    for (int round = 0; round < n_rounds && n_left > 0; round++)
        RM_TRY(try_once(meeting, &n_left, error));
    if (n_left == 0) return RINGMOE_OK;
    int deaf = 0;
    while (meeting->heard[deaf]) deaf++;
    return rm_fail(error, RINGMOE_ERROR_STATE,
                   "no connection over TCP between rank %d and rank %d",
                   (deaf + world->size - 1) % world->size, deaf);
}

/* With ranks of one node the loopback is the only address; between nodes it comes last of all,
 * where it can only reach the wrong one, so it is left out. */
static void skip_loopback(const ringmoe_context *context, rm_meeting *meeting)
{
    const rm_card *card = &meeting->ring->cards[RM_NEXT];
    if (context->nodes[card->rank] != context->nodes[context->world.rank]) meeting->address = 1;
}

ringmoe_status rm_ring_connect(const ringmoe_context *context, rm_ring *ring, rm_error *error)
{
    const rm_axis *world = &context->world;
    rm_meeting meeting = {.world = world, .ring = ring};
    rm_card own;
    for (int side = 0; side < 2; side++) ring->links[side].fd = -1;
    RM_TRY(draw_token(world, &ring->token, error));
    meeting.door = rm_door_open(context->n_nodes == 1, &own, error);
    own.rank = world->rank;
    meeting.heard = calloc((size_t)world->size, sizeof *meeting.heard);
    ringmoe_status status = meeting.door < 0 ? RINGMOE_ERROR_STATE : RINGMOE_OK;
    if (!meeting.heard)
        status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the ring of watchdogs");
    status = rm_agree(world, status, error);
    if (status == RINGMOE_OK) status = swap_cards(world, &own, ring->cards, error);
    if (status == RINGMOE_OK) {
        skip_loopback(context, &meeting);
        status = connect_all(&meeting, error);
    }
    free(meeting.heard);
    if (meeting.door >= 0) close(meeting.door);
    if (status != RINGMOE_OK) rm_ring_close(ring);
    return status;
}

void rm_ring_close(rm_ring *ring)
{
    for (int side = 0; side < 2; side++) rm_link_close(&ring->links[side]);
}

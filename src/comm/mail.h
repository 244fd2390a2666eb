/* SPDX-License-Identifier: MIT
 *
 * Messages of rows between two ranks of an axis each, many at a time, which travel behind
 * whatever is computed: they are advanced in every wait and between the tasks of products.
 *
 * Between nodes a message goes in small pieces, a window of them at a time:
 *
 *   | done | done | on the way .. RM_MAIL_WINDOW pieces | not begun ..        |
 *
 * A long message is announced first, and its rows wait for the partner's word. That word queues
 * behind the rows which go the partner's way, so that on a slow network two long messages that
 * cross do not: one waits for the other (measured: half the rate in most passes over TCP).
 * Pieces as small as these are sent unannounced by all MPI libraries we know. Within a node a
 * long message is one copy, and goes whole.
 */
#ifndef RM_MAIL_H
#define RM_MAIL_H

#include "comm/context.h"

/* What a message is, so that those of one pair of ranks are told apart. */
typedef enum rm_mail_kind {
    RM_MAIL_OUT,  /* rows on their way to experts */
    RM_MAIL_BACK, /* and back */
    RM_MAIL_KINDS
} rm_mail_kind;

enum { RM_MAIL_WINDOW = 16, RM_MAIL_PIECE_BYTES = 1 << 14 };

typedef struct rm_message {
    rm_real *rows; /* only read if sent */
    int64_t n_elements, piece;
    int64_t n_pieces, n_begun, n_done;
    int partner, tag;
    bool is_sent;
    MPI_Request requests[RM_MAIL_WINDOW]; /* of piece i: i modulo the window */
} rm_message;

typedef struct rm_mail {
    rm_background background;
    const rm_axis *axis;
    int64_t width;
    rm_message *messages; /* [most] */
    int n, most;
    int first_tag;
    double next_poll, pause; /* between the tasks of products */
    int64_t far_piece;       /* elements of a piece between nodes; tests make them smaller */
} rm_mail;

/* Opens a set of up to `most` messages with rows of `width` elements. `messages` and the rows
 * stay until it is closed. */
void rm_mail_open(rm_mail *mail, const rm_axis *axis, int64_t width, int most,
                  rm_message *messages);
/* Starts a message; one of no rows is none. *number is for rm_mail_wait; -1: nothing to wait
 * for. */
ringmoe_status rm_mail_receive(rm_mail *mail, int from, rm_mail_kind kind, rm_real *rows,
                               int64_t n_rows, int *number, rm_error *error);
ringmoe_status rm_mail_send(rm_mail *mail, int to, rm_mail_kind kind, const rm_real *rows,
                            int64_t n_rows, rm_error *error);
ringmoe_status rm_mail_wait(rm_mail *mail, int number, const char *what, rm_error *error);
/* Waits for all messages, or, after a failure, gives them up; those that are on their way all
 * the same do not meet later sets, whose tags are of another round. Returns `status`, or the
 * first failure if it was OK. */
ringmoe_status rm_mail_close(rm_mail *mail, ringmoe_status status, rm_error *error);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Messages of rows between two ranks of an axis each, many at a time, which travel behind
 * whatever is computed: they are advanced in every wait and between the tasks of products.
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

typedef struct rm_mail {
    rm_background background;
    const rm_axis *axis;
    MPI_Datatype row;
    MPI_Request *requests; /* [most], receives first */
    int n, n_receives, most;
    int first_tag;
} rm_mail;

/* Opens a set of up to `most` messages with rows of `width` elements. `requests` and the rows
 * stay until it is closed. */
ringmoe_status rm_mail_open(rm_mail *mail, const rm_axis *axis, int64_t width, int most,
                            MPI_Request *requests, rm_error *error);
/* Starts a message, receives before sends; those of no rows are none. *number is for
 * rm_mail_wait; -1: nothing to wait for. More than 2^31 bytes are fine. */
ringmoe_status rm_mail_receive(rm_mail *mail, int from, rm_mail_kind kind, rm_real *rows,
                               int64_t n_rows, int *number, rm_error *error);
ringmoe_status rm_mail_send(rm_mail *mail, int to, rm_mail_kind kind, const rm_real *rows,
                            int64_t n_rows, rm_error *error);
ringmoe_status rm_mail_wait(rm_mail *mail, int number, int partner, const char *what,
                            rm_error *error);
/* Waits for all messages, or, after a failure, gives them up; those that are on their way all
 * the same do not meet later sets, whose tags are of another round. Returns `status`, or the
 * first failure if it was OK. */
ringmoe_status rm_mail_close(rm_mail *mail, ringmoe_status status, rm_error *error);

#endif

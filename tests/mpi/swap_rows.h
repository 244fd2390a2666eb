/* SPDX-License-Identifier: MIT
 *
 * Rows from every rank of an axis to every other by messages: send_rows[r] rows to rank r, one
 * rank's after the other's, and likewise received. A rank's own are copied.
 */
#ifndef SWAP_ROWS_H
#define SWAP_ROWS_H

#include <stdlib.h>

#include "check.h"
#include "comm/mail.h"

static inline ringmoe_status start_rows(rm_mail *mail, int64_t width, const rm_real *send,
                                        const int64_t *send_rows, rm_real *recv,
                                        const int64_t *recv_rows, rm_error *error)
{
    int number;
    rm_real *own = recv;
    for (int r = 0; r < mail->axis->size; r++) {
        if (r != mail->axis->rank) {
            RM_TRY(rm_mail_receive(mail, r, RM_MAIL_OUT, recv, recv_rows[r], &number, error));
            CHECK((number < 0) == (recv_rows[r] == 0));
        } else {
            own = recv;
        }
        recv += recv_rows[r] * width;
    }
    for (int r = 0; r < mail->axis->size; r++) {
        if (r != mail->axis->rank)
            RM_TRY(rm_mail_send(mail, r, RM_MAIL_OUT, send, send_rows[r], error));
        else
            memcpy(own, send, (size_t)(send_rows[r] * width) * sizeof *send);
        send += send_rows[r] * width;
    }
    return RINGMOE_OK;
}

static inline ringmoe_status swap_rows(const rm_axis *axis, int64_t width, const rm_real *send,
                                       const int64_t *send_rows, rm_real *recv,
                                       const int64_t *recv_rows, rm_error *error)
{
    rm_mail mail;
    rm_message messages[64];
    CHECK(2 * axis->size <= 64);
    rm_mail_open(&mail, axis, width, 64, messages);
    mail.far_piece = 2; /* many windows even of a few rows */
    ringmoe_status status = start_rows(&mail, width, send, send_rows, recv, recv_rows, error);
    return rm_mail_close(&mail, status, error);
}

#endif

/* SPDX-License-Identifier: MIT */
#include "comm/mail.h"

#include <stddef.h>

/* --- pieces --- */

static int piece_elements(const rm_message *message, int64_t number)
{
    int64_t left = message->n_elements - number * message->piece;
    return (int)(left < message->piece ? left : message->piece);
}

/* Puts as many pieces on the way as the window takes. */
static ringmoe_status begin_pieces(const rm_mail *mail, rm_message *message, rm_error *error)
{
    while (message->n_begun < message->n_pieces &&
           message->n_begun < message->n_done + RM_MAIL_WINDOW) {
        int64_t number = message->n_begun;
        int n = piece_elements(message, number);
        rm_real *rows = message->rows + number * message->piece;
        MPI_Request *request = &message->requests[number % RM_MAIL_WINDOW];
        *request = MPI_REQUEST_NULL;
        message->n_begun++;
        if (message->is_sent)
            RM_TRY(rm_mpi_check(MPI_Isend(rows, n, RM_MPI_REAL, message->partner, message->tag,
                                          mail->axis->comm, request),
                                "MPI_Isend of tokens", error));
        else
            RM_TRY(rm_mpi_check(MPI_Irecv(rows, n, RM_MPI_REAL, message->partner, message->tag,
                                          mail->axis->comm, request),
                                "MPI_Irecv of tokens", error));
    }
    return RINGMOE_OK;
}

/* Completes what has arrived and begins what may follow. */
static ringmoe_status advance_message(const rm_mail *mail, rm_message *message, rm_error *error)
{
    while (message->n_done < message->n_pieces) {
        int done = 0;
        MPI_Request *oldest = &message->requests[message->n_done % RM_MAIL_WINDOW];
        RM_TRY(rm_mpi_check(MPI_Test(oldest, &done, MPI_STATUS_IGNORE), "messages of tokens",
                            error));
        if (!done) return RINGMOE_OK;
        message->n_done++;
        rm_progress_tick(mail->axis->progress);
        RM_TRY(begin_pieces(mail, message, error));
    }
    return RINGMOE_OK;
}

static ringmoe_status advance(rm_background *self, bool has_threads, rm_error *error)
{
    rm_mail *mail = (rm_mail *)((char *)self - offsetof(rm_mail, background));
    (void)has_threads;
    for (int i = 0; i < mail->n; i++) RM_TRY(advance_message(mail, &mail->messages[i], error));
    return RINGMOE_OK;
}

/* --- messages --- */

/* Of a context's round: messages of one that was given up are never received. */
static int first_tag(const rm_axis *axis)
{
    enum { MAIL_TAG = 16, MAIL_ROUNDS = 256 };
    return MAIL_TAG + (int)(axis->progress->round % MAIL_ROUNDS) * RM_MAIL_KINDS;
}

void rm_mail_open(rm_mail *mail, const rm_axis *axis, int64_t width, int most,
                  rm_message *messages)
{
    *mail = (rm_mail){.background = {.advance = advance},
                      .axis = axis,
                      .width = width,
                      .messages = messages,
                      .most = most,
                      .first_tag = first_tag(axis),
                      .far_piece = RM_MAIL_PIECE_BYTES / (int)sizeof(rm_real)};
    rm_background_start(axis->progress, &mail->background);
}

/* Elements of a piece to or from a rank, which both ends work out alike. */
static int64_t piece_for(const rm_mail *mail, int partner)
{
    enum { WHOLE = 1 << 28 };
    const rm_axis *axis = mail->axis;
    bool same = rm_axis_node(axis, partner) == rm_axis_node(axis, axis->rank);
    return same ? WHOLE : mail->far_piece;
}

static ringmoe_status begin_message(rm_mail *mail, rm_message message, rm_error *error)
{
    message.piece = piece_for(mail, message.partner);
    message.n_pieces = (message.n_elements + message.piece - 1) / message.piece;
    mail->messages[mail->n] = message;
    return begin_pieces(mail, &mail->messages[mail->n++], error);
}

ringmoe_status rm_mail_receive(rm_mail *mail, int from, rm_mail_kind kind, rm_real *rows,
                               int64_t n_rows, int *number, rm_error *error)
{
    *number = -1;
    if (n_rows == 0) return RINGMOE_OK;
    *number = mail->n;
    rm_message message = {.rows = rows,
                          .n_elements = n_rows * mail->width,
                          .partner = from,
                          .tag = mail->first_tag + (int)kind};
    return begin_message(mail, message, error);
}

ringmoe_status rm_mail_send(rm_mail *mail, int to, rm_mail_kind kind, const rm_real *rows,
                            int64_t n_rows, rm_error *error)
{
    if (n_rows == 0) return RINGMOE_OK;
    rm_message message = {.rows = (rm_real *)rows,
                          .n_elements = n_rows * mail->width,
                          .partner = to,
                          .tag = mail->first_tag + (int)kind,
                          .is_sent = true};
    return begin_message(mail, message, error);
}

/* --- waiting --- */

static bool is_there(const rm_message *message)
{
    return message->n_done == message->n_pieces;
}

/* An error that a poll in the background was told of is that of whoever waits. */
static ringmoe_status behind_the_scenes(const rm_mail *mail, const char *what, rm_error *error)
{
    const rm_background *background = &mail->background;
    if (background->status == RINGMOE_OK) return RINGMOE_OK;
    return rm_fail(error, background->status, "%s: %s", what, background->error.text);
}

/* Waits for messages [first, end); `partner`: whose. */
static ringmoe_status await(rm_mail *mail, int first, int end, int partner, const char *what,
                            rm_error *error)
{
    rm_waiting waiting = rm_wait_begin(mail->axis, partner, what);
    rm_progress_poll(waiting.progress, true);
    for (int i = first; i < end; i++)
        while (!is_there(&mail->messages[i]) && mail->background.status == RINGMOE_OK)
            rm_wait_idle(&waiting);
    rm_wait_end(&waiting);
    return behind_the_scenes(mail, what, error);
}

ringmoe_status rm_mail_wait(rm_mail *mail, int number, const char *what, rm_error *error)
{
    if (number < 0) return RINGMOE_OK;
    return await(mail, number, number + 1, mail->messages[number].partner, what, error);
}

/* Later pieces first: an earlier one that is cancelled while a later one is not would leave its
 * rows to that. */
static void give_up(const rm_mail *mail, rm_message *message)
{
    for (int64_t i = message->n_begun - 1; i >= message->n_done; i--) {
        MPI_Request *request = &message->requests[i % RM_MAIL_WINDOW];
        if (message->is_sent)
            rm_abandon(1, request);
        else
            rm_abandon_receives(mail->axis, 1, request);
    }
}

ringmoe_status rm_mail_close(rm_mail *mail, ringmoe_status status, rm_error *error)
{
    if (status == RINGMOE_OK)
        status = await(mail, 0, mail->n, RM_EVERYONE, "messages of tokens", error);
    rm_background_remove(mail->axis->progress, &mail->background);
    if (status == RINGMOE_OK) return RINGMOE_OK;
    for (int i = mail->n - 1; i >= 0; i--) give_up(mail, &mail->messages[i]);
    mail->axis->progress->round++;
    return status;
}

/* SPDX-License-Identifier: MIT */
#include "comm/mail.h"

#include <math.h>
#include <stddef.h>

#include "base/clock.h"

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

/* Pieces that are asked for at a time, of several messages. */
enum { MOST_ASKED = 64 };

typedef struct rm_asking {
    int n;
    MPI_Request *places[MOST_ASKED], requests[MOST_ASKED];
} rm_asking;

/* The oldest pieces on the way, as many as there is room for. */
static void ask_for(rm_message *message, int most, rm_asking *asking)
{
    for (int64_t i = message->n_done; i < message->n_begun && most > 0; i++) {
        MPI_Request *request = &message->requests[i % RM_MAIL_WINDOW];
        if (*request == MPI_REQUEST_NULL) continue;
        asking->places[asking->n] = request;
        asking->requests[asking->n++] = *request;
        most--;
    }
}

/* One call for all: it is the call that costs, since MPI looks at all its connections in each.
 * The requests of pieces that are there become MPI_REQUEST_NULL. */
static ringmoe_status ask(rm_asking *asking, rm_error *error)
{
    MPI_Status statuses[MOST_ASKED];
    int n_done, done[MOST_ASKED];
    if (asking->n == 0) return RINGMOE_OK;
    int code = MPI_Testsome(asking->n, asking->requests, &n_done, done, statuses);
    for (int i = 0; i < asking->n; i++) *asking->places[i] = asking->requests[i];
    for (int i = 0; code == MPI_ERR_IN_STATUS && i < n_done; i++)
        if (statuses[i].MPI_ERROR != MPI_SUCCESS) code = statuses[i].MPI_ERROR;
    return rm_mpi_check(code, "messages of tokens", error);
}

/* Counts what is there and begins what may follow. */
static ringmoe_status go_on(const rm_mail *mail, rm_message *message, int *n_moved,
                            rm_error *error)
{
    while (message->n_done < message->n_begun &&
           message->requests[message->n_done % RM_MAIL_WINDOW] == MPI_REQUEST_NULL) {
        message->n_done++;
        ++*n_moved;
        rm_progress_tick(mail->axis->progress);
    }
    return begin_pieces(mail, message, error);
}

static bool is_there(const rm_message *message)
{
    return message->n_done == message->n_pieces;
}

static ringmoe_status advance_messages(const rm_mail *mail, int *n_moved, rm_error *error)
{
    int n_left = 0;
    for (int i = 0; i < mail->n; i++) n_left += !is_there(&mail->messages[i]);
    int most = n_left > 0 && n_left < MOST_ASKED ? MOST_ASKED / n_left : 1;
    for (int i = 0, first = 0; i < mail->n; first = i) {
        rm_asking asking = {.n = 0};
        for (; i < mail->n && asking.n + most <= MOST_ASKED; i++)
            ask_for(&mail->messages[i], most, &asking);
        RM_TRY(ask(&asking, error));
        for (; first < i; first++) RM_TRY(go_on(mail, &mail->messages[first], n_moved, error));
    }
    return RINGMOE_OK;
}

/* Between the tasks of a product a poll is time lost, most of it when little has come: the next
 * one is to find a quarter of the window, or half of it at most. */
static void set_pace(rm_mail *mail, double now, int n_moved)
{
    static const double STEP = 50e-6, LONGEST = 400e-6; /* seconds */
    if (n_moved < RM_MAIL_WINDOW / 4) mail->pause = fmin(mail->pause + STEP, LONGEST);
    if (n_moved > RM_MAIL_WINDOW / 2) mail->pause /= 2;
    mail->next_poll = now + mail->pause;
}

static ringmoe_status advance(rm_background *self, bool has_threads, rm_error *error)
{
    rm_mail *mail = (rm_mail *)((char *)self - offsetof(rm_mail, background));
    int n_moved = 0;
    if (has_threads) return advance_messages(mail, &n_moved, error);
    double now = rm_clock_seconds();
    if (now < mail->next_poll) return RINGMOE_OK;
    ringmoe_status status = advance_messages(mail, &n_moved, error);
    set_pace(mail, now, n_moved);
    return status;
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

/* SPDX-License-Identifier: MIT */
#include "comm/mail.h"

#include <limits.h>
#include <stddef.h>

/* MPI_Test completes what has arrived and lets the others go on. */
static ringmoe_status advance(rm_background *self, bool has_threads, rm_error *error)
{
    rm_mail *mail = (rm_mail *)((char *)self - offsetof(rm_mail, background));
    (void)has_threads;
    for (int i = 0; i < mail->n; i++) {
        int done = 0;
        if (mail->requests[i] == MPI_REQUEST_NULL) continue;
        RM_TRY(rm_mpi_check(MPI_Test(&mail->requests[i], &done, MPI_STATUS_IGNORE),
                            "messages of tokens", error));
        if (done) rm_progress_tick(mail->axis->progress);
    }
    return RINGMOE_OK;
}

/* Of a context's round: messages of one that was given up are never received. */
static int first_tag(const rm_axis *axis)
{
    enum { MAIL_TAG = 16, MAIL_ROUNDS = 256 };
    return MAIL_TAG + (int)(axis->progress->round % MAIL_ROUNDS) * RM_MAIL_KINDS;
}

ringmoe_status rm_mail_open(rm_mail *mail, const rm_axis *axis, int64_t width, int most,
                            MPI_Request *requests, rm_error *error)
{
    *mail = (rm_mail){.background = {.advance = advance},
                      .axis = axis,
                      .row = MPI_DATATYPE_NULL,
                      .requests = requests,
                      .most = most,
                      .first_tag = first_tag(axis)};
    if (width > INT_MAX)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "a row of %lld elements; at most %d",
                       (long long)width, INT_MAX);
    RM_TRY(rm_mpi_check(MPI_Type_contiguous((int)width, RM_MPI_REAL, &mail->row),
                        "MPI_Type_contiguous", error));
    RM_TRY(rm_mpi_check(MPI_Type_commit(&mail->row), "MPI_Type_commit", error));
    rm_background_start(axis->progress, &mail->background);
    return RINGMOE_OK;
}

static ringmoe_status check_rows(int64_t n_rows, rm_error *error)
{
    if (n_rows <= INT_MAX) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                   "%lld rows in one message, at most %d; use a smaller microbatch",
                   (long long)n_rows, INT_MAX);
}

ringmoe_status rm_mail_receive(rm_mail *mail, int from, rm_mail_kind kind, rm_real *rows,
                               int64_t n_rows, int *number, rm_error *error)
{
    *number = -1;
    if (n_rows == 0) return RINGMOE_OK;
    RM_TRY(check_rows(n_rows, error));
    *number = mail->n;
    mail->requests[mail->n] = MPI_REQUEST_NULL;
    int code = MPI_Irecv(rows, (int)n_rows, mail->row, from, mail->first_tag + (int)kind,
                         mail->axis->comm, &mail->requests[mail->n++]);
    mail->n_receives = mail->n;
    return rm_mpi_check(code, "MPI_Irecv of tokens", error);
}

ringmoe_status rm_mail_send(rm_mail *mail, int to, rm_mail_kind kind, const rm_real *rows,
                            int64_t n_rows, rm_error *error)
{
    if (n_rows == 0) return RINGMOE_OK;
    RM_TRY(check_rows(n_rows, error));
    mail->requests[mail->n] = MPI_REQUEST_NULL;
    int code = MPI_Isend(rows, (int)n_rows, mail->row, to, mail->first_tag + (int)kind,
                         mail->axis->comm, &mail->requests[mail->n++]);
    return rm_mpi_check(code, "MPI_Isend of tokens", error);
}

/* A request that failed in the background is complete for whoever waits for it. */
static ringmoe_status behind_the_scenes(const rm_mail *mail, const char *what, rm_error *error)
{
    const rm_background *background = &mail->background;
    if (background->status == RINGMOE_OK) return RINGMOE_OK;
    return rm_fail(error, background->status, "%s: %s", what, background->error.text);
}

ringmoe_status rm_mail_wait(rm_mail *mail, int number, int partner, const char *what,
                            rm_error *error)
{
    if (number < 0) return RINGMOE_OK;
    ringmoe_status status = rm_wait(mail->axis, partner, &mail->requests[number], what, error);
    return status == RINGMOE_OK ? behind_the_scenes(mail, what, error) : status;
}

ringmoe_status rm_mail_close(rm_mail *mail, ringmoe_status status, rm_error *error)
{
    if (status == RINGMOE_OK)
        status = rm_wait_all(mail->axis, mail->n, mail->requests, "messages of tokens", error);
    if (status == RINGMOE_OK) status = behind_the_scenes(mail, "messages of tokens", error);
    rm_background_remove(mail->axis->progress, &mail->background);
    if (status != RINGMOE_OK) {
        rm_abandon_receives(mail->axis, mail->n_receives, mail->requests);
        rm_abandon(mail->n - mail->n_receives, mail->requests + mail->n_receives);
        mail->axis->progress->round++;
    }
    if (mail->row != MPI_DATATYPE_NULL) MPI_Type_free(&mail->row);
    return status;
}

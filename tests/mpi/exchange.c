/* SPDX-License-Identifier: MIT
 *
 * The token exchange: every row arrives where it was sent, for random counts with empty pairs,
 * empty ranks and empty exchanges, in whole messages as within a node and in pieces as between
 * nodes; ranks in different places are told so.
 */
#include <ringmoe.h>

#include "check.h"
#include "comm/exchange.h"
#include "comm/mesh.h"
#include "swap_rows.h"

#include <stdlib.h>

static ringmoe_context *context;
static ringmoe_mesh *mesh;

/* What every rank knows: the counts of all pairs. Two runs of seven are empty in some way. */
static int pair_count(int round, int from, int to, int index)
{
    uint64_t state = 88172645463325252u + (uint64_t)round * 1000003u + (uint64_t)from * 7919u +
                     (uint64_t)to * 104729u + (uint64_t)index * 31u;
    for (int i = 0; i < 8; i++) check_random(&state);
    if (round % 7 == 0) return 0;
    if (round % 7 == 1 && (from == 0 || to == 1)) return 0;
    return (int)(check_random(&state) % 6);
}

static rm_real element_of(int from, int to, int64_t row, int64_t column)
{
    return (rm_real)(from * 1000003 + to * 10007 + row * 101 + column);
}

/* The counts between this rank and each other one, exchanged and compared with the truth. */
static void exchange_counts(int round, int n, int64_t *send_rows, int64_t *recv_rows)
{
    const rm_axis *axis = &mesh->expert;
    int size = axis->size;
    size_t n_counts = (size_t)(size * n) + 1;
    int32_t *send = calloc(n_counts, sizeof *send), *recv = calloc(n_counts, sizeof *recv);
    int32_t *workspace =
        calloc((size_t)rm_exchange_counts_workspace(axis, n) + 1, sizeof *workspace);
    for (int r = 0; r < size; r++)
        for (int i = 0; i < n; i++) send[r * n + i] = pair_count(round, axis->rank, r, i);
    rm_label label = {round, 1, 2, RM_OPERATION_DISPATCH};
    CHECK_STATUS(rm_exchange_counts(axis, label, n, send, recv, workspace, &context->times,
                                    &context->error),
                 RINGMOE_OK, context->error.text);
    for (int r = 0; r < size; r++)
        for (int i = 0; i < n; i++) {
            CHECK(recv[r * n + i] == pair_count(round, r, axis->rank, i));
            send_rows[r] += send[r * n + i];
            recv_rows[r] += recv[r * n + i];
        }
    free(send);
    free(recv);
    free(workspace);
}

static int64_t sum(int n, const int64_t *values)
{
    int64_t total = 0;
    for (int i = 0; i < n; i++) total += values[i];
    return total;
}

static void exchange_rows(int64_t width, const int64_t *send_rows, const int64_t *recv_rows)
{
    const rm_axis *axis = &mesh->expert;
    int64_t n_send = sum(axis->size, send_rows), n_recv = sum(axis->size, recv_rows);
    rm_real *send = calloc((size_t)(n_send * width) + 1, sizeof *send);
    rm_real *recv = calloc((size_t)(n_recv * width) + 1, sizeof *recv);
    rm_real *at = send;
    for (int r = 0; r < axis->size; r++)
        for (int64_t row = 0; row < send_rows[r]; row++)
            for (int64_t c = 0; c < width; c++) *at++ = element_of(axis->rank, r, row, c);
    recv[n_recv * width] = 42;
    CHECK_STATUS(swap_rows(axis, width, send, send_rows, recv, recv_rows, &context->error),
                 RINGMOE_OK, context->error.text);
    at = recv;
    for (int r = 0; r < axis->size; r++)
        for (int64_t row = 0; row < recv_rows[r]; row++)
            for (int64_t c = 0; c < width; c++)
                CHECK(*at++ == element_of(r, axis->rank, row, c));
    CHECK(recv[n_recv * width] == 42);
    free(send);
    free(recv);
}

/* n up to 100 crosses the border between counts within and after the first message. */
static void test_random_exchanges(void)
{
    for (int round = 0; round < 28; round++) {
        int64_t send_rows[64] = {0}, recv_rows[64] = {0};
        int n = round % 3 == 0 ? 1 : round % 3 == 1 ? 57 : 100;
        exchange_counts(round, n, send_rows, recv_rows);
        exchange_rows(1 + round % 5, send_rows, recv_rows);
        exchange_rows(1 + round % 5, recv_rows, send_rows);
    }
}

/* One rank is elsewhere: all are told who, and where both are; afterwards all goes on. */
static void expect_mismatch(rm_label label, int n, const char *text)
{
    const rm_axis *axis = &mesh->expert;
    int last = axis->size - 1;
    int32_t *send = calloc((size_t)(axis->size * n), sizeof *send);
    int32_t *recv = calloc((size_t)(axis->size * n), sizeof *recv);
    int32_t *workspace =
        calloc((size_t)rm_exchange_counts_workspace(axis, n), sizeof *workspace);
    CHECK_STATUS(rm_exchange_counts(axis, label, n, send, recv, workspace, &context->times,
                                    &context->error),
                 RINGMOE_ERROR_MISMATCH, context->error.text);
    char who[64];
    snprintf(who, sizeof who, "rank %d is in step ", last);
    CHECK(strstr(context->error.text, who));
    CHECK_TEXT(context->error.text,
               "rank 0 in step 12, layer 2, microbatch 0, dispatch, 4 counts");
    CHECK(strstr(context->error.text, text));
    free(send);
    free(recv);
    free(workspace);
}

static void test_mismatches(void)
{
    if (mesh->expert.size == 1) return;
    bool astray = mesh->expert.rank == mesh->expert.size - 1;
    rm_label here = {12, 2, 0, RM_OPERATION_DISPATCH};
    rm_label step = here, layer = here, microbatch = here, operation = here;
    step.step = 5000000000;
    layer.layer = 3;
    microbatch.microbatch = 1;
    operation.operation = RM_OPERATION_DISPATCH_GRADIENT;
    expect_mismatch(astray ? step : here, 4, "step 5000000000,");
    expect_mismatch(astray ? layer : here, 4, "layer 3,");
    expect_mismatch(astray ? microbatch : here, 4, "microbatch 1,");
    expect_mismatch(astray ? operation : here, 4, "dispatch of gradients,");
    expect_mismatch(here, astray ? 70 : 4, "70 counts");
    expect_mismatch(astray ? layer : here, astray ? 3 : 4, "layer 3,");
}

/* --- failures --- */

/* One row each to the next rank; receives `n_rows` from the one before. */
static ringmoe_status pass_on(rm_mail *mail, rm_message *messages, rm_real value,
                              int64_t n_rows, rm_real received[4], int *number)
{
    static rm_real sent[4];
    const rm_axis *axis = &mesh->expert;
    int next = (axis->rank + 1) % axis->size,
        before = (axis->rank + axis->size - 1) % axis->size;
    for (int i = 0; i < 4; i++) sent[i] = value;
    rm_mail_open(mail, axis, 2, 2, messages);
    if (n_rows)
        RM_TRY(rm_mail_receive(mail, before, RM_MAIL_OUT, received, n_rows, number,
                               &context->error));
    return rm_mail_send(mail, next, RM_MAIL_OUT, sent, 2, &context->error);
}

/* What was sent before a set was given up does not arrive in the next one, not even where only
 * one rank has given it up. */
static void test_stale_messages(void)
{
    rm_mail mail;
    rm_message messages[2];
    rm_real received[4] = {0};
    int64_t none[64] = {0}, also_none[64] = {0};
    int number;
    if (mesh->expert.size == 1) return;
    CHECK(pass_on(&mail, messages, 13, 0, received, &number) == RINGMOE_OK);
    CHECK(rm_mail_close(&mail, RINGMOE_ERROR_MEMORY, &context->error) == RINGMOE_ERROR_MEMORY);
    if (mesh->expert.rank == 0) context->progress.round += 3;
    exchange_counts(0, 1, none, also_none);
    CHECK(pass_on(&mail, messages, 42, 2, received, &number) == RINGMOE_OK);
    CHECK(rm_mail_wait(&mail, number, "a row", &context->error) == RINGMOE_OK);
    CHECK(rm_mail_close(&mail, RINGMOE_OK, &context->error) == RINGMOE_OK);
    for (int i = 0; i < 4; i++) CHECK(received[i] == 42);
}

/* An error that a poll in the background was told of reaches who waits for the message. */
static void test_errors_in_the_background(void)
{
    rm_mail mail;
    rm_message messages[2];
    rm_real received[4];
    int64_t none[64] = {0}, also_none[64] = {0};
    int number;
    if (mesh->expert.size == 1) return;
    CHECK(pass_on(&mail, messages, 1, 1, received, &number) == RINGMOE_OK);
    while (!mail.background.done) rm_progress_poll(&context->progress, true);
    CHECK_STATUS(rm_mail_wait(&mail, number, "rows", &context->error), RINGMOE_ERROR_MPI,
                 context->error.text);
    CHECK_STATUS(rm_mail_close(&mail, RINGMOE_OK, &context->error), RINGMOE_ERROR_MPI,
                 context->error.text);
    exchange_counts(0, 1, none, also_none);
}

static void open_mesh(int ranks_per_node)
{
    int size;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    ringmoe_mesh_dims dims = {.data = 1, .expert = size};
    ringmoe_context_settings settings;
    ringmoe_context_settings_default(&settings);
    settings.ranks_per_node = ranks_per_node;
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, &settings, &context) == RINGMOE_OK);
    CHECK(ringmoe_mesh_create(context, &dims, size, &mesh) == RINGMOE_OK);
}

static void close_mesh(void)
{
    ringmoe_mesh_destroy(&mesh);
    ringmoe_context_destroy(&context);
}

/* Messages that were given up would meet those of a context made after theirs: MPICH uses the
 * numbers of communicators again. So failures come last. */
int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    open_mesh(1);
    test_random_exchanges();
    close_mesh();
    open_mesh(0);
    test_random_exchanges();
    test_mismatches();
    test_stale_messages();
    test_errors_in_the_background();
    test_random_exchanges();
    close_mesh();
    return check_finish("exchange");
}

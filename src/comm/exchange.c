/* SPDX-License-Identifier: MIT
 *
 * The count exchange is one MPI_Alltoall of messages of a fixed size, so that
 * ranks which disagree about the layer, and with it about the number of counts, still
 * understand one another. A message to or from a rank, in 32-bit words:
 *
 *   | step (2) | layer | microbatch | operation | n | round | counts, if n <= 57, else unused |
 *
 * Longer counts follow in a second MPI_Alltoall, once all places are known to be the same.
 */
#include "comm/exchange.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

/* Where a rank is in the program, as it travels. No padding. */
typedef struct place {
    int64_t step;
    int32_t layer, microbatch, operation, n;
} place;

enum {
    MESSAGE_WORDS = 64,
    PLACE_WORDS = sizeof(place) / sizeof(int32_t),
    ROUND_WORD = PLACE_WORDS,
    COUNTS_WORD,
    INLINE_COUNTS = MESSAGE_WORDS - COUNTS_WORD,
};

int64_t rm_exchange_counts_workspace(const rm_axis *axis, int n)
{
    (void)n;
    return axis->size > 1 ? 2 * (int64_t)MESSAGE_WORDS * axis->size : 0;
}

static void describe(const place *at, char text[160])
{
    snprintf(text, 160, "step %lld, layer %d, microbatch %d, %s, %d counts",
             (long long)at->step, at->layer, at->microbatch,
             rm_operation_name((rm_operation)at->operation), at->n);
}

/* Every rank has everyone's place, so all come to the same verdict in the same words. */
static ringmoe_status compare_places(const rm_axis *axis, const int32_t *received,
                                     rm_error *error)
{
    place first, other;
    memcpy(&first, received, sizeof first);
    for (int r = 1; r < axis->size; r++) {
        memcpy(&other, received + (int64_t)r * MESSAGE_WORDS, sizeof other);
        if (memcmp(&first, &other, sizeof first) == 0) continue;
        char of_first[160], of_other[160];
        describe(&first, of_first);
        describe(&other, of_other);
        return rm_fail(error, RINGMOE_ERROR_MISMATCH,
                       "rank %d is in %s; rank %d in %s: all ranks must make the same calls in "
                       "the same order",
                       rm_axis_member(axis, r), of_other, rm_axis_member(axis, 0), of_first);
    }
    return RINGMOE_OK;
}

/* All ranks go on with the latest round of any. */
static void settle_round(const rm_axis *axis, const int32_t *received)
{
    for (int64_t r = 0; r < axis->size; r++) {
        int32_t round = received[r * MESSAGE_WORDS + ROUND_WORD];
        if (round > axis->progress->round) axis->progress->round = round;
    }
}

/* MPI_Alltoall of `words` 32-bit words for each pair of ranks. */
static ringmoe_status swap_words(const rm_axis *axis, int words, const int32_t *send,
                                 int32_t *recv, rm_error *error)
{
    MPI_Request request = MPI_REQUEST_NULL;
    int code =
        MPI_Ialltoall(send, words, MPI_INT32_T, recv, words, MPI_INT32_T, axis->comm, &request);
    RM_TRY(rm_mpi_check(code, "MPI_Ialltoall of counts", error));
    return rm_wait(axis, RM_EVERYONE, &request, "MPI_Ialltoall of counts", error);
}

static ringmoe_status swap_counts(const rm_axis *axis, const place *here, const int32_t *send,
                                  int32_t *recv, int32_t *workspace, rm_error *error)
{
    int n = here->n, n_inline = n <= INLINE_COUNTS ? n : 0;
    int32_t *incoming = workspace + (int64_t)axis->size * MESSAGE_WORDS;
    for (int64_t r = 0; r < axis->size; r++) {
        int32_t *message = workspace + r * MESSAGE_WORDS;
        memset(message, 0, MESSAGE_WORDS * sizeof *message);
        memcpy(message, here, sizeof *here);
        message[ROUND_WORD] = axis->progress->round;
        memcpy(message + COUNTS_WORD, send + r * n, (size_t)n_inline * sizeof *send);
    }
    RM_TRY(swap_words(axis, MESSAGE_WORDS, workspace, incoming, error));
    settle_round(axis, incoming);
    RM_TRY(compare_places(axis, incoming, error));
    if (n > n_inline) return swap_words(axis, n, send, recv, error);
    for (int64_t r = 0; r < axis->size; r++)
        memcpy(recv + r * n, incoming + r * MESSAGE_WORDS + COUNTS_WORD,
               (size_t)n * sizeof *recv);
    return RINGMOE_OK;
}

ringmoe_status rm_exchange_counts(const rm_axis *axis, rm_label label, int n,
                                  const int32_t *send, int32_t *recv, int32_t *workspace,
                                  rm_comm_times *times, rm_error *error)
{
    if (axis->size == 1) {
        memcpy(recv, send, (size_t)n * sizeof *recv);
        return RINGMOE_OK;
    }
    double start = rm_clock_seconds();
    place here = {label.step, label.layer, label.microbatch, (int32_t)label.operation, n};
    ringmoe_status status = swap_counts(axis, &here, send, recv, workspace, error);
    times->wait += rm_clock_seconds() - start;
    return status;
}

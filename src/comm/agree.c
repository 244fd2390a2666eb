/* SPDX-License-Identifier: MIT
 *
 * Agreement: what happened on one rank becomes known to all, so that all go on or all give up.
 */
#include "comm/context.h"

#include <string.h>

/* What the failing rank tells the others. */
typedef struct rm_verdict {
    int32_t status;
    char text[RM_ERROR_BYTES];
} rm_verdict;

ringmoe_status rm_agree(const rm_axis *axis, ringmoe_status status, rm_error *error)
{
    if (axis->size == 1) return status;
    rm_error trouble = {""};
    int speaker = status == RINGMOE_OK ? axis->size : axis->rank;
    ringmoe_status sent = rm_allreduce(axis, &speaker, 1, MPI_INT, MPI_MIN, &trouble);
    if (sent == RINGMOE_OK && speaker == axis->size) return RINGMOE_OK;

    rm_verdict verdict = {.status = (int32_t)status};
    if (error && status != RINGMOE_OK) memcpy(verdict.text, error->text, RM_ERROR_BYTES);
    if (sent == RINGMOE_OK)
        sent = rm_broadcast(axis, &verdict, (int)sizeof verdict, MPI_BYTE, speaker, &trouble);
    if (sent != RINGMOE_OK)
        return status != RINGMOE_OK ? status : rm_fail(error, sent, "%s", trouble.text);
    if (speaker == axis->rank) return status;
    return rm_fail(error, (ringmoe_status)verdict.status, "rank %d: %.*s",
                   rm_axis_member(axis, speaker), RM_ERROR_BYTES - 1, verdict.text);
}

enum { MAX_VALUES = 16 };

/* Compares up to MAX_VALUES values with those of rank 0. */
static ringmoe_status compare_values(const rm_axis *axis, const int64_t *values, int n,
                                     const char *what, rm_error *error)
{
    int64_t of_first[MAX_VALUES];
    memcpy(of_first, values, (size_t)n * sizeof *values);
    RM_TRY(rm_broadcast(axis, of_first, n, MPI_INT64_T, 0, error));
    ringmoe_status status = RINGMOE_OK;
    for (int i = 0; i < n && status == RINGMOE_OK; i++)
        if (of_first[i] != values[i])
            status =
                rm_fail(error, RINGMOE_ERROR_MISMATCH,
                        "%s: rank %d gave %lld where rank %d gave %lld; give all ranks the "
                        "same",
                        what, rm_axis_member(axis, axis->rank), (long long)values[i],
                        rm_axis_member(axis, 0), (long long)of_first[i]);
    return rm_agree(axis, status, error);
}

ringmoe_status rm_agree_equal(const rm_axis *axis, const int64_t *values, int n,
                              const char *what, rm_error *error)
{
    if (axis->size == 1) return RINGMOE_OK;
    for (int first = 0; first < n; first += MAX_VALUES)
        RM_TRY(compare_values(axis, values + first,
                              n - first < MAX_VALUES ? n - first : MAX_VALUES, what, error));
    return RINGMOE_OK;
}

/* SPDX-License-Identifier: MIT
 *
 * One rank's failure becomes everyone's; creation refuses what cannot work on all ranks alike;
 * the collectives do what their names say.
 */
#include <ringmoe.h>

#include "check.h"
#include "comm/context.h"

#include <stdlib.h>

static int rank, size;

/* Ranks from `first_failing` on fail, each in its own words; the lowest one's win. */
static void test_agree(const ringmoe_context *context, int first_failing)
{
    rm_error error = {""};
    ringmoe_status status = RINGMOE_OK;
    if (rank >= first_failing)
        status = rm_fail(&error, rank % 2 ? RINGMOE_ERROR_FILE : RINGMOE_ERROR_NUMERIC,
                         "trouble number %d", rank);
    status = rm_agree(&context->world, status, &error);
    if (first_failing >= size) {
        CHECK(status == RINGMOE_OK);
        return;
    }
    char expected[128], own[64];
    snprintf(own, sizeof own, "trouble number %d", first_failing);
    snprintf(expected, sizeof expected, "rank %d: %s", first_failing, own);
    CHECK(status == (first_failing % 2 ? RINGMOE_ERROR_FILE : RINGMOE_ERROR_NUMERIC));
    CHECK(strcmp(error.text, rank == first_failing ? own : expected) == 0);
}

static void test_agree_equal(const ringmoe_context *context)
{
    rm_error error = {""};
    int64_t values[40] = {1, 2, 3};
    CHECK(rm_agree_equal(&context->world, values, 40, "settings", &error) == RINGMOE_OK);
    if (size == 1) return;
    values[33] = rank == size - 1 ? 7 : 0;
    CHECK(rm_agree_equal(&context->world, values, 40, "settings", &error) ==
          RINGMOE_ERROR_MISMATCH);
    CHECK_TEXT(error.text, "settings: rank ");
    CHECK_TEXT(error.text, " gave 7 where rank 0 gave 0");
}

static void keep_line(void *user, ringmoe_log_level level, const char *line)
{
    if (level == RINGMOE_LOG_WARNING) snprintf(user, RM_ERROR_BYTES, "%s", line);
}

/* A setting that is wrong on the last rank only. */
static void test_refused_settings(void)
{
    char line[RM_ERROR_BYTES] = "";
    ringmoe_context_settings settings;
    ringmoe_context_settings_default(&settings);
    settings.log = keep_line;
    settings.log_user = line;
    ringmoe_context *context = NULL;
    if (rank == size - 1) settings.n_threads = -3;
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, &settings, &context) ==
          RINGMOE_ERROR_ARGUMENT);
    CHECK(!context);
    CHECK_TEXT(line, "n_threads is -3");

    settings.n_threads = 1;
    if (rank == size - 1) settings.kernel_level = "abacus";
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, &settings, &context) ==
          RINGMOE_ERROR_ARGUMENT);
    CHECK_TEXT(line, "abacus");

    settings.kernel_level = NULL;
    if (rank == size - 1 && size > 1) settings.precision = RINGMOE_PRECISION_BF16;
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, &settings, &context) ==
          (size > 1 ? RINGMOE_ERROR_MISMATCH : RINGMOE_OK));
    ringmoe_context_destroy(&context);
}

static void test_refused_communicators(void)
{
    ringmoe_context *context = NULL;
    CHECK(ringmoe_context_create(MPI_COMM_NULL, NULL, &context) == RINGMOE_ERROR_ARGUMENT);
    CHECK(!context);
    if (size == 1) return;
    MPI_Comm half, inter;
    bool lower = rank < size / 2;
    MPI_Comm_split(MPI_COMM_WORLD, lower, rank, &half);
    MPI_Intercomm_create(half, 0, MPI_COMM_WORLD, lower ? size / 2 : 0, 5, &inter);
    CHECK(ringmoe_context_create(inter, NULL, &context) == RINGMOE_ERROR_ARGUMENT);
    CHECK(!context);
    MPI_Comm_free(&inter);
    MPI_Comm_free(&half);
}

/* Shared arrays whose parts have random lengths, some of them none. */
static void test_allgather_parts(ringmoe_context *context)
{
    uint64_t state = 12345;
    for (int round = 0; round < 10; round++) {
        int64_t bounds[65] = {0};
        for (int r = 0; r < size; r++)
            bounds[r + 1] = bounds[r] + (int64_t)(check_random(&state) % 4) * 5;
        double *array = calloc((size_t)bounds[size] + 1, sizeof *array);
        for (int64_t i = bounds[rank]; i < bounds[rank + 1]; i++) array[i] = (double)i + 1;
        CHECK_STATUS(
            rm_allgather_parts(&context->world, array, bounds, MPI_DOUBLE, &context->error),
            RINGMOE_OK, context->error.text);
        for (int64_t i = 0; i < bounds[size]; i++) CHECK(array[i] == (double)i + 1);
        free(array);
    }
}

static void test_collectives(ringmoe_context *context)
{
    int64_t sums[2] = {rank, 1};
    CHECK(rm_allreduce(&context->world, sums, 2, MPI_INT64_T, MPI_SUM, &context->error) ==
          RINGMOE_OK);
    CHECK(sums[0] == (int64_t)size * (size - 1) / 2 && sums[1] == size);
    int word = rank == size - 1 ? 77 : 0;
    CHECK(rm_broadcast(&context->world, &word, 1, MPI_INT, size - 1, &context->error) ==
          RINGMOE_OK);
    CHECK(word == 77);
    CHECK(rm_barrier(&context->world, &context->error) == RINGMOE_OK);
}

/* MPI's own complaints come back as a status. */
static void test_mpi_error(ringmoe_context *context)
{
    int value = 0;
    if (size == 1) return;
    CHECK(rm_broadcast(&context->world, &value, 1, MPI_INT, size + 5, &context->error) ==
          RINGMOE_ERROR_MPI);
    CHECK_TEXT(ringmoe_context_error(context), "MPI_Ibcast: ");
}

int main(int argc, char **argv)
{
    ringmoe_context *context = NULL;
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, NULL, &context) == RINGMOE_ERROR_STATE);
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, NULL, &context) == RINGMOE_OK);
    CHECK(ringmoe_context_rank(context) == rank && ringmoe_context_size(context) == size);
    CHECK(strcmp(ringmoe_context_error(context), "") == 0);
    for (int first = 0; first <= size; first++) test_agree(context, first);
    test_agree_equal(context);
    test_refused_settings();
    test_refused_communicators();
    test_collectives(context);
    test_allgather_parts(context);
    test_mpi_error(context);
    ringmoe_context_destroy(&context);
    ringmoe_context_destroy(&context);
    ringmoe_context_destroy(NULL);
    return check_finish("agreement");
}

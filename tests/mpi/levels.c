/* SPDX-License-Identifier: MIT
 *
 * The ranks of a context agree on a kernel level: those that may choose take the lowest one.
 */
#include <ringmoe.h>

#include <stdlib.h>

#include "check.h"
#include "simd/kernels.h"

static int n_warnings;

static void count_warnings(void *user, ringmoe_log_level level, const char *line)
{
    if (level == RINGMOE_LOG_WARNING && strstr(line, "RINGMOE_CPU")) n_warnings++;
}

/* The level in use where `asked` is asked for. */
static const char *level_in_use(const char *asked)
{
    ringmoe_context_settings settings;
    ringmoe_context_settings_default(&settings);
    settings.n_threads = 1;
    settings.kernel_level = asked;
    settings.log = count_warnings;
    ringmoe_context *context;
    n_warnings = 0;
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, &settings, &context) == RINGMOE_OK);
    const char *level = ringmoe_context_kernel_level(context);
    ringmoe_context_destroy(&context);
    return level;
}

static void test_all_free(void)
{
    CHECK(strcmp(level_in_use(NULL), rm_kernels_best()->level) == 0);
    CHECK(n_warnings == 0);
}

static void test_one_asks(int rank, int size)
{
    CHECK(strcmp(level_in_use(rank == size - 1 ? "scalar" : NULL), "scalar") == 0);
    CHECK(n_warnings == 0);
    if (rank == size / 2) setenv("RINGMOE_CPU", "scalar", 1);
    CHECK(strcmp(level_in_use(NULL), "scalar") == 0);
    CHECK(n_warnings == 0);
    unsetenv("RINGMOE_CPU");
}

/* The last rank keeps what it asked for, and is told; the free ones follow rank 0. */
static void test_two_ask(int rank, int size)
{
    const char *second = rm_kernels_levels()[1];
    bool is_last = rank == size - 1;
    if (size < 2 || !second) return;
    const char *asked = rank == 0 ? "scalar" : is_last ? second : NULL;
    CHECK(strcmp(level_in_use(asked), is_last ? second : "scalar") == 0);
    CHECK(n_warnings == is_last);
}

int main(int argc, char **argv)
{
    int provided, rank, size;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    unsetenv("RINGMOE_CPU");
    test_all_free();
    test_one_asks(rank, size);
    test_two_ask(rank, size);
    return check_finish("levels");
}

/* SPDX-License-Identifier: MIT
 *
 * Creating and destroying a context. All ranks take the same way through creation, whatever
 * happens on one of them: duplicate the communicator, set up what is local, agree.
 */
#include "comm/context.h"

#include <ringmoe.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "comm/watchdog.h"

const char *ringmoe_version(void)
{
    return RINGMOE_VERSION;
}

void ringmoe_context_settings_default(ringmoe_context_settings *settings)
{
    *settings = (ringmoe_context_settings){.precision = RINGMOE_PRECISION_FP32};
}

/* Refuses what cannot be duplicated. These are the same on all ranks, so there is nothing to
 * agree on yet. */
static ringmoe_status check_communicator(MPI_Comm communicator, rm_error *error)
{
    int initialized = 0, finalized = 0, is_inter = 0;
    MPI_Initialized(&initialized);
    MPI_Finalized(&finalized);
    if (!initialized || finalized)
        return rm_fail(error, RINGMOE_ERROR_STATE,
                       "MPI is %s; create the context between MPI_Init_thread and MPI_Finalize",
                       finalized ? "finalized" : "not initialised");
    if (communicator == MPI_COMM_NULL)
        return rm_fail(
            error, RINGMOE_ERROR_ARGUMENT,
            "the communicator is MPI_COMM_NULL; only its members create the context");
    RM_TRY(rm_mpi_check(MPI_Comm_test_inter(communicator, &is_inter), "MPI_Comm_test_inter",
                        error));
    if (is_inter)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "the communicator is an intercommunicator; merge it first "
                       "(MPI_Intercomm_merge)");
    return RINGMOE_OK;
}

static ringmoe_status check_settings(const ringmoe_context_settings *settings, rm_error *error)
{
    if (settings->n_threads < 0)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "n_threads is %d; use 0 for the default or a positive number",
                       settings->n_threads);
    if (settings->ranks_per_node < 0)
        return rm_fail(
            error, RINGMOE_ERROR_ARGUMENT,
            "ranks_per_node is %d; use 0 for the nodes there are or a positive number",
            settings->ranks_per_node);
    if ((int)settings->exchange < 0 || (int)settings->exchange > RINGMOE_EXCHANGE_TWO_LEVEL)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "exchange is %d; use RINGMOE_EXCHANGE_AUTO, _MESSAGES or _TWO_LEVEL",
                       (int)settings->exchange);
    if ((int)settings->overlap < 0 || (int)settings->overlap > RINGMOE_OVERLAP_OFF)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "overlap is %d; use RINGMOE_OVERLAP_AUTO, _ON or _OFF",
                       (int)settings->overlap);
    if (settings->watchdog_seconds != 0 &&
        !(settings->watchdog_seconds >= 0.1 && settings->watchdog_seconds <= 1e6))
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "watchdog_seconds is %g; use 0 for none or 0.1 to 1000000",
                       settings->watchdog_seconds);
    if (settings->precision != RINGMOE_PRECISION_FP32 &&
        settings->precision != RINGMOE_PRECISION_BF16)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "precision is %d; use RINGMOE_PRECISION_FP32 or RINGMOE_PRECISION_BF16",
                       (int)settings->precision);
    return RINGMOE_OK;
}

/* What one rank does on its own. */
static ringmoe_status set_up(ringmoe_context *context, const ringmoe_context_settings *settings)
{
    context->log = settings->log;
    context->log_user = settings->log_user;
    context->exchange = settings->exchange;
    context->overlap = settings->overlap;
    RM_TRY(check_settings(settings, &context->error));
    return rm_compute_init(&context->compute, settings->kernel_level, settings->n_threads,
                           settings->precision, &context->error);
}

/* A rank that is free to choose takes the lowest level in use, so that it does not matter which
 * rank computes what. Levels are counted from the lowest, alike on processors of one family. */
static ringmoe_status agree_on_level(ringmoe_context *context, const char *level_setting)
{
    const char *const *levels = rm_kernels_levels();
    int lowest = 0;
    while (strcmp(levels[lowest], context->compute.kernels->level) != 0) lowest++;
    RM_TRY(rm_allreduce(&context->world, &lowest, 1, MPI_INT, MPI_MIN, &context->error));
    if (!rm_compute_level_asked_for(level_setting))
        context->compute.kernels = rm_kernels_of_level(levels[lowest]);
    return RINGMOE_OK;
}

/* Levels that were asked for stay, and may differ; that only costs reproducibility. */
static ringmoe_status compare_levels(ringmoe_context *context)
{
    char level[16] = "";
    snprintf(level, sizeof level, "%s", context->compute.kernels->level);
    char first_level[16];
    memcpy(first_level, level, sizeof level);
    RM_TRY(rm_broadcast(&context->world, first_level, (int)sizeof first_level, MPI_BYTE, 0,
                        &context->error));
    if (strcmp(level, first_level) != 0)
        rm_log(
            context, RINGMOE_LOG_WARNING,
            "rank %d uses kernel level %s, rank 0 uses %s: results will depend on which rank "
            "computes what; set RINGMOE_CPU to a level all have",
            context->world.rank, level, first_level);
    return RINGMOE_OK;
}

/* Ranks must round alike. */
static ringmoe_status match_ranks(ringmoe_context *context,
                                  const ringmoe_context_settings *settings)
{
    int64_t precision = context->compute.precision;
    int64_t ways[] = {settings->exchange, settings->overlap};
    RM_TRY(rm_agree_equal(&context->world, &precision, 1, "precision", &context->error));
    RM_TRY(rm_agree_equal(&context->world, ways, 2, "exchange and overlap", &context->error));
    RM_TRY(agree_on_level(context, settings->kernel_level));
    return compare_levels(context);
}

static void warn_of_thread_level(const ringmoe_context *context)
{
    int provided = MPI_THREAD_SINGLE;
    MPI_Query_thread(&provided);
    if (provided < MPI_THREAD_FUNNELED && context->compute.n_threads > 1 &&
        context->world.rank == 0)
        rm_log(context, RINGMOE_LOG_WARNING,
               "MPI was initialised without threads, but %d threads are used; ask for "
               "MPI_THREAD_FUNNELED in MPI_Init_thread",
               context->compute.n_threads);
}

/* MPI gives a communicator that was freed to the next one as it was, with messages in it that
 * were given up: rounds of a context begin where those of the one before it hardly were. */
static int32_t first_round(void)
{
    enum { ROUNDS = 1 << 30 };
    return (int32_t)((int64_t)(rm_clock_seconds() * 1e6) % ROUNDS);
}

static void poll_between_tasks(void *progress)
{
    rm_progress_poll(progress, false);
}

/* Everything after the checks that need no other rank. `context` is NULL where there was no
 * memory for it: that rank still takes part until all have agreed to give up. */
static ringmoe_status create_together(ringmoe_context *context, MPI_Comm communicator,
                                      const ringmoe_context_settings *settings, rm_error *error)
{
    rm_axis world;
    MPI_Comm own;
    RM_TRY(rm_mpi_check(MPI_Comm_dup(communicator, &own), "MPI_Comm_dup", error));
    ringmoe_status status = rm_axis_init(&world, own, 0, 1, error);
    if (!context) status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the context");
    if (status == RINGMOE_OK) {
        status = set_up(context, settings);
        *error = context->error;
    }
    status = rm_agree(&world, status, error);
    if (!context) {
        rm_axis_free(&world);
        return status;
    }
    context->world = world;
    RM_TRY(status);
    rm_axis_join(&context->world, context);
    context->progress.round = first_round();
    context->compute.poll = poll_between_tasks;
    context->compute.poll_user = &context->progress;
    status = match_ranks(context, settings);
    if (status == RINGMOE_OK) status = rm_nodes_find(context, settings->ranks_per_node);
    if (status == RINGMOE_OK) status = rm_watchdog_start(context, settings);
    *error = context->error;
    return status;
}

ringmoe_status ringmoe_context_create(MPI_Comm communicator,
                                      const ringmoe_context_settings *settings,
                                      ringmoe_context **context)
{
    ringmoe_context_settings chosen;
    ringmoe_context_settings_default(&chosen);
    if (settings) chosen = *settings;
    rm_error error = {""};
    if (!context) return RINGMOE_ERROR_ARGUMENT;
    *context = NULL;
    ringmoe_status status = check_communicator(communicator, &error);
    if (status == RINGMOE_OK) {
        *context = calloc(1, sizeof **context);
        status = create_together(*context, communicator, &chosen, &error);
    }
    if (status != RINGMOE_OK) {
        ringmoe_context_destroy(context);
        if (chosen.log) chosen.log(chosen.log_user, RINGMOE_LOG_WARNING, error.text);
        return status;
    }
    warn_of_thread_level(*context);
    return RINGMOE_OK;
}

ringmoe_status ringmoe_context_create_f(MPI_Fint communicator,
                                        const ringmoe_context_settings *settings,
                                        ringmoe_context **context)
{
    return ringmoe_context_create(MPI_Comm_f2c(communicator), settings, context);
}

void ringmoe_context_destroy(ringmoe_context **context)
{
    if (!context || !*context) return;
    rm_watchdog_stop(*context);
    rm_compute_free(&(*context)->compute);
    rm_axis_free(&(*context)->world);
    free((*context)->nodes);
    free(*context);
    *context = NULL;
}

const char *ringmoe_context_error(const ringmoe_context *context)
{
    return context ? context->error.text : "";
}

int ringmoe_context_rank(const ringmoe_context *context)
{
    return context->world.rank;
}

int ringmoe_context_size(const ringmoe_context *context)
{
    return context->world.size;
}

int ringmoe_context_threads(const ringmoe_context *context)
{
    return context->compute.n_threads;
}

const char *ringmoe_context_kernel_level(const ringmoe_context *context)
{
    return context->compute.kernels->level;
}

void ringmoe_context_times(const ringmoe_context *context, ringmoe_comm_times *times)
{
    *times = context->times;
}

void ringmoe_context_reset_times(ringmoe_context *context)
{
    context->times = (ringmoe_comm_times){0};
}

void ringmoe_context_wait_begin(ringmoe_context *context, const char *what)
{
    rm_wait_begin(&context->world, RM_EVERYONE, what);
}

void ringmoe_context_wait_end(ringmoe_context *context)
{
    rm_wait_end(&(rm_waiting){.progress = &context->progress});
}

void rm_log(const ringmoe_context *context, ringmoe_log_level level, const char *format, ...)
{
    if (!context->log) return;
    char line[RM_ERROR_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    context->log(context->log_user, level, line);
}

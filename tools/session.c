/* SPDX-License-Identifier: MIT */
#include "session.h"

#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "json_text.h"
#include "share.h"
#include "watchdog.h"

enum { STATUSES = 256 };

void session_must(const tool_session *session, int code)
{
    char text[MPI_MAX_ERROR_STRING] = "unknown error";
    int length;
    if (code == MPI_SUCCESS) return;
    MPI_Error_string(code, text, &length);
    fprintf(stderr, "ringmoe%s%s: MPI failed on rank %d: %s: start the job again\n",
            *session->command ? " " : "", session->command, session->rank, text);
    if (session->is_watched) watchdog_last_word();
    MPI_Abort(MPI_COMM_WORLD, EXIT_FAILED);
}

/* Waits by testing and yielding: with more ranks than cores a blocking call would burn the
 * time slice that the awaited rank needs. The watchdog, if there is one, knows of it. `started`
 * is what the call that made the request returned. */
static void wait_yielding(const tool_session *session, const char *what, int started,
                          MPI_Request *request)
{
    int done = 0;
    session_must(session, started);
    if (session->context) ringmoe_context_wait_begin(session->context, what);
    while (!done) {
        session_must(session, MPI_Test(request, &done, MPI_STATUS_IGNORE));
        if (!done) sched_yield();
    }
    if (session->context) ringmoe_context_wait_end(session->context);
}

/* Each node has one rank that is its first. */
static int count_nodes(const tool_session *session, MPI_Comm node)
{
    int place, count;
    MPI_Comm_rank(node, &place);
    int is_first = place == 0;
    session_must(session,
                 MPI_Allreduce(&is_first, &count, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD));
    return count;
}

void session_begin(tool_session *session, const char *program, int thread_level)
{
    MPI_Comm node;
    ringmoe_machine machine;
    *session = (tool_session){.program = program, .command = "", .thread_level = thread_level};
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &session->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &session->size);
    session_must(session, MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED,
                                              session->rank, MPI_INFO_NULL, &node));
    MPI_Comm_size(node, &session->node_size);
    session->n_nodes = count_nodes(session, node);
    ringmoe_machine_describe(&machine);
    session_must(session, share_of_cpus(node, machine.binding, &session->cpu_share));
    MPI_Comm_free(&node);
}

void session_end(tool_session *session)
{
    ringmoe_mesh_destroy(&session->mesh);
    ringmoe_context_destroy(&session->context);
}

bool session_parse(tool_session *session, const option_set *set, int argc, char **argv,
                   void *values, option_result *result, int *exit_status)
{
    if (!options_parse(set, argc, argv, values, result)) {
        *exit_status = session_fail(session, EXIT_USAGE, "%s", result->error);
        return false;
    }
    *exit_status = EXIT_DONE;
    if (result->help && session->rank == 0) options_help(set, values, stdout);
    return !result->help;
}

static void print_error(const tool_session *session, const char *text)
{
    fprintf(stderr, "ringmoe%s%s: %s\n", *session->command ? " " : "", session->command, text);
}

int session_fail(const tool_session *session, int status, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (session->rank == 0) print_error(session, text);
    return status;
}

/* One value of each rank becomes one on every rank; of one rank nothing changes. */
static void reduce(const tool_session *session, const char *what, MPI_Op operation,
                   MPI_Datatype type, const void *value, void *result)
{
    MPI_Request request;
    if (session->size == 1) return;
    int started = MPI_Iallreduce(value, result, 1, type, operation, MPI_COMM_WORLD, &request);
    wait_yielding(session, what, started, &request);
}

int session_settle(const tool_session *session, int status, const char *text)
{
    /* The smallest key wins: the lowest failing rank, with its status in the low bits. */
    int key = status == EXIT_DONE ? INT_MAX : session->rank * STATUSES + status, first = key;
    reduce(session, "an agreement of the command", MPI_MIN, MPI_INT, &key, &first);
    if (first == INT_MAX) return EXIT_DONE;
    if (first / STATUSES == session->rank) print_error(session, text);
    return first % STATUSES;
}

int session_union(const tool_session *session, int flags)
{
    int all = flags;
    reduce(session, "an agreement on flags", MPI_BOR, MPI_INT, &flags, &all);
    return all;
}

int session_check(const tool_session *session, ringmoe_status status)
{
    bool usage = status == RINGMOE_ERROR_ARGUMENT || status == RINGMOE_ERROR_LAYOUT;
    int exit_status = status == RINGMOE_OK ? EXIT_DONE : usage ? EXIT_USAGE : EXIT_FAILED;
    return session_settle(session, exit_status, ringmoe_context_error(session->context));
}

int session_print_json(const tool_session *session, json_t *result)
{
    if (json_print(result)) return EXIT_DONE;
    return session_fail(
        session, EXIT_FAILED,
        "cannot write the result as JSON: a name that is not UTF-8, or no memory");
}

int session_default_threads(const tool_session *session)
{
    /* The tiny surplus: thirds of cpus may add up to a little less than a whole. */
    int threads = (int)(session->cpu_share + 1e-6);
    return threads > 1 ? threads : 1;
}

/* Until there is a context, its messages are the only place where a failure is explained. Also
 * called in the watchdog's thread. */
static void receive_line(void *user, ringmoe_log_level level, const char *line)
{
    tool_session *session = user;
    char text[1280];
    if (level != RINGMOE_LOG_WARNING) return;
    if (!session->context) {
        snprintf(session->line, sizeof session->line, "%s", line);
        return;
    }
    int n = snprintf(text, sizeof text, "ringmoe %s: warning: %s\n", session->command, line);
    watchdog_write(text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
}

void session_context_settings(tool_session *session, const tool_placement *placement,
                              ringmoe_context_settings *settings)
{
    ringmoe_context_settings_default(settings);
    settings->n_threads =
        placement->threads ? (int)placement->threads : session_default_threads(session);
    settings->precision = (ringmoe_precision)placement->precision;
    settings->exchange = (ringmoe_exchange)placement->exchange;
    settings->log = receive_line;
    settings->log_user = session;
    watchdog_set(settings, placement->watchdog, session->command);
}

int session_open(tool_session *session, const tool_placement *placement)
{
    ringmoe_context_settings settings;
    session_context_settings(session, placement, &settings);
    ringmoe_status status =
        ringmoe_context_create(MPI_COMM_WORLD, &settings, &session->context);
    session->is_watched = status == RINGMOE_OK && settings.watchdog_seconds > 0;
    if (status == RINGMOE_OK) return EXIT_DONE;
    return session_settle(session, status == RINGMOE_ERROR_ARGUMENT ? EXIT_USAGE : EXIT_FAILED,
                          session->line[0] ? session->line : ringmoe_status_text(status));
}

int session_layout(tool_session *session, const tool_placement *placement, int n_experts)
{
    ringmoe_mesh_dims dims = placement_dims(placement);
    return session_check(
        session, ringmoe_mesh_create(session->context, &dims, n_experts, &session->mesh));
}

placement_text session_layout_words(const tool_session *session)
{
    placement_text line;
    ringmoe_mesh_dims dims = ringmoe_mesh_get_dims(session->mesh);
    int threads = ringmoe_context_threads(session->context);
    int used = snprintf(line.text, sizeof line.text, "%s x %d thread%s",
                        placement_ranks(&dims).text, threads, threads > 1 ? "s" : "");
    if (session->n_nodes > 1)
        snprintf(line.text + used, sizeof line.text - (size_t)used, " on %d nodes",
                 session->n_nodes);
    return line;
}

int session_execution(const tool_session *session, const tool_execution *execution,
                      ringmoe_train_settings *train)
{
    char text[256];
    if (!execution_check(execution, text, sizeof text))
        return session_fail(session, EXIT_USAGE, "%s", text);
    execution_apply(execution, train);
    return EXIT_DONE;
}

void session_share(const tool_session *session, void *data, int bytes)
{
    MPI_Request request;
    if (session->size == 1) return;
    int started = MPI_Ibcast(data, bytes, MPI_BYTE, 0, MPI_COMM_WORLD, &request);
    wait_yielding(session, "news from rank 0", started, &request);
}

static void wait_asleep(const tool_session *session, int started, MPI_Request *request)
{
    const struct timespec nap = {.tv_nsec = 1000000};
    int done = 0;
    session_must(session, started);
    while (!done) {
        session_must(session, MPI_Test(request, &done, MPI_STATUS_IGNORE));
        if (!done) nanosleep(&nap, NULL);
    }
}

void session_share_asleep(const tool_session *session, void *data, int bytes)
{
    MPI_Request request;
    if (session->size == 1) return;
    int started = MPI_Ibcast(data, bytes, MPI_BYTE, 0, MPI_COMM_WORLD, &request);
    wait_asleep(session, started, &request);
}

void session_meet(const tool_session *session)
{
    MPI_Request request;
    if (session->size == 1 || session->is_watched) return;
    int started = MPI_Ibarrier(MPI_COMM_WORLD, &request);
    wait_asleep(session, started, &request);
}

double session_largest(const tool_session *session, double value)
{
    double largest = value;
    reduce(session, "a maximum over all ranks", MPI_MAX, MPI_DOUBLE, &value, &largest);
    return largest;
}

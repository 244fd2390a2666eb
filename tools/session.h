/* SPDX-License-Identifier: MIT
 *
 * One start of the command on all its ranks: MPI, the library's context and mesh, and errors
 * that come out as one line from one rank whichever rank met them.
 */
#ifndef TOOLS_SESSION_H
#define TOOLS_SESSION_H

#include <ringmoe.h>

#include <stdbool.h>

#include "placement.h"

/* Beside them EXIT_STUCK of watchdog.h. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_PREEMPTED = 85 };

typedef struct tool_session {
    const char *program; /* as it was started, for lines a user may copy */
    const char *command; /* "train": how error lines begin */
    int rank, size;
    int node_size;            /* ranks that share this node's memory */
    int n_nodes;              /* of all ranks */
    double cpu_share;         /* cpus this rank has for itself; 0: unknown */
    int thread_level;         /* MPI's, as provided */
    bool is_watched;          /* by the watchdog of a context */
    char line[1024];          /* what the library said before there was a context */
    ringmoe_context *context; /* after session_open */
    ringmoe_mesh *mesh;       /* after session_layout */
} tool_session;

/* After MPI_Init_thread. */
void session_begin(tool_session *session, const char *program, int thread_level);
void session_end(tool_session *session);

/* Of a call between the ranks of the command: an error of MPI leaves them nothing to agree by,
 * so it ends the job after a line. */
void session_must(const tool_session *session, int code);

/* Parses the options on every rank; prints the help or the error on rank 0. False: the command
 * ends now with *exit_status. */
bool session_parse(tool_session *session, const option_set *set, int argc, char **argv,
                   void *values, option_result *result, int *exit_status);

/* An error every rank sees alike: rank 0 prints "ringmoe <command>: <text>". Returns `status`.
 */
int session_fail(const tool_session *session, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Agrees on failures. Collective; `status` 0 and any text: all is well on this rank. The lowest
 * rank with another status prints its text; every rank returns that rank's status. */
int session_settle(const tool_session *session, int status, const char *text);
/* The same for a status of the library: ARGUMENT and LAYOUT end with 2, the others with 1. */
int session_check(const tool_session *session, ringmoe_status status);

/* Prints a result, which it takes over, on rank 0. Returns an exit status. */
int session_print_json(const tool_session *session, json_t *result);

/* What the session's context is made with, for a context of a command's own. */
void session_context_settings(tool_session *session, const tool_placement *placement,
                              ringmoe_context_settings *settings);
/* Opens the context; then the mesh. Both return an exit status. */
int session_open(tool_session *session, const tool_placement *placement);
int session_layout(tool_session *session, const tool_placement *placement, int n_experts);
/* Refuses an unknown schedule, else takes the execution into `train`. Returns an exit status.
 */
int session_execution(const tool_session *session, const tool_execution *execution,
                      ringmoe_train_settings *train);

/* "2 pipeline x 2 data ranks x 1 thread on 2 nodes": the layout as a header says it. */
placement_text session_layout_words(const tool_session *session);

/* Rank 0's value on every rank, waiting without spinning. */
void session_share(const tool_session *session, void *data, int bytes);
/* The same where rank 0 may take long: the others sleep. */
void session_share_asleep(const tool_session *session, void *data, int bytes);
/* The bits that are set on any rank, on every rank. */
int session_union(const tool_session *session, int flags);
/* After session_end: all ranks have come here. The end of a context with a watchdog has waited
 * for them, or has seen that some never come. */
void session_meet(const tool_session *session);
/* The largest over all ranks, on every rank. */
double session_largest(const tool_session *session, double value);

/* Threads of a rank if nobody says: the cpus it has for itself, at least 1. */
int session_default_threads(const tool_session *session);

#endif

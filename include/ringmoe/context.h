/* SPDX-License-Identifier: MIT
 *
 * The context: a communicator, a number of threads, a kernel level, and where messages go.
 * Everything else in the library is made from a context. Two contexts of one program share
 * nothing and may work at the same time in different threads (with MPI_THREAD_MULTIPLE) or on
 * different sub-communicators.
 *
 * The caller's duties: handles are not NULL except where a function says so (a NULL handle
 * leads to no context, so at best ARGUMENT comes back without a line of text), and all ranks of
 * a collective function call the same one. Ranks that mix up steps, layers, microbatches or
 * directions within the exchanges of tokens are told so (MISMATCH); different collective
 * functions, such as a forward pass on one rank and a reduction on another, may wait for ever.
 *
 * With watchdog_seconds the context has a watchdog: a thread on each rank that makes no MPI
 * call and talks to those of the neighbouring ranks over TCP connections of its own. It raises
 * an alarm when a rank's process ends before the context is destroyed, when a rank has not been
 * heard of for the limit (stopped, or cut off), when all ranks wait in calls of the library and
 * none has completed anything for the limit, or when a rank computes within a pass (forward,
 * backward, the function of a pipeline's stage, the optimizer) without coming to another layer
 * or wait for five limits and for twenty times as long as ever before. Slow work raises none;
 * outside of passes a rank may take as long as it likes: where others wait for it and nothing
 * has been completed for five limits, rank 0's log names it. What comes before the context is
 * created and after it is destroyed is not watched. Where ranks cannot connect, the log says
 * so, and a rank raises an alarm when it has waited for ten limits.
 *
 * Some MPI libraries report an error of a message to the error handler of MPI_COMM_WORLD, which
 * by default ends the process: a program that wants statuses instead sets MPI_ERRORS_RETURN on
 * MPI_COMM_WORLD after MPI_Init.
 *
 * The library never calls MPI_Init or MPI_Finalize, prints, exits, or changes signal handlers,
 * floating-point modes or the process's OpenMP settings.
 */
#ifndef RINGMOE_CONTEXT_H
#define RINGMOE_CONTEXT_H

#include <mpi.h>
#include <ringmoe/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ringmoe_context ringmoe_context;

typedef enum ringmoe_log_level {
    RINGMOE_LOG_DEBUG = 0,
    RINGMOE_LOG_INFO = 1,
    RINGMOE_LOG_WARNING = 2,
} ringmoe_log_level;

/** Receives one line without a newline. Called on the rank it concerns, from the calling
 * thread; with a watchdog also from a thread of the watchdog's, where it must call neither MPI
 * nor the library. */
typedef void (*ringmoe_log_function)(void *user, ringmoe_log_level level, const char *line);

/** How tokens get from rank to rank. */
typedef enum ringmoe_exchange {
    RINGMOE_EXCHANGE_AUTO = 0,     /**< through shared memory where there is enough of it */
    RINGMOE_EXCHANGE_MESSAGES = 1, /**< by messages in any case, as between nodes */
    /** As AUTO, but a token that goes to several ranks of another node travels there once, to
     * one of them, which lets the others read it and sends back one sum. For links that are
     * slow beside the work. The ranks of a node must be neighbours on the expert axis; where
     * shared memory is too small tokens travel as if this had not been asked for. */
    RINGMOE_EXCHANGE_TWO_LEVEL = 2,
} ringmoe_exchange;

/** Whether experts compute while tokens of other ranks still travel. */
typedef enum ringmoe_overlap {
    RINGMOE_OVERLAP_AUTO = 0, /**< where some of them come from other nodes */
    RINGMOE_OVERLAP_ON = 1,   /**< wherever they come by messages */
    RINGMOE_OVERLAP_OFF = 2,  /**< not: all tokens of a microbatch at once */
} ringmoe_overlap;

/** What the watchdog has to say when nothing goes on any more. The texts live during the call.
 */
typedef struct ringmoe_alarm {
    int rank;       /**< the one at fault; if all ranks wait: the one that began first */
    int is_witness; /**< 1 where it was noticed, 0 where another rank passed it on */
    int is_over;    /**< 0 in the first call; 1 in the second, about a second later, when all
                         ranks have reported: time to end the process */
    const char *verdict; /**< one line: what is wrong, the rank, and what it did last */
    const char *here;    /**< one line: what this rank does, for whom it waits and since when */
    const char *past;    /**< its last operations, the newest first, one a line; may be "" */
} ringmoe_alarm;

/** Receives an alarm on each rank that can still be reached, in a thread of the watchdog's: it
 * must call neither MPI nor the library. */
typedef void (*ringmoe_alarm_function)(void *user, const ringmoe_alarm *alarm);

typedef struct ringmoe_context_settings {
    int n_threads; /**< OpenMP threads of this rank; 0 (default): omp_get_max_threads() */
    const char *kernel_level;    /**< "scalar"; "avx2", "avx512", "avx512bf16", "amx"; "neon",
                                      "neonbf16"; NULL (default): RINGMOE_CPU of the environment if
                                      set, else the best this CPU has, or the lowest that another
                                      rank uses */
    ringmoe_precision precision; /**< operands of products; default fp32 */
    ringmoe_log_function log;    /**< default NULL: silence */
    void *log_user;              /**< handed to `log` */
    int ranks_per_node; /**< 0 (default): ranks that share memory are a node; else so many ranks
                             in a row are taken for one, to try out what happens between nodes.
                             The same on all ranks */
    ringmoe_exchange exchange; /**< default automatic; the same on all ranks */
    ringmoe_overlap overlap;   /**< default automatic; the same on all ranks. The results do not
                                    depend on these two */
    /** 0 (default): no watchdog; else the limit after which an alarm is raised, 0.1 to 1000000.
     * It must be longer than any single message takes. The same on all ranks */
    double watchdog_seconds;
    ringmoe_alarm_function alarm; /**< NULL (default): to `log`, from the watchdog's thread */
    void *alarm_user;             /**< handed to `alarm` */
} ringmoe_context_settings;

/** Fills every field with its default. Local. */
RINGMOE_API void ringmoe_context_settings_default(ringmoe_context_settings *settings);

/**
 * Makes a context over a communicator, which is duplicated once (the caller keeps his own).
 *
 * Collective over `communicator`.
 *   communicator  in   an intracommunicator; MPI must be initialised
 *   settings      in   NULL: the defaults. precision, exchange, overlap, ranks_per_node and
 *                      watchdog_seconds must be the same on all ranks
 *   context       out  the caller destroys it with ringmoe_context_destroy; NULL on failure:
 *                      the line that says why then goes to settings->log as a warning
 * Returns RINGMOE_OK; ARGUMENT (unknown or unavailable kernel level, negative threads or ranks
 * a node, an unknown precision, exchange or overlap, watchdog_seconds out of range, an
 * intercommunicator or MPI_COMM_NULL); STATE (MPI is not initialised); MISMATCH (precision,
 * exchange, overlap, ranks_per_node or watchdog_seconds differ); MEMORY; MPI. A failure on one
 * rank is returned on all.
 */
RINGMOE_API ringmoe_status ringmoe_context_create(MPI_Comm communicator,
                                                  const ringmoe_context_settings *settings,
                                                  ringmoe_context **context);

/** As ringmoe_context_create, for Fortran: the communicator's integer handle. */
RINGMOE_API ringmoe_status ringmoe_context_create_f(MPI_Fint communicator,
                                                    const ringmoe_context_settings *settings,
                                                    ringmoe_context **context);

/** Frees a context after everything made from it. Collective. NULL or *context NULL: nothing.
 * With a watchdog it waits for all ranks, unless an alarm has been raised. */
RINGMOE_API void ringmoe_context_destroy(ringmoe_context **context);

/**
 * What the last failed call said: one line, with the values and what to do. Local.
 * The string belongs to the context and lives until its next failing call; "" before any.
 */
RINGMOE_API const char *ringmoe_context_error(const ringmoe_context *context);

/** What this rank has communicated since the context was made or the times were reset. */
typedef struct ringmoe_comm_times {
    double exchange;             /**< seconds in moving tokens and gradients */
    double wait;                 /**< seconds in waiting for slower ranks */
    int64_t bytes_own;           /**< of tokens, there and back: to experts of this rank, */
    int64_t bytes_within_node;   /**< to those of other ranks of the node, */
    int64_t bytes_between_nodes; /**< and to those of other nodes */
    int64_t bytes_copies;        /**< of experts' weights and gradients, for copies */
    double copies;               /**< seconds of `exchange` in moving those, */
    double tokens;               /**< and in moving tokens and their gradients alone */
    double experts;              /**< seconds in experts' products, forward and backward */
    int64_t expert_rows;         /**< rows that went through experts forward and backward */
} ringmoe_comm_times;

/** Local. */
RINGMOE_API void ringmoe_context_times(const ringmoe_context *context,
                                       ringmoe_comm_times *times);
/** Sets them to 0. Local. */
RINGMOE_API void ringmoe_context_reset_times(ringmoe_context *context);

/**
 * Tells the watchdog that this rank waits for others in a call of the program's own, so that it
 * is not taken for computing. Local; without a watchdog nothing happens.
 *   what  in   names the wait in reports: 47 characters at most, the rest is cut off
 * The two come in pairs and the library is not called between them.
 */
RINGMOE_API void ringmoe_context_wait_begin(ringmoe_context *context, const char *what);
RINGMOE_API void ringmoe_context_wait_end(ringmoe_context *context);

/** This process's rank in the context's communicator, and its size. Local. */
RINGMOE_API int ringmoe_context_rank(const ringmoe_context *context);
RINGMOE_API int ringmoe_context_size(const ringmoe_context *context);
/** Threads in use and the name of the kernel level in use. Local. */
RINGMOE_API int ringmoe_context_threads(const ringmoe_context *context);
RINGMOE_API const char *ringmoe_context_kernel_level(const ringmoe_context *context);

#ifdef __cplusplus
}
#endif
#endif

/* SPDX-License-Identifier: MIT
 *
 * Where a rank is: the place in the program that its next waits belong to, which the token
 * exchange compares over ranks and the watchdog reports, and the transfers that go on while
 * something else is computed.
 *
 * A background transfer is advanced whenever the rank waits (rm_wait), and between the tasks of
 * a product by the thread that called it (rm_compute's poll), and when the rank comes to
 * another place. No thread of its own, and no MPI call from any other thread than the one that
 * called the library.
 */
#ifndef RM_PROGRESS_H
#define RM_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

/* Operations by name: a row here, and its text in progress.c follows. */
#define RM_OPERATION_LIST(X)                                                                   \
    X(RM_OPERATION_NONE, "no operation")                                                       \
    X(RM_OPERATION_DISPATCH, "dispatch")                                                       \
    X(RM_OPERATION_DISPATCH_GRADIENT, "dispatch of gradients")                                 \
    X(RM_OPERATION_RECOMPUTE, "recomputation")                                                 \
    X(RM_OPERATION_EVALUATE, "evaluation")                                                     \
    X(RM_OPERATION_GENERATE, "generation")                                                     \
    X(RM_OPERATION_SHADOW, "copying of experts")                                               \
    X(RM_OPERATION_FORWARD, "forward")                                                         \
    X(RM_OPERATION_BACKWARD, "backward")                                                       \
    X(RM_OPERATION_BACKWARD_INPUT, "backward of inputs")                                       \
    X(RM_OPERATION_BACKWARD_WEIGHT, "backward of weights")                                     \
    X(RM_OPERATION_REDUCE, "reduction of gradients")                                           \
    X(RM_OPERATION_OPTIMIZER, "optimizer")                                                     \
    X(RM_OPERATION_AGREE, "agreement")                                                         \
    X(RM_OPERATION_CHECKPOINT, "checkpoint")

typedef enum rm_operation {
#define RM_OPERATION_ENUM(name, text) name,
    RM_OPERATION_LIST(RM_OPERATION_ENUM)
#undef RM_OPERATION_ENUM
} rm_operation;

/* Never NULL. */
const char *rm_operation_name(rm_operation operation);

/* A place in the program. The microbatch is the rank's own count within the step; layer -1: not
 * in a layer. */
typedef struct rm_label {
    int64_t step;
    int32_t layer, microbatch;
    rm_operation operation;
} rm_label;

/* A transfer behind the computation. Embedded in what it belongs to, from start to done. */
typedef struct rm_background {
    /* Goes on as far as it can without waiting (so no rm_wait within) and sets `done` at the
     * end. has_threads: called outside parallel regions, so that threads may be used; else
     * between the tasks of a product, the others of which must not wait long for this one. */
    ringmoe_status (*advance)(struct rm_background *self, bool has_threads, rm_error *error);
    bool done;
    ringmoe_status status; /* of the first advance that failed; the transfer is done then */
    rm_error error;
    struct rm_background *next;
} rm_background;

typedef struct rm_progress {
    rm_label here;
    _Atomic int64_t n_events; /* grows with everything that is completed */
    rm_background *background;
    bool is_polling;
    int32_t round; /* grows with each set of messages that was given up (comm/mail.h) */
    struct rm_history *history; /* for the watchdog; NULL: nobody looks */
} rm_progress;

/* A NULL progress, of an axis before its context, is allowed in at, tick and poll. */

/* The place that the next waits belong to. Outside parallel regions: advances what goes on in
 * the background. */
void rm_progress_at(rm_progress *progress, rm_label label);
/* Back to the program that called the library, in which nothing is known of where the rank is.
 */
void rm_progress_leave(rm_progress *progress);
/* Something was completed. */
void rm_progress_tick(rm_progress *progress);
/* Advances all background transfers. */
void rm_progress_poll(rm_progress *progress, bool has_threads);

/* Adds a transfer, with `advance` set, and advances it once. */
void rm_background_start(rm_progress *progress, rm_background *transfer);
/* Takes it off the list, done or not: its owner gives up its requests. */
void rm_background_remove(rm_progress *progress, rm_background *transfer);

#endif

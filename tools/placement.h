/* SPDX-License-Identifier: MIT
 *
 * How a command is spread over the machine, as most commands take it: the four axes, threads
 * and precision; how training does its work on them; and both in words.
 */
#ifndef TOOLS_PLACEMENT_H
#define TOOLS_PLACEMENT_H

#include <ringmoe.h>

#include "options.h"
#include "watchdog.h"

typedef struct tool_placement {
    int64_t threads, pipeline, data, expert, tensor; /* 0: chosen */
    double watchdog;                                 /* seconds */
    int precision;
    int exchange; /* a ringmoe_exchange */
} tool_placement;

/* What a command's options start with. */
#define PLACEMENT_DEFAULT .placement.watchdog = WATCHDOG_SECONDS

/* The words of --exchange, in the order of ringmoe_exchange. */
#define EXCHANGE_WORDS "auto|messages|two-level"

/* The words of --shadow, in the order of ringmoe_shadow. */
#define SHADOW_WORDS "off|auto|on"

/* Their rows, for a settings struct `type` with a member tool_placement `placement`. */
#define PLACEMENT_ROWS(type)                                                                   \
    OPTION_ROW(type, placement.precision, CHOICE, "precision", "fp32|bf16",                    \
               "operands of the products"),                                                    \
        OPTION_ROW(type, placement.threads, INTEGER, "threads", "N", "threads of a rank",      \
                   .high = 4096, .otherwise = "this node's cpus shared out",                   \
                   .forgotten = true),                                                         \
        OPTION_ROW(type, placement.pipeline, INTEGER, "pp", "N",                               \
                   "ranks of the pipeline that the layers are cut over", .high = 1 << 20,      \
                   .otherwise = "1", .forgotten = true),                                       \
        OPTION_ROW(type, placement.data, INTEGER, "dp", "N", "replicas of the experts",        \
                   .high = 1 << 20, .otherwise = "what the others leave", .forgotten = true),  \
        OPTION_ROW(type, placement.expert, INTEGER, "ep", "N",                                 \
                   "ranks the experts are split over", .high = 1 << 20,                        \
                   .otherwise = "all that fit", .forgotten = true),                            \
        OPTION_ROW(type, placement.tensor, INTEGER, "tp", "N",                                 \
                   "ranks that share each expert, the heads and the vocabulary",               \
                   .high = 1 << 20, .otherwise = "1", .forgotten = true),                      \
        OPTION_ROW(type, placement.exchange, CHOICE, "exchange", EXCHANGE_WORDS,               \
                   "how tokens get to experts; two-level: once to each node",                  \
                   .forgotten = true),                                                         \
        WATCHDOG_ROW(type)

#define WATCHDOG_ROW(type)                                                                     \
    OPTION_ROW(type, placement.watchdog, NUMBER, "watchdog", "SECONDS",                        \
               "without progress or a sign of life; status 75 then; 0: off", .high = 1e6,      \
               .forgotten = true)

/* How training does its work on a layout. The answer does not depend on it. */
typedef struct tool_execution {
    const char *schedule; /* NULL: chosen */
    int64_t chunks;       /* 0: chosen */
    int recompute;        /* a ringmoe_recompute */
    int shadow;           /* a ringmoe_shadow */
    int reproducible;     /* this one has a part in the answer's bits */
} tool_execution;

/* The words of --recompute, in the order of ringmoe_recompute. */
#define RECOMPUTE_WORDS "none|selective|full"

/* Their rows, for a settings struct with a member tool_execution `execution`. */
#define EXECUTION_ROWS(type)                                                                   \
    OPTION_ROW(type, execution.schedule, TEXT, "schedule", "NAME",                             \
               "of the pipeline: gpipe, 1f1b, interleaved or zb-h1", .otherwise = "chosen",    \
               .forgotten = true),                                                             \
        OPTION_ROW(type, execution.chunks, INTEGER, "chunks", "N",                             \
                   "of the layers that a rank has", .high = 64, .otherwise = "chosen",         \
                   .forgotten = true),                                                         \
        OPTION_ROW(type, execution.recompute, CHOICE, "recompute", RECOMPUTE_WORDS,            \
                   "activations made again, not kept; full is selective with zb-h1",           \
                   .forgotten = true),                                                         \
        OPTION_ROW(type, execution.shadow, CHOICE, "shadow", SHADOW_WORDS,                     \
                   "copies of hot experts on all expert ranks", .forgotten = true),            \
        OPTION_ROW(type, execution.reproducible, FLAG, "reproducible", NULL,                   \
                   "the same bits for any --tp too; costs a little time")

ringmoe_mesh_dims placement_dims(const tool_placement *placement);

/* False with one line in `text` for a schedule that there is not; the place of a mistyped word
 * is told. */
bool execution_check(const tool_execution *execution, char *text, size_t size);
/* Takes a checked execution into the settings of a training. */
void execution_apply(const tool_execution *execution, ringmoe_train_settings *train);

/* What a plan of the memory needs to know of a training. */
ringmoe_batch_shape execution_batch(const ringmoe_train_settings *train);

/* Texts returned by value, so that they fit into a printf. */
typedef struct placement_text {
    char text[128];
} placement_text;

/* "2 pipeline x 2 data x 2 expert ranks", "1 rank": the axes of more than one rank. */
placement_text placement_ranks(const ringmoe_mesh_dims *dims);
/* "schedule zb-h1, 2 chunks a rank, recompute full, reproducible": what is worth saying, or "".
 */
placement_text execution_words(const ringmoe_mesh_dims *dims,
                               const ringmoe_train_settings *train);
/* "none", "selective", "full". */
const char *recompute_name(int64_t recompute);
/* "off", "auto", "on". */
const char *shadow_name(int64_t shadow);

#endif

/* SPDX-License-Identifier: MIT
 *
 * `ringmoe info`: without --model the machine and the settings in force, with it what training
 * that model would take.
 */
#include "info.h"

#include "command.h"

#define ROW(member, ...) OPTION_ROW(info_options, member, __VA_ARGS__)

static const option_row rows[] = {
    ROW(model, TEXT, "model", "NAME", "tiny, small, base, config.json or folder",
        .otherwise = "none"),
    ROW(train.seq_len, INTEGER, "seq-len", "N", "tokens of a sequence", .low = 1, .high = 1e9),
    ROW(train.microbatch, INTEGER, "microbatch", "N", "sequences of a microbatch", .low = 1,
        .high = 1e9),
    ROW(train.global_batch, INTEGER, "global-batch", "N", "sequences of a step, over all ranks",
        .low = 1, .high = 1e9),
    PLACEMENT_ROWS(info_options),
    EXECUTION_ROWS(info_options),
    ROW(json, FLAG, "json", NULL, "as JSON"),
};

static const option_set set = {
    .usage = "ringmoe info [--model NAME] [options]",
    .summary =
        "Tells what this machine is, which settings are in force, and which of them will\n"
        "hurt; with --model the parameters and the memory of training on each rank.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

int command_info(tool_session *session, int argc, char **argv)
{
    info_options options = {PLACEMENT_DEFAULT, .model = NULL};
    option_result given;
    int status;
    ringmoe_train_settings_default(&options.train);
    if (!session_parse(session, &set, argc, argv, &options, &given, &status)) return status;
    status = session_execution(session, &options.execution, &options.train);
    if (status) return status;
    status = session_open(session, &options.placement);
    if (status) return status;
    return options.model ? info_model(session, &options) : info_machine(session, &options);
}

/* SPDX-License-Identifier: MIT
 *
 * `ringmoe info`: the machine and the settings in force; with --model what training that model
 * would take; with a folder what lies in it.
 */
#include "info.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "run.h"

#define ROW(member, ...) OPTION_ROW(info_options, member, __VA_ARGS__)

static const option_row rows[] = {
    ROW(model, TEXT, "model", "NAME", "tiny, small, base, config.json, folder or .gguf",
        .otherwise = "none"),
    ROW(train.seq_len, INTEGER, "seq-len", "N", "tokens of a sequence", .low = 1, .high = 1e9),
    ROW(train.microbatch, INTEGER, "microbatch", "N", "sequences of a microbatch", .low = 1,
        .high = 1e9),
    ROW(train.global_batch, INTEGER, "global-batch", "N", "sequences of a step, over all ranks",
        .low = 1, .high = 1e9),
    PLACEMENT_ROWS(info_options),
    EXECUTION_ROWS(info_options),
    ROW(verify, FLAG, "verify", NULL, "of a checkpoint: read every byte of it and compare"),
    ROW(json, FLAG, "json", NULL, "as JSON"),
};

static const option_set set = {
    .usage = "ringmoe info [RUN | CHECKPOINT | MODEL] [options]",
    .summary =
        "Tells what this machine is, which settings are in force, and which of them will\n"
        "hurt; with --model, or of a model's folder or .gguf file, its family, sizes, tensors\n"
        "and tokenizer, and the memory of training on each rank. With the folder of a\n"
        "checkpoint, or of a run for its newest: step, model, files, position in the data,\n"
        "settings and the layout that wrote it; with --verify whether every byte is what was\n"
        "written.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .word = "FOLDER",
    .word_place = offsetof(info_options, folder),
};

/* What is neither a model, a run nor a checkpoint is refused before a manifest is looked for.
 */
static int refuse_other_folder(const tool_session *session, const char *path)
{
    char name[SOURCE_PATH + 16];
    if (access(path, F_OK) != 0)
        return session_fail(session, EXIT_FAILURE, "%s: %s", path, strerror(errno));
    snprintf(name, sizeof name, "%s/config.json", path);
    if (run_exists(path) || access(name, F_OK) == 0) return 0;
    snprintf(name, sizeof name, "%s/manifest.json", path);
    if (access(name, F_OK) == 0) return 0;
    return session_fail(
        session, EXIT_FAILURE,
        "%s is no model, run or checkpoint: give a folder with a config.json, a "
        "run's folder or a .gguf (data info tells of tokenizers and token files)",
        path);
}

int command_info(tool_session *session, int argc, char **argv)
{
    info_options options = {PLACEMENT_DEFAULT, .model = NULL};
    option_result given;
    int status;
    ringmoe_train_settings_default(&options.train);
    if (!session_parse(session, &set, argc, argv, &options, &given, &status)) return status;
    if (options.folder && options.model)
        return session_fail(session, EXIT_USAGE, "%s and --model: give only one of them",
                            options.folder);
    if (options.verify && !options.folder)
        return session_fail(session, EXIT_USAGE,
                            "--verify: give the folder of a checkpoint or a run");
    status = session_execution(session, &options.execution, &options.train);
    if (status) return status;
    status = session_open(session, &options.placement);
    if (status) return status;
    if (options.folder && !options.verify && info_is_model(options.folder))
        options.model = options.folder;
    else if (options.folder) {
        status = refuse_other_folder(session, options.folder);
        return status ? status : info_checkpoint(session, &options);
    }
    return options.model ? info_model(session, &options) : info_machine(session, &options);
}

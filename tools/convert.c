/* SPDX-License-Identifier: MIT
 *
 * `ringmoe convert`: a model from one file format to another.
 */
#include "command.h"

#include "info.h"
#include "interrupt.h"
#include "progress.h"
#include "source.h"
#include "text.h"

typedef struct convert_options {
    const char *model, *out;
    int format, type, fused, no_tokenizer;
    int64_t upcycle, experts_per_token, seed, threads;
} convert_options;

#define ROW(member, ...) OPTION_ROW(convert_options, member, __VA_ARGS__)

static const option_row rows[] = {
    ROW(model, TEXT, "model", "PATH", "a Hugging Face folder, a run, or FILE.gguf"),
    ROW(format, CHOICE, "to", "hf|gguf",
        "a folder that transformers loads, or llama.cpp's file", .otherwise = "must be given"),
    ROW(out, TEXT, "out", "PATH", "the folder or file to make"),
    ROW(type, CHOICE, "type", "auto|fp32|bf16|q8_0|q4_0",
        "of matrices; q8_0, q4_0 with --to gguf", .otherwise = "the source's; K-quants fp32"),
    ROW(fused, FLAG, "fused", NULL, "--to hf: one tensor for all experts of a layer"),
    ROW(no_tokenizer, FLAG, "no-tokenizer", NULL, "the model alone"),
    ROW(upcycle, INTEGER, "upcycle", "E",
        "a dense llama or qwen3 model becomes one of E equal experts a layer", .high = 65536,
        .otherwise = "no experts"),
    ROW(experts_per_token, INTEGER, "experts-per-token", "K", "with --upcycle", .low = 1,
        .high = 65536),
    ROW(seed, INTEGER, "seed", "N", "of the new routers, with --upcycle", .low = -1e15,
        .high = 1e15),
    ROW(threads, INTEGER, "threads", "N", "OpenMP threads", .high = 4096,
        .otherwise = "cpus of the rank"),
};

static const option_set set = {
    .usage = "ringmoe convert --model PATH --to hf|gguf --out PATH [options]",
    .summary =
        "Writes a model in another file format or number type, with its tokenizer, a part at\n"
        "a time, so that models larger than memory are converted too. Nothing is overwritten.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

/* A bar, if there is a terminal. */
static int show(void *user, int64_t done, int64_t total)
{
    char line[96];
    snprintf(line, sizeof line, "%s of %s", text_bytes((double)done).text,
             text_bytes((double)total).text);
    progress_show(user, (double)done / (double)total, line);
    return interrupt_requested();
}

/* With the types, which may be others than the source's. */
static void print_outcome(tool_session *session, const char *out, double seconds)
{
    ringmoe_model_files files;
    printf("wrote %s in %s", out, text_duration(seconds).text);
    if (ringmoe_model_files_describe(session->context, out, &files) == RINGMOE_OK) {
        printf(": ");
        info_print_tensors(&files);
    } else {
        printf("\n");
    }
}

static int convert(tool_session *session, const convert_options *options, const char *model)
{
    ringmoe_convert_settings settings;
    progress bar;
    ringmoe_convert_settings_default(&settings);
    settings.format = (ringmoe_model_format)options->format;
    settings.type = (ringmoe_weights)options->type;
    settings.fused = options->fused;
    settings.upcycle_experts = (int)options->upcycle;
    settings.upcycle_experts_per_token = (int)options->experts_per_token;
    settings.seed = options->seed;
    settings.without_tokenizer = options->no_tokenizer;
    settings.progress = show;
    settings.progress_user = &bar;
    interrupt_watch();
    progress_begin(&bar, session->rank == 0 ? stderr : NULL, 0, 0, 0);
    int result = session_check(
        session, ringmoe_convert(session->context, model, options->out, &settings));
    progress_clear(&bar);
    if (!result && session->rank == 0)
        print_outcome(session, options->out, clock_seconds() - bar.started);
    return result;
}

int command_convert(tool_session *session, int argc, char **argv)
{
    char model[SOURCE_PATH];
    convert_options options = {.experts_per_token = 2};
    option_result given;
    int status;
    if (!session_parse(session, &set, argc, argv, &options, &given, &status)) return status;
    if (!options.model || !options.out)
        return session_fail(session, EXIT_USAGE, "no --%s: give %s",
                            options.model ? "out" : "model",
                            options.model ? "a folder or file to make" : "a model");
    if (!options_given(&set, &given, "to"))
        return session_fail(session, EXIT_USAGE, "no --to: give hf or gguf");
    tool_placement placement = {.threads = options.threads};
    status = session_open(session, &placement);
    if (!status) status = source_weights(session, options.model, model);
    return status ? status : convert(session, &options, model);
}

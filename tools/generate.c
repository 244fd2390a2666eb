/* SPDX-License-Identifier: MIT
 *
 * `ringmoe generate`: continues a prompt, byte by byte as they come.
 */
#include "command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "source.h"
#include "text.h"

typedef struct generate_options {
    tool_placement placement;
    ringmoe_generate_settings sampling;
    const char *model, *prompt, *prompt_file;
    int64_t top_k;
} generate_options;

#define ROW(member, ...) OPTION_ROW(generate_options, member, __VA_ARGS__)

static const option_row rows[] = {
    ROW(model, TEXT, "model", "FOLDER", "a run, a checkpoint, or a Hugging Face folder"),
    ROW(prompt, TEXT, "prompt", "TEXT", "what to continue", .otherwise = "an empty line"),
    ROW(prompt_file, TEXT, "prompt-file", "PATH", "or a file with it; - is the input"),
    ROW(sampling.max_new_tokens, INTEGER, "max-new", "N", "tokens to make", .low = 1,
        .high = 1e9),
    ROW(sampling.temperature, NUMBER, "temperature", "T", "0: the likeliest always",
        .high = 1e6),
    ROW(top_k, INTEGER, "top-k", "K", "of the K likeliest only; 0: of all", .high = 1e9),
    ROW(sampling.top_p, NUMBER, "top-p", "P", "of the smallest set with this probability",
        .high = 1),
    ROW(sampling.seed, INTEGER, "seed", "N", "another seed, another text", .low = -1e15,
        .high = 1e15),
    PLACEMENT_ROWS(generate_options),
};

static const option_set set = {
    .usage = "ringmoe generate --model FOLDER --prompt TEXT [options]",
    .summary =
        "Continues a prompt with a trained model. The prompt is read as bytes, and bytes\n"
        "come out; those that are not printable as \\xNN.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

enum { MAX_PROMPT = 1 << 20 };

/* Reads a whole prompt file; false with errno set. */
static bool read_prompt(const char *path, char *bytes, int *count)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (!file) return false;
    *count = (int)fread(bytes, 1, MAX_PROMPT, file);
    bool is_read = !ferror(file);
    if (file != stdin) fclose(file);
    return is_read;
}

/* Rank 0 has the prompt (only it has an input) and tells the others. */
static int find_prompt(tool_session *session, const generate_options *options, char *bytes,
                       int *count)
{
    char text[1024] = "";
    int status = EXIT_DONE;
    if (session->rank == 0 && options->prompt_file) {
        if (!read_prompt(options->prompt_file, bytes, count)) {
            snprintf(text, sizeof text, "--prompt-file %s: cannot read it: %s",
                     options->prompt_file, strerror(errno));
            status = EXIT_FAILED;
        } else if (*count == 0) {
            snprintf(text, sizeof text, "--prompt-file %s: is empty: give at least one byte",
                     options->prompt_file);
            status = EXIT_FAILED;
        }
    } else if (session->rank == 0) {
        const char *prompt = options->prompt ? options->prompt : "\n";
        *count = (int)strnlen(prompt, MAX_PROMPT);
        memcpy(bytes, prompt, (size_t)*count);
    }
    session_share(session, count, sizeof *count);
    session_share(session, bytes, *count);
    return session_settle(session, status, text);
}

static int print_token(void *user, int32_t token)
{
    text_stream *stream = user;
    if (!stream->out) return 0;
    text_stream_put(stream, token);
    return fflush(stream->out) != 0;
}

static int run(tool_session *session, const generate_options *options, ringmoe_model *model,
               const char *bytes, int count)
{
    text_stream stream;
    int32_t *tokens = malloc((size_t)count * sizeof *tokens);
    int status = session_settle(session, tokens ? EXIT_DONE : EXIT_FAILED,
                                "no memory for the prompt: give a shorter one");
    text_stream_begin(&stream, session->rank == 0 ? stdout : NULL);
    for (int i = 0; !status && i < count; i++) {
        tokens[i] = (unsigned char)bytes[i];
        print_token(&stream, tokens[i]);
    }
    if (!status)
        status =
            session_check(session, ringmoe_generate(model, tokens, count, &options->sampling,
                                                    print_token, &stream));
    if (stream.out) {
        text_stream_end(&stream);
        putchar('\n');
    }
    free(tokens);
    return status;
}

/* The longest call: the prompt at once, then one token at a time. */
static int generate(tool_session *session, const generate_options *options, const char *bytes,
                    int count)
{
    ringmoe_model *model = NULL;
    int status = session_open(session, &options->placement);
    if (!status)
        status = source_model(session, &options->placement, options->model, count, &model);
    if (!status && ringmoe_model_get_config(model)->vocab_size < 256)
        status =
            session_fail(session, EXIT_FAILED,
                         "--model %s: its vocabulary of %d has no bytes: not a model of text",
                         options->model, ringmoe_model_get_config(model)->vocab_size);
    if (!status) status = run(session, options, model, bytes, count);
    ringmoe_model_destroy(&model);
    return status;
}

int command_generate(tool_session *session, int argc, char **argv)
{
    generate_options options = {0};
    option_result given;
    int status, count = 0;
    ringmoe_generate_settings_default(&options.sampling);
    if (!session_parse(session, &set, argc, argv, &options, &given, &status)) return status;
    if (!options.model)
        return session_fail(session, EXIT_USAGE, "no --model: give a run or a model's folder");
    if (options.prompt && options.prompt_file)
        return session_fail(session, EXIT_USAGE,
                            "--prompt and --prompt-file: give only one of them");
    options.sampling.top_k = (int)options.top_k;
    char *bytes = malloc(MAX_PROMPT);
    status =
        session_settle(session, bytes ? EXIT_DONE : EXIT_FAILED, "no memory for the prompt");
    if (!status) status = find_prompt(session, &options, bytes, &count);
    if (!status) status = generate(session, &options, bytes, count);
    free(bytes);
    return status;
}

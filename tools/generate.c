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
    int reproducible;
} generate_options;

#define ROW(member, ...) OPTION_ROW(generate_options, member, __VA_ARGS__)

static const option_row rows[] = {
    ROW(model, TEXT, "model", "FOLDER", "a run, a checkpoint, or a Hugging Face folder"),
    ROW(prompt, TEXT, "prompt", "TEXT", "what to continue; or token ids",
        .otherwise = "an empty line"),
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
    ROW(reproducible, FLAG, "reproducible", NULL, "the same bits for any --tp"),
};

static const option_set set = {
    .usage = "ringmoe generate --model FOLDER --prompt TEXT [options]",
    .summary =
        "Continues a prompt with a trained model. The prompt is read as bytes, and bytes\n"
        "come out; those that are not printable as \\xNN. With a vocabulary above 256 the\n"
        "prompt is token ids parted by blanks, and ids come out. With --tp and without\n"
        "--reproducible sums are made in another order, which may change a token that is\n"
        "nearly as likely as another.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

enum { MAX_PROMPT = 1 << 20 };

/* Where tokens go: rank 0's stdout, as text or as numbers. */
typedef struct token_printer {
    FILE *out; /* NULL on the other ranks */
    bool are_bytes;
    text_stream stream;
    const char *separator; /* before the next number */
} token_printer;

/* Reads a prompt file; false with `text` set. */
static bool read_prompt(const char *path, char *bytes, int *count, char *text, size_t size)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    if (file) *count = (int)fread(bytes, 1, MAX_PROMPT + 1, file);
    bool is_read = file && !ferror(file);
    int problem = errno;
    if (file && file != stdin) fclose(file);
    if (!is_read)
        snprintf(text, size, "--prompt-file %s: cannot read it: %s", path, strerror(problem));
    else if (*count == 0)
        snprintf(text, size, "--prompt-file %s: is empty: give at least one byte", path);
    else if (*count > MAX_PROMPT)
        snprintf(text, size, "--prompt-file %s: is longer than %d bytes: give a shorter one",
                 path, MAX_PROMPT);
    return *text == '\0';
}

/* Rank 0 has the prompt (only it has an input) and tells the others. */
static int find_prompt(tool_session *session, const generate_options *options, char *bytes,
                       int *count)
{
    char text[1024] = "";
    int status = EXIT_DONE;
    if (session->rank == 0 && options->prompt_file) {
        if (!read_prompt(options->prompt_file, bytes, count, text, sizeof text)) {
            status = EXIT_FAILED;
            *count = 0;
        }
    } else if (session->rank == 0) {
        const char *prompt = options->prompt ? options->prompt : "\n";
        *count = (int)strnlen(prompt, MAX_PROMPT);
        memcpy(bytes, prompt, (size_t)*count);
    }
    session_share(session, count, sizeof *count);
    session_share(session, bytes, *count);
    bytes[*count] = '\0';
    return session_settle(session, status, text);
}

static int print_token(void *user, int text, int32_t token)
{
    token_printer *printer = user;
    if (!printer->out) return 0;
    if (printer->are_bytes) {
        text_stream_put(&printer->stream, token);
    } else {
        fprintf(printer->out, "%s%d", printer->separator, token);
        printer->separator = " ";
    }
    return fflush(printer->out) ? RINGMOE_ALL_STOP : RINGMOE_TEXT_GOES_ON;
}

/* "17 4 399" as tokens; how many they are, or -1 for anything else than ids of the model. */
static int64_t read_ids(const char *text, int vocab_size, int32_t *tokens)
{
    static const char blanks[] = " \t\r\n";
    int64_t count = 0;
    for (text += strspn(text, blanks); *text; text += strspn(text, blanks)) {
        char *end;
        long id = strtol(text, &end, 10);
        bool is_whole = end != text && (*end == '\0' || strchr(blanks, *end));
        if (!is_whole || id < 0 || id >= vocab_size) return -1;
        tokens[count++] = (int32_t)id;
        text = end;
    }
    return count ? count : -1;
}

/* The prompt as the model's tokens; every rank has the same. */
static int take_tokens(tool_session *session, int vocab_size, const char *bytes, int count,
                       int32_t *tokens, int64_t *n_tokens)
{
    *n_tokens = count;
    if (vocab_size > TEXT_VOCABULARY) {
        *n_tokens = read_ids(bytes, vocab_size, tokens);
        if (*n_tokens > 0) return EXIT_DONE;
        return session_fail(session, EXIT_USAGE,
                            "this model's tokens are not bytes: give the prompt as token ids "
                            "from 0 to %d, parted by blanks",
                            vocab_size - 1);
    }
    for (int i = 0; i < count; i++) tokens[i] = (unsigned char)bytes[i];
    return EXIT_DONE;
}

static int continue_tokens(tool_session *session, const generate_options *options,
                           ringmoe_model *model, const int32_t *tokens, int64_t n_tokens)
{
    token_printer printer = {
        .out = session->rank == 0 ? stdout : NULL,
        .are_bytes = ringmoe_model_get_config(model)->vocab_size <= TEXT_VOCABULARY,
        .separator = "",
    };
    text_stream_begin(&printer.stream, printer.out);
    for (int64_t i = 0; i < n_tokens; i++) print_token(&printer, 0, tokens[i]);
    ringmoe_prompt prompt = {.tokens = tokens, .n_tokens = n_tokens};
    int status = session_check(session, ringmoe_generate(model, &prompt, 1, &options->sampling,
                                                         print_token, &printer, NULL, NULL));
    if (printer.out) {
        text_stream_end(&printer.stream);
        putchar('\n');
    }
    return status;
}

static int run(tool_session *session, const generate_options *options, ringmoe_model *model,
               const char *bytes, int count)
{
    int vocab_size = ringmoe_model_get_config(model)->vocab_size;
    int64_t n_tokens = 0;
    if (vocab_size < TEXT_VOCABULARY)
        return session_fail(
            session, EXIT_FAILED,
            "--model %s: its vocabulary of %d has no bytes: not a model of text",
            options->model, vocab_size);
    int32_t *tokens = malloc((size_t)count * sizeof *tokens);
    int status = session_settle(session, tokens ? EXIT_DONE : EXIT_FAILED,
                                "no memory for the prompt: give a shorter one");
    if (!status) status = take_tokens(session, vocab_size, bytes, count, tokens, &n_tokens);
    if (!status) status = continue_tokens(session, options, model, tokens, n_tokens);
    free(tokens);
    return status;
}

/* The longest call: the prompt at once, then one token at a time. */
static int generate(tool_session *session, const generate_options *options, const char *bytes,
                    int count)
{
    ringmoe_model *model = NULL;
    ringmoe_load_settings load;
    ringmoe_load_settings_default(&load);
    load.reproducible = options->reproducible;
    int status = session_open(session, &options->placement);
    if (!status)
        status = source_model(session, &options->placement, options->model, &load, &model);
    if (!status) status = run(session, options, model, bytes, count);
    ringmoe_model_destroy(&model);
    return status;
}

int command_generate(tool_session *session, int argc, char **argv)
{
    generate_options options = {PLACEMENT_DEFAULT};
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
    char *bytes = malloc(MAX_PROMPT + 1);
    status =
        session_settle(session, bytes ? EXIT_DONE : EXIT_FAILED, "no memory for the prompt");
    if (!status) status = find_prompt(session, &options, bytes, &count);
    if (!status) status = generate(session, &options, bytes, count);
    free(bytes);
    return status;
}

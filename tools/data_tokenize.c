/* SPDX-License-Identifier: MIT
 *
 * `ringmoe data tokenize`: texts become a token file.
 */
#include <string.h>

#include "data.h"
#include "interrupt.h"
#include "progress.h"
#include "text.h"

/* The words of the choice, in the order of the formats below. */
#define LAYOUT_WORDS "auto|u16|u32|llmc|megatron"
static const ringmoe_token_format layouts[] = {RINGMOE_TOKENS_AUTO, RINGMOE_TOKENS_U16,
                                               RINGMOE_TOKENS_U32, RINGMOE_TOKENS_LLMC,
                                               RINGMOE_TOKENS_MEGATRON};

typedef struct tokenize_options {
    tool_placement placement;
    option_texts texts;
    const char *tokenizer, *out, *key, *end;
    int documents, layout, frame, plain, json;
} tokenize_options;

#define ROW(member, ...) OPTION_ROW(tokenize_options, member, __VA_ARGS__)

static const option_row rows[] = {
    DATA_TEXTS_ROW(tokenize_options),
    ROW(tokenizer, TEXT, "tokenizer", "PATH", "a tokenizer.json, its folder, or a .gguf",
        .otherwise = "none"),
    ROW(out, TEXT, "out", "FILE", "the token file", .otherwise = "none"),
    ROW(layout, CHOICE, "layout", LAYOUT_WORDS, "of the file; auto: nothing but ids"),
    DATA_DOCUMENTS_ROWS(tokenize_options),
    ROW(end, TEXT, "end", "TOKEN", "token behind each document; none: no token",
        .otherwise = "the tokenizer's end of text"),
    ROW(frame, FLAG, "frame", NULL, "what the tokenizer puts around a text, such as <s>"),
    ROW(plain, FLAG, "plain", NULL, "special tokens that are spelled in a text are text"),
    ROW(placement.threads, INTEGER, "threads", "N", "that share the work", .high = 4096,
        .otherwise = "this node's cpus"),
    ROW(json, FLAG, "json", NULL, "the result as JSON"),
};

static const option_set set = {
    .usage = "ringmoe data tokenize --tokenizer PATH --text PATH --out FILE [options]",
    .summary =
        "Writes the tokens of texts to a file that `ringmoe train --data` reads. u16 and\n"
        "u32 are nothing but ids, as nanoGPT has them, in FILE.bin or FILE.u16 and in "
        "FILE.u32;\n"
        "llmc has llm.c's header; megatron makes FILE.bin and FILE.idx. The file does not "
        "depend\n"
        "on --threads.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

/* What the line shows. */
typedef struct tokenize_view {
    progress bar;
    double start;
    ringmoe_tokenize_result result;
} tokenize_view;

static double rate(double bytes, double seconds)
{
    return bytes / (seconds > 1e-9 ? seconds : 1e-9);
}

static int show_progress(void *user, double done)
{
    tokenize_view *view = user;
    char text[64];
    double per_second = rate((double)view->result.bytes, clock_seconds() - view->start);
    snprintf(text, sizeof text, "tokenizing, %s/s", text_bytes(per_second).text);
    progress_show(&view->bar, done, text);
    return interrupt_requested();
}

/* The id of --end; -1: none. */
static int find_end(tool_session *session, const tokenize_options *options,
                    const ringmoe_tokenizer *tokenizer, int *end)
{
    *end = ringmoe_tokenizer_eos(tokenizer);
    if (!options->end) return EXIT_DONE;
    *end = -1;
    if (strcmp(options->end, "none") == 0) return EXIT_DONE;
    *end = ringmoe_tokenizer_find(tokenizer, options->end);
    if (*end >= 0) return EXIT_DONE;
    return session_fail(session, EXIT_USAGE, "--end %.80s: the tokenizer has no such token",
                        options->end);
}

/* Whether a reader of the file cannot tell where a document ends, and nobody said so. */
static bool runs_together(const tokenize_options *options,
                          const ringmoe_tokenize_settings *settings,
                          const ringmoe_tokenize_result *result)
{
    return result->documents > 1 && settings->end < 0 && !options->end &&
           settings->format != RINGMOE_TOKENS_MEGATRON;
}

static int report(tool_session *session, const tokenize_options *options,
                  const ringmoe_tokenize_settings *settings,
                  const ringmoe_tokenize_result *result, double seconds)
{
    double bytes = (double)result->bytes, tokens = (double)result->tokens;
    if (options->json)
        return session_print_json(session,
                                  json_pack("{s:s, s:I, s:I, s:I, s:f}", "file", options->out,
                                            "documents", (json_int_t)result->documents,
                                            "tokens", (json_int_t)result->tokens, "bytes",
                                            (json_int_t)result->bytes, "seconds", seconds));
    printf("%s: %s tokens of %s document%s, %s of text (%.2f bytes a token) in %s, %s/s\n",
           options->out, text_count(tokens).text, text_count((double)result->documents).text,
           result->documents == 1 ? "" : "s", text_bytes(bytes).text, bytes / tokens,
           text_duration(seconds).text, text_bytes(rate(bytes, seconds)).text);
    if (runs_together(options, settings, result))
        printf("no token ends a document, since the tokenizer names none: --end TOKEN does\n");
    return EXIT_DONE;
}

static int tokenize(tool_session *session, const tokenize_options *options,
                    ringmoe_tokenizer *tokenizer)
{
    ringmoe_tokenize_settings settings;
    tokenize_view view = {.start = clock_seconds()};
    ringmoe_tokenize_settings_default(&settings);
    settings.documents = (ringmoe_documents)options->documents;
    settings.format = layouts[options->layout];
    settings.key = options->key;
    if (options->frame) settings.flags |= RINGMOE_ENCODE_FRAME;
    if (options->plain) settings.flags |= RINGMOE_ENCODE_PLAIN;
    settings.progress = show_progress;
    settings.user = &view;
    int status = find_end(session, options, tokenizer, &settings.end);
    if (status) return status;
    progress_begin(&view.bar, stderr, 0, 1, 0);
    status = session_check(
        session, ringmoe_tokens_write(session->context, tokenizer, options->texts.texts,
                                      options->texts.n, &settings, options->out, &view.result));
    progress_clear(&view.bar);
    return status ? status
                  : report(session, options, &settings, &view.result,
                           clock_seconds() - view.start);
}

int data_tokenize(tool_session *session, int argc, char **argv)
{
    tokenize_options options = {PLACEMENT_DEFAULT, .key = "text"};
    option_result given;
    ringmoe_tokenizer *tokenizer = NULL;
    int status;
    if (!session_parse(session, &set, argc, argv, &options, &given, &status)) return status;
    if (!options.tokenizer || !options.texts.n || !options.out)
        return session_fail(session, EXIT_USAGE, "give all of --tokenizer, --text and --out");
    status = session_open(session, &options.placement);
    if (!status)
        status = session_check(
            session, ringmoe_tokenizer_open(session->context, options.tokenizer, &tokenizer));
    if (!status) status = tokenize(session, &options, tokenizer);
    ringmoe_tokenizer_destroy(&tokenizer);
    return status;
}

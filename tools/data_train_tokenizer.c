/* SPDX-License-Identifier: MIT
 *
 * `ringmoe data train-tokenizer`: texts become a tokenizer.
 */
#include "data.h"

#include <string.h>

#include "interrupt.h"
#include "progress.h"
#include "text.h"

typedef struct train_tokenizer_options {
    tool_placement placement;
    option_texts texts, special;
    const char *out, *pattern, *key, *end;
    int64_t vocab, least_count;
    int documents, json;
} train_tokenizer_options;

#define ROW(member, ...) OPTION_ROW(train_tokenizer_options, member, __VA_ARGS__)

static const option_row rows[] = {
    DATA_TEXTS_ROW(train_tokenizer_options),
    ROW(vocab, INTEGER, "vocab", "N",
        "ids in all: special tokens, 256 bytes, and what is learned", .low = 1,
        .high = 1 << 22),
    ROW(out, TEXT, "out", "PATH",
        "a folder, which gets tokenizer.json and tokenizer_config.json, or a name ending in "
        ".json",
        .otherwise = "none"),
    ROW(pattern, TEXT, "pattern", "NAME", "how words are cut: gpt-2, olmo, qwen2 or llama-bpe"),
    ROW(special, TEXTS, "special", "TOKEN", "a special token; may be given several times",
        .otherwise = "none"),
    ROW(end, TEXT, "end", "TOKEN",
        "the special token that ends a document, for tokenizer_config.json; none: no token",
        .otherwise = "the first special token"),
    ROW(least_count, INTEGER, "least-count", "N", "pairs that occur less often are not merged",
        .low = 1, .high = 1e15),
    DATA_DOCUMENTS_ROWS(train_tokenizer_options),
    ROW(placement.threads, INTEGER, "threads", "N", "that count words", .high = 4096,
        .otherwise = "this node's cpus"),
    ROW(json, FLAG, "json", NULL, "the result as JSON"),
};

static const option_set set = {
    .usage = "ringmoe data train-tokenizer --text PATH --vocab N --out PATH [options]",
    .summary =
        "Learns a byte-level vocabulary (byte-pair encoding) and writes it as a "
        "tokenizer.json,\n"
        "which Hugging Face's tokenizers read too. Special tokens have the first ids; name "
        "the\n"
        "one that ends a document, such as <|endoftext|>, first. The file does not depend on\n"
        "--threads. Nothing is overwritten.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

static int show_progress(void *user, double done)
{
    progress_show(user, done, "training the tokenizer");
    return interrupt_requested();
}

static int report(tool_session *session, const train_tokenizer_options *options,
                  const ringmoe_train_tokenizer_result *result, double seconds)
{
    if (options->json)
        return session_print_json(
            session,
            json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:f}", "file", options->out, "vocab_size",
                      result->vocab_size, "merges", (json_int_t)result->merges, "words",
                      (json_int_t)result->words, "documents", (json_int_t)result->documents,
                      "bytes", (json_int_t)result->bytes, "seconds", seconds));
    printf("%s: %d ids, %s merges from %s different words, %s of text, in %s\n", options->out,
           result->vocab_size, text_count((double)result->merges).text,
           text_count((double)result->words).text, text_bytes((double)result->bytes).text,
           text_duration(seconds).text);
    if (result->vocab_size < options->vocab)
        printf("the text ran out of pairs that occur %lld times: %d ids instead of %lld\n",
               (long long)options->least_count, result->vocab_size, (long long)options->vocab);
    return EXIT_DONE;
}

static int train_tokenizer(tool_session *session, const train_tokenizer_options *options)
{
    ringmoe_train_tokenizer_settings settings;
    ringmoe_train_tokenizer_result result = {0};
    progress bar;
    ringmoe_train_tokenizer_settings_default(&settings);
    settings.vocab_size = (int)options->vocab;
    settings.pattern = options->pattern;
    settings.special = options->special.texts;
    settings.n_special = options->special.n;
    if (options->end) settings.end = strcmp(options->end, "none") == 0 ? "" : options->end;
    settings.least_count = options->least_count;
    settings.documents = (ringmoe_documents)options->documents;
    settings.key = options->key;
    settings.progress = show_progress;
    settings.user = &bar;
    progress_begin(&bar, stderr, 0, 1, 0);
    double start = clock_seconds();
    int status = session_check(
        session, ringmoe_train_tokenizer(session->context, options->texts.texts,
                                         options->texts.n, &settings, options->out, &result));
    progress_clear(&bar);
    return status ? status : report(session, options, &result, clock_seconds() - start);
}

int data_train_tokenizer(tool_session *session, int argc, char **argv)
{
    train_tokenizer_options options = {PLACEMENT_DEFAULT, .pattern = "gpt-2", .vocab = 32768,
                                       .least_count = 2, .key = "text"};
    option_result given;
    int status;
    if (!session_parse(session, &set, argc, argv, &options, &given, &status)) return status;
    if (!options.texts.n || !options.out)
        return session_fail(session, EXIT_USAGE, "give both of --text and --out");
    status = session_open(session, &options.placement);
    return status ? status : train_tokenizer(session, &options);
}

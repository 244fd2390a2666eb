/* SPDX-License-Identifier: MIT
 *
 * `ringmoe data info`: what lies in a token file, or what a tokenizer is.
 */
#include <string.h>
#include <sys/stat.h>

#include "data.h"
#include "source.h"
#include "text.h"

typedef struct data_info_options {
    tool_placement placement;
    const char *path;
    int json, format;
} data_info_options;

#define ROW(member, ...) OPTION_ROW(data_info_options, member, __VA_ARGS__)

static const option_row rows[] = {
    ROW(format, CHOICE, "format", FORMAT_WORDS, "of a token file"),
    ROW(json, FLAG, "json", NULL, "as JSON"),
};

static const option_set set = {
    .usage = "ringmoe data info FILE [options]",
    .summary = "Of a token file its layout, ids and hash; of a tokenizer (tokenizer.json, its\n"
               "folder or a .gguf) its kind, size and special tokens.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .word = "FILE",
    .word_place = offsetof(data_info_options, path),
};

enum { IDS_AT_A_TIME = 4096, LARGEST_VOCABULARY = 1 << 22 };

static int largest_id(const ringmoe_tokens *tokens)
{
    int32_t ids[IDS_AT_A_TIME], largest = 0;
    int64_t n = ringmoe_tokens_count(tokens);
    for (int64_t at = 0; at < n; at += IDS_AT_A_TIME) {
        int64_t count = n - at < IDS_AT_A_TIME ? n - at : IDS_AT_A_TIME;
        ringmoe_tokens_read(tokens, at, count, ids);
        for (int64_t i = 0; i < count; i++)
            if (ids[i] > largest) largest = ids[i];
    }
    return largest;
}

static int describe_tokens(tool_session *session, const data_info_options *options,
                           const ringmoe_tokens *tokens)
{
    static const char *const names[] = {"", "text", "u16", "u32", "llmc", "megatron"};
    char hash[17];
    const char *layout = names[ringmoe_tokens_format(tokens)];
    int64_t n = ringmoe_tokens_count(tokens);
    int largest = largest_id(tokens);
    ringmoe_tokens_hash(tokens, hash);
    if (options->json)
        return session_print_json(session,
                                  json_pack("{s:s, s:s, s:I, s:i, s:s}", "file", options->path,
                                            "layout", layout, "tokens", (json_int_t)n,
                                            "largest_id", largest, "hash", hash));
    printf("%s: %s, %s tokens, largest id %d, hash %s\n", options->path, layout,
           text_count((double)n).text, largest, hash);
    return EXIT_DONE;
}

/* A spelling may hold anything. */
static void print_spelling(const char *label, const ringmoe_tokenizer *tokenizer, int id)
{
    const char *text = ringmoe_tokenizer_spelling(tokenizer, id);
    text_stream stream;
    fputs(label, stdout);
    text_stream_begin(&stream, stdout);
    for (const char *at = text ? text : "none"; *at; at++)
        text_stream_put(&stream, (unsigned char)*at);
    text_stream_end(&stream);
}

static int describe_tokenizer(tool_session *session, const data_info_options *options,
                              const ringmoe_tokenizer *tokenizer)
{
    bool is_bytes = ringmoe_tokenizer_get_kind(tokenizer) == RINGMOE_TOKENIZER_BYTES;
    const char *kind = is_bytes ? "bytes" : "characters";
    int n = ringmoe_tokenizer_vocab_size(tokenizer);
    int bos = ringmoe_tokenizer_bos(tokenizer), eos = ringmoe_tokenizer_eos(tokenizer);
    bool has_template = ringmoe_tokenizer_chat_template(tokenizer) != NULL;
    if (options->json)
        return session_print_json(session,
                                  json_pack("{s:s, s:s, s:i, s:i, s:i, s:b}", "file",
                                            options->path, "kind", kind, "vocab_size", n, "bos",
                                            bos, "eos", eos, "chat_template", has_template));
    printf("%s: byte-pair encoding over %s, %d ids\n", options->path, kind, n);
    print_spelling("begins a text: ", tokenizer, bos);
    print_spelling("; ends one: ", tokenizer, eos);
    printf("; chat template: %s\n", has_template ? "yes" : "none");
    return EXIT_DONE;
}

static bool ends_with(const char *path, const char *end)
{
    size_t n = strlen(path), m = strlen(end);
    return n >= m && strcmp(path + n - m, end) == 0;
}

static bool is_tokenizer(const char *path)
{
    struct stat about;
    bool is_folder = stat(path, &about) == 0 && S_ISDIR(about.st_mode);
    return is_folder || ends_with(path, ".json") || ends_with(path, ".gguf");
}

static int describe(tool_session *session, const data_info_options *options)
{
    ringmoe_tokenizer *tokenizer = NULL;
    ringmoe_tokens *tokens = NULL;
    int status;
    if (is_tokenizer(options->path)) {
        status = session_check(
            session, ringmoe_tokenizer_open(session->context, options->path, &tokenizer));
        if (!status) status = describe_tokenizer(session, options, tokenizer);
    } else {
        status =
            session_check(session, ringmoe_tokens_open(session->context, options->path,
                                                       (ringmoe_token_format)options->format,
                                                       LARGEST_VOCABULARY, &tokens));
        if (!status) status = describe_tokens(session, options, tokens);
    }
    ringmoe_tokenizer_destroy(&tokenizer);
    ringmoe_tokens_destroy(&tokens);
    return status;
}

int data_info(tool_session *session, int argc, char **argv)
{
    data_info_options options = {PLACEMENT_DEFAULT};
    option_result given;
    int status;
    if (!session_parse(session, &set, argc, argv, &options, &given, &status)) return status;
    if (!options.path) return session_fail(session, EXIT_USAGE, "give a file");
    status = session_open(session, &options.placement);
    return status ? status : describe(session, &options);
}

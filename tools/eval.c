/* SPDX-License-Identifier: MIT
 *
 * `ringmoe eval`: how well a trained model predicts a text.
 */
#include "command.h"

#include <math.h>

#include "json_text.h"
#include "source.h"
#include "text.h"

typedef struct eval_options {
    tool_placement placement;
    const char *model, *data, *tokenizer;
    int format, json, reproducible, weights;
    int64_t seq_len, microbatch, max_sequences, seed;
} eval_options;

#define ROW(member, ...) OPTION_ROW(eval_options, member, __VA_ARGS__)

static const option_row rows[] = {
    ROW(model, TEXT, "model", "FOLDER", "a run, a checkpoint, a Hugging Face folder, a .gguf"),
    ROW(data, TEXT, "data", "PATH", "text file, folder, token file, or synthetic"),
    ROW(format, CHOICE, "format", FORMAT_WORDS, "of --data"),
    ROW(tokenizer, TEXT, "tokenizer", "PATH", "a tokenizer.json or its folder, for text",
        .otherwise = "the model's"),
    ROW(seq_len, INTEGER, "seq-len", "N", "tokens of a sequence", .low = 1, .high = 1e9),
    ROW(microbatch, INTEGER, "microbatch", "N", "sequences at a time", .low = 1, .high = 1e9),
    ROW(max_sequences, INTEGER, "max-sequences", "N", "only the first N", .high = 1e15,
        .otherwise = "all"),
    ROW(seed, INTEGER, "seed", "N", "of the synthetic language", .low = -1e15, .high = 1e15),
    PLACEMENT_ROWS(eval_options),
    ROW(reproducible, FLAG, "reproducible", NULL, "the same bits for any --tp"),
    ROW(weights, CHOICE, "weights", WEIGHTS_WORDS, "how they are kept in memory",
        .otherwise = "as --precision if given, else auto"),
    ROW(json, FLAG, "json", NULL, "the result as JSON"),
};

static const option_set set = {
    .usage = "ringmoe eval --model FOLDER --data PATH [options]",
    .summary =
        "Loss, bits per byte and perplexity of a model on a text, cut into consecutive\n"
        "sequences. Of the synthetic language the part that training holds out is taken.\n"
        "With --tp and without --reproducible the last digits may differ from those of one "
        "rank.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

static void print_text(const tool_session *session, const ringmoe_model *model,
                       const ringmoe_eval_result *result)
{
    printf("layout         %s\n", session_layout_words(session).text);
    printf("weights        %s\n", source_forms_words(model).text);
    printf("loss           %.4f nats a token\n", result->loss);
    if (!isnan(result->bits_per_byte)) printf("bits per byte  %.4f\n", result->bits_per_byte);
    printf("perplexity     %.3f\n", result->perplexity);
    printf("tokens         %lld\n", (long long)result->tokens);
}

static json_t *result_to_json(const ringmoe_eval_result *result)
{
    return json_pack("{s:o, s:o, s:o, s:I}", "loss", json_number(result->loss), "bits_per_byte",
                     json_number(result->bits_per_byte), "perplexity",
                     json_number(result->perplexity), "tokens", (json_int_t)result->tokens);
}

static int print_result(const tool_session *session, const eval_options *options,
                        const ringmoe_model *model, const ringmoe_eval_result *result)
{
    if (options->json) return session_print_json(session, result_to_json(result));
    print_text(session, model, result);
    return EXIT_DONE;
}

/* The synthetic language is cut as training cuts it; of a text all is taken. */
static int evaluate(tool_session *session, const eval_options *options, ringmoe_model *model,
                    ringmoe_tokens *all)
{
    ringmoe_tokens *first = NULL, *last = NULL;
    ringmoe_eval_result result = {0};
    int status = EXIT_DONE;
    if (!isnan(ringmoe_tokens_entropy(all)))
        status = session_check(session, ringmoe_tokens_split(session->context, all,
                                                             HELD_OUT_FRACTION, &first, &last));
    if (!status)
        status =
            session_check(session, ringmoe_model_evaluate(model, last ? last : all,
                                                          options->seq_len, options->microbatch,
                                                          options->max_sequences, &result));
    if (!status && session->rank == 0) status = print_result(session, options, model, &result);
    ringmoe_tokens_destroy(&first);
    ringmoe_tokens_destroy(&last);
    return status;
}

/* The text as tokens: by --tokenizer, by the model's own, or byte by byte. */
static int open_text(tool_session *session, const eval_options *options, const char *folder,
                     const ringmoe_model *model, ringmoe_tokenizer **tokenizer,
                     ringmoe_tokens **tokens)
{
    int status = EXIT_DONE;
    source_text text = {.path = options->data,
                        .format = options->format,
                        .vocab_size = ringmoe_model_get_config(model)->vocab_size,
                        .seed = options->seed};
    if (source_is_text(&text) && options->tokenizer)
        status = source_tokenizer(session, options->tokenizer, text.vocab_size, tokenizer);
    else if (source_is_text(&text))
        status = source_own_tokenizer(session, folder, text.vocab_size, tokenizer);
    text.tokenizer = *tokenizer;
    return status ? status : source_tokens(session, &text, tokens);
}

int command_eval(tool_session *session, int argc, char **argv)
{
    eval_options options = {PLACEMENT_DEFAULT, .seq_len = 256, .microbatch = 4};
    ringmoe_model *model = NULL;
    ringmoe_tokens *tokens = NULL;
    ringmoe_tokenizer *tokenizer = NULL;
    ringmoe_load_settings load;
    char path[SOURCE_PATH];
    option_result given;
    int status;
    if (!session_parse(session, &set, argc, argv, &options, &given, &status)) return status;
    if (!options.model || !options.data)
        return session_fail(session, EXIT_USAGE, "no --%s: give %s",
                            options.model ? "data" : "model",
                            options.model ? "a text to predict" : "a run or a model's folder");
    ringmoe_load_settings_default(&load);
    load.max_tokens = options.seq_len * options.microbatch;
    load.reproducible = options.reproducible;
    load.weights = source_forms(&set, &given, options.weights, options.placement.precision);
    status = session_open(session, &options.placement);
    if (!status)
        status = source_model(session, &options.placement, options.model, &load, path, &model);
    if (!status) status = open_text(session, &options, path, model, &tokenizer, &tokens);
    if (!status) status = evaluate(session, &options, model, tokens);
    ringmoe_tokens_destroy(&tokens);
    ringmoe_tokenizer_destroy(&tokenizer);
    ringmoe_model_destroy(&model);
    return status;
}

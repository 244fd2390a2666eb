/* SPDX-License-Identifier: MIT
 *
 * `ringmoe generate`: continues prompts, as their tokens come.
 */
#include "generate.h"

#include <stdlib.h>

#include "command.h"
#include "interrupt.h"
#include "source.h"

#define ROW(member, ...) OPTION_ROW(generate_options, member, __VA_ARGS__)
/* As a shell says it of a command that Ctrl-C has ended. */
enum { EXIT_STOPPED = 130 };

#define MEBIBYTE ((int64_t)1 << 20)

static const option_row rows[] = {
    ROW(model, TEXT, "model", "PATH", "a run, a checkpoint, a Hugging Face folder, a .gguf"),
    ROW(prompts, TEXTS, "prompt", "TEXT", "what to continue; may be given several times",
        .otherwise = "an empty line"),
    ROW(prompt_files, TEXTS, "prompt-file", "PATH", "or files with it; - is the input"),
    ROW(chat, FLAG, "chat", NULL, "a prompt is a user's turn in a conversation"),
    ROW(system, TEXT, "system", "TEXT", "what --chat tells the model before"),
    ROW(tokenizer, TEXT, "tokenizer", "PATH", "a tokenizer.json or its folder",
        .otherwise = "the model's"),
    ROW(sampling.max_new_tokens, INTEGER, "max-new", "N", "tokens to make", .low = 1,
        .high = 1e9, .otherwise = "256, or what a single prompt leaves room for",
        .elsewhere = "max-tokens"),
    ROW(sampling.temperature, NUMBER, "temperature", "T", "0: the likeliest always",
        .high = 1e6),
    ROW(top_k, INTEGER, "top-k", "K", "of the K likeliest only; 0: of all", .high = 1e9),
    ROW(sampling.top_p, NUMBER, "top-p", "P", "of the smallest set with this probability",
        .high = 1),
    ROW(sampling.min_p, NUMBER, "min-p", "P", "of those P times as likely as the likeliest",
        .high = 1),
    ROW(sampling.repetition_penalty, NUMBER, "repetition-penalty", "R",
        "above 1: what is in the text becomes less likely", .low = 1e-3, .high = 1e6),
    ROW(sampling.seed, INTEGER, "seed", "N", "another seed, another text", .low = -1e15,
        .high = 1e15),
    ROW(stops, TEXTS, "stop", "TEXT", "ends a text before this; may be given several times",
        .otherwise = "none"),
    ROW(no_end, FLAG, "no-end", NULL, "the tokenizer's end of text is a token like others"),
    ROW(weights, CHOICE, "weights", WEIGHTS_WORDS, "how they are kept in memory",
        .otherwise = "as --precision if given, else auto"),
    ROW(load.experts_in_memory, INTEGER, "expert-memory", "MIB",
        "for experts; the others stay in their file", .high = 1e9, .otherwise = "all"),
    ROW(load.max_sequences, INTEGER, "max-sequences", "N", "texts made at the same time",
        .low = 1, .high = 4096),
    ROW(load.max_tokens, INTEGER, "pass-tokens", "N", "tokens of prompts read at a time",
        .low = 1, .high = 1e6),
    PLACEMENT_ROWS(generate_options),
    ROW(reproducible, FLAG, "reproducible", NULL, "the same bits for any --tp"),
    ROW(speed, FLAG, "speed", NULL, "tokens a second, on the error output"),
    ROW(json, FLAG, "json", NULL, "texts, tokens, times and rates as JSON"),
};

static const option_set set = {
    .usage = "ringmoe generate --model PATH --prompt TEXT [options]",
    .summary =
        "Continues prompts with a trained model. A model without a tokenizer reads bytes if\n"
        "its vocabulary is that of bytes, else token ids parted by blanks, and makes the "
        "same.\n"
        "Bytes that are not printable come out as \\xNN. Several prompts are continued at the\n"
        "same time, each as it would be alone. With --tp and without --reproducible sums are\n"
        "made in another order, which may change a token that is nearly as likely as another.\n"
        "Ctrl-C ends the texts where they are; the status is 130 then.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

/* What is made of the prompts, of this rank. */
typedef struct generate_work {
    tool_session *session;
    generate_options *options;
    ringmoe_model *model;
    generate_words words;
    generate_prompts prompts;
    ringmoe_text_result *results;
    ringmoe_generate_figures figures;
    generate_show *show; /* of rank 0 */
} generate_work;

/* The tokenizer's end of text is rank 0's to know. */
static void set_stop_token(generate_work *work, int32_t *token)
{
    *token = work->words.tokenizer && !work->options->no_end
                 ? ringmoe_tokenizer_eos(work->words.tokenizer)
                 : -1;
    session_share(work->session, token, sizeof *token);
    bool is_one = *token >= 0 && *token < ringmoe_model_get_config(work->model)->vocab_size;
    work->options->sampling.stop_tokens = is_one ? token : NULL;
    work->options->sampling.n_stop_tokens = is_one;
}

static int open_words(generate_work *work, const char *path)
{
    char text[1024] = "";
    const generate_options *options = work->options;
    if (work->session->rank == 0)
        words_open(&work->words, work->session->context,
                   options->tokenizer ? options->tokenizer : path, options->tokenizer != NULL,
                   ringmoe_model_get_config(work->model)->vocab_size, text, sizeof text);
    return session_settle(work->session, *text ? EXIT_FAILED : EXIT_DONE, text);
}

static int prepare(generate_work *work)
{
    const ringmoe_model_config *config = ringmoe_model_get_config(work->model);
    int status = prompts_read(work->session, work->options, &work->words, config->vocab_size,
                              &work->prompts);
    if (!status)
        status = prompts_fit(work->session, work->options, &work->prompts,
                             config->max_position_embeddings);
    if (status) return status;
    work->results = calloc((size_t)work->prompts.n, sizeof *work->results);
    if (work->session->rank == 0 && work->results)
        work->show = show_create(work->options, &work->words, &work->prompts, work->results);
    bool made = work->results && (work->show || work->session->rank != 0);
    return session_settle(work->session, made ? EXIT_DONE : EXIT_FAILED,
                          "no memory for the texts: give fewer prompts");
}

static int report(generate_work *work)
{
    if (work->session->rank != 0) return EXIT_DONE;
    if (work->options->speed) show_speed(work->show, &work->figures);
    if (!work->options->json) return EXIT_DONE;
    return session_print_json(work->session, show_to_json(work->show, &work->figures));
}

/* Asked to end, any rank ends all texts. */
static int take_token(void *user, int text, int32_t token)
{
    generate_work *work = user;
    int answer = work->show ? show_token(work->show, text, token) : RINGMOE_TEXT_GOES_ON;
    return interrupt_requested() ? RINGMOE_ALL_STOP : answer;
}

/* Shows all there is, also after a failure on the way. */
static int generate(generate_work *work)
{
    int32_t stop_token;
    set_stop_token(work, &stop_token);
    interrupt_watch();
    ringmoe_status made = ringmoe_generate(work->model, work->prompts.prompts, work->prompts.n,
                                           &work->options->sampling, take_token, work,
                                           work->results, &work->figures);
    bool is_stopped = session_union(work->session, interrupt_requested()) != 0 &&
                      made == RINGMOE_ERROR_INTERRUPTED;
    int status = is_stopped ? EXIT_DONE : session_check(work->session, made);
    bool shown = !work->show || status == EXIT_USAGE || show_finish(work->show);
    if (!status)
        status = session_settle(work->session, shown ? EXIT_DONE : EXIT_FAILED,
                                "the texts cannot be written to the output");
    if (!status) status = report(work);
    return !status && is_stopped ? EXIT_STOPPED : status;
}

static int run(tool_session *session, generate_options *options)
{
    char path[SOURCE_PATH];
    generate_work work = {.session = session, .options = options};
    int status = session_open(session, &options->placement);
    if (!status)
        status = source_model(session, &options->placement, options->model, &options->load,
                              path, &work.model);
    if (!status) status = open_words(&work, path);
    if (!status) status = prepare(&work);
    if (!status) status = generate(&work);
    show_free(work.show);
    free(work.results);
    prompts_free(&work.prompts);
    words_close(&work.words);
    ringmoe_model_destroy(&work.model);
    return status;
}

int command_generate(tool_session *session, int argc, char **argv)
{
    generate_options options = {PLACEMENT_DEFAULT};
    option_result given;
    int status;
    ringmoe_generate_settings_default(&options.sampling);
    ringmoe_load_settings_default(&options.load);
    if (!session_parse(session, &set, argc, argv, &options, &given, &status)) return status;
    if (!options.model)
        return session_fail(session, EXIT_USAGE, "no --model: give a run or a model's folder");
    if (options.prompts.n && options.prompt_files.n)
        return session_fail(session, EXIT_USAGE,
                            "--prompt and --prompt-file: give only one of them");
    if (options.system && !options.chat)
        return session_fail(session, EXIT_USAGE,
                            "--system: it is told in a conversation: add --chat");
    options.has_length = options_given(&set, &given, "max-new");
    options.sampling.top_k = (int)options.top_k;
    options.load.weights =
        source_forms(&set, &given, options.weights, options.placement.precision);
    options.load.reproducible = options.reproducible;
    options.load.experts_in_memory *= MEBIBYTE;
    return run(session, &options);
}

/* SPDX-License-Identifier: MIT
 *
 * `ringmoe bench generate`: reading a prompt, one text, several texts together, in turns, and
 * loading; beside the memory's speed, which one text cannot beat.
 */
#include "bench.h"

#include <stdlib.h>
#include <time.h>

#include "source.h"
#include "text.h"

typedef struct generate_bench_options {
    tool_placement placement;
    ringmoe_load_settings load;
    const char *model;
    int64_t n_prompt, n_new, n_texts, repeat;
    int weights, json;
} generate_bench_options;

#define ROW(member, ...) OPTION_ROW(generate_bench_options, member, __VA_ARGS__)

static const option_row rows[] = {
    ROW(model, TEXT, "model", "PATH", "a run, a checkpoint, a Hugging Face folder, a .gguf"),
    ROW(weights, CHOICE, "weights", "auto|fp32|bf16|q8_0|q4_0", "how they are kept in memory"),
    ROW(n_prompt, INTEGER, "prompt-tokens", "N", "of the prompt that is read", .low = 1,
        .high = 1e6),
    ROW(n_new, INTEGER, "new-tokens", "N", "made after a prompt of one token", .low = 2,
        .high = 1e6),
    ROW(n_texts, INTEGER, "texts", "N", "made together", .low = 1, .high = 4096),
    ROW(repeat, INTEGER, "repeat", "N", "turns", .low = 1, .high = BENCH_MAX_REPEAT),
    PLACEMENT_ROWS(generate_bench_options),
    ROW(json, FLAG, "json", NULL, "the figures as JSON"),
};

static const option_set set = {
    .usage = "ringmoe bench generate --model PATH [options]",
    .summary = "Tokens a second of generation: medians over turns in which everything is\n"
               "measured once, the memory's reading speed too.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

typedef struct generate_bench {
    tool_session *session;
    const generate_bench_options *options;
    ringmoe_model *model;
    double load_seconds;
    int32_t *tokens;
    ringmoe_prompt *prompts;               /* [n_texts] */
    bench_samples read, one, many, memory; /* tokens a second; bytes a second */
} generate_bench;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* n_texts prompts of n_prompt tokens, each followed by n_new. */
static ringmoe_status generate(generate_bench *bench, int n_texts, int64_t n_prompt,
                               int64_t n_new, ringmoe_generate_figures *figures)
{
    ringmoe_generate_settings settings;
    ringmoe_generate_settings_default(&settings);
    settings.max_new_tokens = n_new;
    settings.temperature = 0;
    for (int i = 0; i < n_texts; i++)
        bench->prompts[i] = (ringmoe_prompt){.tokens = bench->tokens + i, .n_tokens = n_prompt};
    return ringmoe_generate(bench->model, bench->prompts, n_texts, &settings, NULL, NULL, NULL,
                            figures);
}

static void add_rate(bench_samples *samples, int64_t n, double seconds)
{
    bench_add(samples, seconds > 0 ? (double)n / seconds : 0);
}

static ringmoe_status take_turn(generate_bench *bench)
{
    const generate_bench_options *options = bench->options;
    ringmoe_generate_figures figures;
    ringmoe_machine_ceilings ceilings;
    ringmoe_status status = generate(bench, 1, options->n_prompt, 1, &figures);
    if (status != RINGMOE_OK) return status;
    add_rate(&bench->read, figures.prompt_tokens, figures.prompt_seconds);
    status = generate(bench, 1, 1, options->n_new, &figures);
    if (status != RINGMOE_OK) return status;
    add_rate(&bench->one, figures.new_tokens, figures.token_seconds);
    status = generate(bench, (int)options->n_texts, 1, options->n_new, &figures);
    if (status != RINGMOE_OK) return status;
    add_rate(&bench->many, figures.new_tokens, figures.token_seconds);
    status = ringmoe_machine_measure(bench->session->context, 1, &ceilings);
    if (status == RINGMOE_OK) bench_add(&bench->memory, 1e9 * ceilings.read_gb_per_s);
    return status;
}

static int print_figures(const generate_bench *bench)
{
    const generate_bench_options *options = bench->options;
    ringmoe_model_bytes bytes;
    ringmoe_model_get_bytes(bench->model, &bytes);
    double read = bench_median(&bench->read), one = bench_median(&bench->one);
    double many = bench_median(&bench->many), memory = bench_median(&bench->memory);
    double share = memory > 0 ? one * (double)bytes.token / memory : 0;
    if (options->json)
        return session_print_json(
            bench->session,
            json_pack("{s:f, s:I, s:I, s:f, s:f, s:f, s:I, s:f, s:f}", "load_seconds",
                      bench->load_seconds, "weights_bytes", (json_int_t)bytes.weights,
                      "token_bytes", (json_int_t)bytes.token, "prompt_tokens_per_s", read,
                      "tokens_per_s", one, "together_tokens_per_s", many, "texts",
                      (json_int_t)options->n_texts, "read_gb_per_s", memory / 1e9,
                      "share_of_reading", share));
    printf("layout    %s\n", session_layout_words(bench->session).text);
    printf("weights   %s in memory, %s for a token; loaded in %.2f s\n",
           text_bytes((double)bytes.weights).text, text_bytes((double)bytes.token).text,
           bench->load_seconds);
    printf("prompt    %.1f tokens a second, %lld at once\n", read,
           (long long)options->n_prompt);
    printf("one text  %.1f tokens a second: %.0f%% of reading its weights at %.1f GB/s\n", one,
           100 * share, memory / 1e9);
    printf("%lld texts   %.1f tokens a second: %.2f times one\n", (long long)options->n_texts,
           many, one > 0 ? many / one : 0);
    return EXIT_DONE;
}

/* Any tokens, of which the prompts are windows. */
static bool make_prompts(generate_bench *bench)
{
    const generate_bench_options *options = bench->options;
    int64_t n = options->n_prompt + options->n_texts;
    uint32_t number = 1;
    bench->tokens = malloc((size_t)n * sizeof *bench->tokens);
    bench->prompts = calloc((size_t)options->n_texts, sizeof *bench->prompts);
    for (int64_t i = 0; bench->tokens && i < n; i++) {
        number = number * 1664525U + 1013904223U;
        bench->tokens[i] =
            (int32_t)((number >> 8) %
                      (uint32_t)ringmoe_model_get_config(bench->model)->vocab_size);
    }
    return bench->tokens && bench->prompts;
}

static int run(generate_bench *bench)
{
    tool_session *session = bench->session;
    char path[SOURCE_PATH];
    int status = session_open(session, &bench->options->placement);
    double start = now();
    if (!status)
        status = source_model(session, &bench->options->placement, bench->options->model,
                              &bench->options->load, path, &bench->model);
    bench->load_seconds = now() - start;
    if (!status)
        status = session_settle(session, make_prompts(bench) ? EXIT_DONE : EXIT_FAILED,
                                "no memory for the prompts");
    for (int64_t i = 0; i < bench->options->repeat && !status; i++)
        status = session_check(session, take_turn(bench));
    if (!status && session->rank == 0) status = print_figures(bench);
    free(bench->tokens);
    free(bench->prompts);
    ringmoe_model_destroy(&bench->model);
    return status;
}

int bench_generate(tool_session *session, int argc, char **argv)
{
    generate_bench_options options = {PLACEMENT_DEFAULT, .n_prompt = 512, .n_new = 64,
                                      .n_texts = 8, .repeat = 5};
    generate_bench *bench = calloc(1, sizeof *bench);
    option_result given;
    int status;
    ringmoe_load_settings_default(&options.load);
    bool goes_on = session_parse(session, &set, argc, argv, &options, &given, &status);
    if (goes_on && !options.model) {
        status = session_fail(session, EXIT_USAGE, "no --model: give a model's folder");
    } else if (goes_on) {
        options.load.weights = (ringmoe_weights)options.weights;
        options.load.max_sequences = options.n_texts;
        status = session_settle(session, bench ? EXIT_DONE : EXIT_FAILED, "no memory");
        if (!status) {
            bench->session = session;
            bench->options = &options;
            status = run(bench);
        }
    }
    free(bench);
    return status;
}
